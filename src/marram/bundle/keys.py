"""Ed25519 keys as files: the private key as PKCS #8 PEM that only its owner may read, the public key as one line of text.

A public key is written ``ed25519:<64 hex digits>``; a trust is a tuple of them. Source: RFC 8032, RFC 8410.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519

from marram.core.codec import digest
from marram.core.durable import write_atomically
from marram.core.errors import UserError

PublicKey = str
_FORM = re.compile(r"ed25519:[0-9a-f]{64}")


class FileSigner:
    """Signs with a private key that lies in a file (port ``Signer``).

    Args:
        path: the file that ``new_key`` made, or any unencrypted Ed25519 key in PKCS #8 PEM.

    Raises:
        UserError: there is no such file, or it holds no such key.
    """

    def __init__(self, path: str | Path) -> None:
        self._key = _private_key(Path(path))
        self.public_key: PublicKey = _written(self._key.public_key())

    def key_id(self) -> str:
        """Digest of the public key."""
        return key_id(self.public_key)

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the signature over ``message``."""
        return self._key.sign(message)


def new_key(path: str | Path) -> PublicKey:
    """Make a key pair: the private key at ``path``, the public key beside it with ``.pub`` appended; returns the public key.

    Raises:
        UserError: a file is already there, or the place cannot be written.
    """
    from cryptography.hazmat.primitives import serialization

    place = Path(path)
    public_place = place.with_name(place.name + ".pub")
    for file in (place, public_place):
        if file.exists():
            raise UserError(
                "there is a file already, and keys are not overwritten", where=str(file), hint="Choose another place."
            )
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = _written(key.public_key())
    _write_private(place, pem)
    write_atomically(public_place, public.encode() + b"\n")
    return public


def public_key(path: str | Path) -> PublicKey:
    """The public key in a ``.pub`` file.

    Raises:
        UserError: there is no such file, or it holds no public key.
    """
    try:
        text = Path(path).read_bytes()[:1024].decode("latin-1").strip()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    return checked_key(text, where=str(path))


def checked_key(text: str, *, where: str | None = None) -> PublicKey:
    """``text`` if it is a public key in its written form.

    Raises:
        UserError: it is not.
    """
    if not _FORM.fullmatch(text):
        raise UserError("not a public key", where=where, hint="A public key is written ed25519: and 64 hex digits.")
    return text


def key_id(key: PublicKey) -> str:
    """Digest of a public key's 32 bytes."""
    return digest(bytes.fromhex(key.partition(":")[2]))


def verified(key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether ``signature`` over ``message`` is by the holder of ``key``."""
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.partition(":")[2])).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def checked_trust(trust: Sequence[PublicKey]) -> frozenset[PublicKey]:
    """The trusted keys, each in its written form.

    Raises:
        UserError: nobody is trusted, or something is not a public key.
    """
    if isinstance(trust, str):
        return frozenset({checked_key(trust, where="trust")})
    if not trust:
        raise UserError("no public key is trusted, so no bundle can be opened", hint="Give at least one public key as trust.")
    return frozenset(checked_key(key, where="trust") for key in trust)


def _written(key: ed25519.Ed25519PublicKey) -> PublicKey:
    return "ed25519:" + key.public_bytes_raw().hex()


def _write_private(place: Path, pem: bytes) -> None:
    """Write a new file that nobody else may read, from its first moment on."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(pem)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror or error}", where=str(place)) from error


def _private_key(path: Path) -> ed25519.Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        hint = "Make one with marram.bundle.new_key(path)."
        raise UserError(f"the key cannot be read: {error.strerror or error}", where=str(path), hint=hint) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UserError("holds no private key that can be read without a password", where=str(path)) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise UserError("holds a private key of another kind than Ed25519", where=str(path))
    return key
