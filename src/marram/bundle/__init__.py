"""The room ``bundle``: seal, sign, open and verify the one file that travels to a device. A light room."""

from marram.bundle.keys import FileSigner, PublicKey, key_id, new_key, public_key
from marram.bundle.opening import Inspection, inspect, open  # noqa: A004  # marram.bundle.open is the public name
from marram.bundle.sealing import seal

__all__ = ["FileSigner", "Inspection", "PublicKey", "inspect", "key_id", "new_key", "open", "public_key", "seal"]
