"""ONNX: file -> Graph or OpaqueModel, Graph -> file.

Reading: ``contents`` checks the file, ``folding`` and ``patterns`` simplify its nodes, the families of operators
(``convolution``, ``linear``, ...) translate them, ``integers`` turns complete quantise-dequantise pairs into integer operators.
"""

from marram.model.onnx.reading import read, read_opaque

__all__ = ["read", "read_opaque"]
