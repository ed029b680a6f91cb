"""The Graph's operators, each a frozen value with its attributes. What they compute is in ``model/reference``.

Conventions, valid for every operator:

- Activations are channels last: images ``(N, H, W, C)``, sequences ``(N, T, C)``. The leading axis is the batch.
- Spatial pairs are ``(height, width)``; ``padding`` is ``(top, bottom, left, right)``, always explicit.
- A node names its tensors: ``inputs`` below lists them in order, ``?`` marks an optional one (the name ``""`` if absent).
- ``activation`` is fused and applied last; in an integer graph it clamps the requantised value.
- Weights and biases are constants of the Graph.

Adding an operator: a class here and in ``Operator``, a row in ``model/spec.py``, a rule in ``model/shapes.py``, a file in
``model/reference``, its translation in each importer and exporter, and its entry in the tests' operator table.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

Activation = Literal["none", "relu", "relu6", "relu_n1_to_1"]
Pair = tuple[int, int]
Padding = tuple[int, int, int, int]


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


class _Op(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="op", tag=_snake):
    """Root of the operators; ``op`` in the encoding is the class's name in snake case."""


class Conv2D(_Op, frozen=True, kw_only=True):
    """Convolution. inputs: x (N,H,W,C), weights (O,KH,KW,C/groups), bias? (O). One-dimensional forms have H = KH = 1."""

    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    groups: int = 1
    activation: Activation = "none"


class DepthwiseConv2D(_Op, frozen=True, kw_only=True):
    """Depthwise convolution. inputs: x (N,H,W,C), weights (1,KH,KW,C*M), bias? (C*M); channel c feeds outputs c*M..c*M+M-1."""

    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    activation: Activation = "none"


class TransposeConv2D(_Op, frozen=True, kw_only=True):
    """Transposed convolution. inputs: x (N,H,W,C), weights (O,KH,KW,C), bias? (O).

    Output height is ``(H - 1) * stride + KH - top - bottom + output_padding``, width alike.
    """

    stride: Pair = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    output_padding: Pair = (0, 0)
    activation: Activation = "none"


class Dense(_Op, frozen=True, kw_only=True):
    """Fully connected layer on the last axis. inputs: x (...,I), weights (O,I), bias? (O)."""

    activation: Activation = "none"


class MatMul(_Op, frozen=True, kw_only=True):
    """Batched matrix product of activations. inputs: a (...,M,K), b (...,K,N); a flag transposes the last two axes first."""

    transpose_a: bool = False
    transpose_b: bool = False


class Add(_Op, frozen=True, kw_only=True):
    """Sum with numpy broadcasting. inputs: a, b."""

    activation: Activation = "none"


class Sub(_Op, frozen=True, kw_only=True):
    """Difference with numpy broadcasting. inputs: a, b."""

    activation: Activation = "none"


class Mul(_Op, frozen=True, kw_only=True):
    """Product with numpy broadcasting. inputs: a, b."""

    activation: Activation = "none"


class Concat(_Op, frozen=True, kw_only=True):
    """Concatenation. inputs: one or more tensors; ``axis`` is not negative."""

    axis: int


class Split(_Op, frozen=True, kw_only=True):
    """Cuts one axis into parts of the given sizes, one output each. inputs: x."""

    axis: int
    sizes: tuple[int, ...]


class Slice(_Op, frozen=True, kw_only=True):
    """Strided slice, ``x[begin:end:stride]`` on every axis, strides positive. inputs: x."""

    begin: tuple[int, ...]
    end: tuple[int, ...]
    strides: tuple[int, ...]


class Pad(_Op, frozen=True, kw_only=True):
    """Constant padding. inputs: x. ``paddings`` has (before, after) for every axis; ``value`` is a real number."""

    paddings: tuple[Pair, ...]
    value: float = 0.0


class Reshape(_Op, frozen=True, kw_only=True):
    """Reshape to ``shape``, all sizes known. inputs: x."""

    shape: tuple[int, ...]


class Transpose(_Op, frozen=True, kw_only=True):
    """Permutation of the axes. inputs: x."""

    permutation: tuple[int, ...]


class AveragePool2D(_Op, frozen=True, kw_only=True):
    """Mean over a window; padded places are not counted. inputs: x (N,H,W,C)."""

    kernel: Pair
    stride: Pair
    padding: Padding = (0, 0, 0, 0)
    activation: Activation = "none"


