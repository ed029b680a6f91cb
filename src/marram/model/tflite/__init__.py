"""TFLite files: bytes -> Graph and Graph -> bytes, both driven by one table of the format.

``reading`` and ``writing`` are the two doors; ``schema`` is the format as data, ``flatbuffer`` walks bytes by it, ``contents``
checks what a file says of its tensors and operators, and each family of operators stands in one module in both directions.
"""

from __future__ import annotations

from marram.model.tflite.reading import read, read_opaque
from marram.model.tflite.writing import write

__all__ = ["read", "read_opaque", "write"]
