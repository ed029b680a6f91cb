"""The Program noun: a model made ready for one target and one runtime."""

from __future__ import annotations

from typing import Literal

import msgspec

from marram.core.graph import Tensor
from marram.core.target import Runtime

Format = Literal["onnx", "tflite", "c"]
"""What a blob is: an ONNX file, a TFLite file, or an archive of C source (``compile/c/archive.py``)."""


class Program(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a runtime loads: the blob, its format, its inputs and outputs in the runtime's own dtypes.

    ``precision`` is what the arithmetic is done in: ``int8`` means integers from input to output as far as the runtime
    takes them. ``graph_digest`` ties it to the Graph it was made from; None for an opaque model. ``quantised_by`` names
    the tool that quantised an opaque model; for a Graph it is ``marram`` or, for a float program, None.
    """

    target: str
    runtime: Runtime
    runtime_version: str
    format: Format
    precision: Literal["float32", "int8"]
    blob: bytes
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    graph_digest: str | None
    quantised_by: str | None = None

    @property
    def size_bytes(self) -> int:
        """Size of the blob as it is stored."""
        return len(self.blob)
