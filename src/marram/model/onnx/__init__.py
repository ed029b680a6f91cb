"""ONNX: file -> Graph or OpaqueModel, Graph -> file.

Reading: ``contents`` checks the file, ``folding`` and ``patterns`` simplify its nodes, the families of operators
(``convolution``, ``linear``, ...) translate them, ``integers`` turns complete quantise-dequantise pairs into integer operators.
Writing: ``writing`` over ``page`` and ``emission``.
"""

from marram.model.onnx.reading import read, read_opaque
from marram.model.onnx.writing import write

__all__ = ["read", "read_opaque", "write"]