class MaxPool2D(_Op, frozen=True, kw_only=True):
    """Maximum over a window; padded places are ignored. inputs: x (N,H,W,C)."""

    kernel: Pair
    stride: Pair
    padding: Padding = (0, 0, 0, 0)
    activation: Activation = "none"


class Mean(_Op, frozen=True, kw_only=True):
    """Mean over axes. inputs: x."""

    axes: tuple[int, ...]
    keep_dims: bool = False


class Sum(_Op, frozen=True, kw_only=True):
    """Sum over axes. inputs: x."""

    axes: tuple[int, ...]
    keep_dims: bool = False


class Relu(_Op, frozen=True, kw_only=True):
    """max(x, 0). inputs: x."""


class Relu6(_Op, frozen=True, kw_only=True):
    """min(max(x, 0), 6). inputs: x."""


class LeakyRelu(_Op, frozen=True, kw_only=True):
    """x if x >= 0 else alpha * x. inputs: x."""

    alpha: float


class HardSwish(_Op, frozen=True, kw_only=True):
    """x * relu6(x + 3) / 6. inputs: x."""


class Sigmoid(_Op, frozen=True, kw_only=True):
    """1 / (1 + exp(-x)). inputs: x."""


class Tanh(_Op, frozen=True, kw_only=True):
    """tanh(x). inputs: x."""


class Gelu(_Op, frozen=True, kw_only=True):
    """x * Phi(x); ``approximate`` takes the tanh form. inputs: x."""

    approximate: bool = False


class Softmax(_Op, frozen=True, kw_only=True):
    """softmax(beta * x) over the last axis. inputs: x."""

    beta: float = 1.0


class LayerNorm(_Op, frozen=True, kw_only=True):
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta over the last axis. inputs: x (...,C), gamma (C), beta (C)."""

    epsilon: float = 1e-5


class BatchNorm(_Op, frozen=True, kw_only=True):
    """Normalisation by running statistics, last axis. inputs: x (...,C), gamma (C), beta (C), mean (C), variance (C)."""

    epsilon: float = 1e-5


class Resize(_Op, frozen=True, kw_only=True):
    """Resize of height and width to ``size``. inputs: x (N,H,W,C). Sampling as TFLite's flags of the same names define it."""

    size: Pair
    method: Literal["nearest", "bilinear"]
    align_corners: bool = False
    half_pixel_centers: bool = False


class Quantise(_Op, frozen=True, kw_only=True):
    """Float to integer, or integer to integer of another scale. inputs: x."""


class Dequantise(_Op, frozen=True, kw_only=True):
    """Integer to float. inputs: x."""


class Lstm(_Op, frozen=True, kw_only=True):
    """LSTM over time, zero initial state. inputs: x (N,T,I), w (4H,I), r (4H,H), bias? (4H); gates in order i, f, g, o.

    outputs: y (N,T,H), h (N,H), c (N,H). ``reverse`` runs from the last step to the first.
    """

    hidden: int
    reverse: bool = False


class Gru(_Op, frozen=True, kw_only=True):
    """GRU over time, zero initial state. inputs: x (N,T,I), w (3H,I), r (3H,H), input bias? (3H), recurrent bias? (3H).

    Gates in order r, z, n; the reset gate multiplies after the recurrent product. outputs: y (N,T,H), h (N,H).
    """

    hidden: int
    reverse: bool = False


Operator = (
    Conv2D
    | DepthwiseConv2D
    | TransposeConv2D
    | Dense
    | MatMul
    | Add
    | Sub
    | Mul
    | Concat
    | Split
    | Slice
    | Pad
    | Reshape
    | Transpose
    | AveragePool2D
    | MaxPool2D
    | Mean
    | Sum
    | Relu
    | Relu6
    | LeakyRelu
    | HardSwish
    | Sigmoid
    | Tanh
    | Gelu
    | Softmax
    | LayerNorm
    | BatchNorm
    | Resize
    | Quantise
    | Dequantise
    | Lstm
    | Gru
)


def operator_name(op: Operator) -> str:
    """The operator's name as it stands in the encoding, for instance ``depthwise_conv2d``."""
    return _snake(type(op).__name__)
