"""Kernel family ``portable``: every operator in plain C11, for any compiler, any byte order. The others fall back on it."""

from __future__ import annotations

from marram.compile.c.kernels.portable.broadcast import add, mul, sub
from marram.compile.c.kernels.portable.conv2d import conv2d
from marram.compile.c.kernels.portable.dense import dense
from marram.compile.c.kernels.portable.depthwise_conv2d import depthwise_conv2d
from marram.compile.c.kernels.portable.dtypes import by_dtype, by_weights
from marram.compile.c.kernels.portable.int16.finish import INT16
from marram.compile.c.kernels.portable.int16.quantise import quantise as quantise_16
from marram.compile.c.kernels.portable.layer_norm import layer_norm
from marram.compile.c.kernels.portable.matmul import matmul
from marram.compile.c.kernels.portable.movement import concat, reshape, split, strided_slice, transpose
from marram.compile.c.kernels.portable.packed.packing import PACKED
from marram.compile.c.kernels.portable.pad import pad
from marram.compile.c.kernels.portable.pool2d import average_pool2d, max_pool2d
from marram.compile.c.kernels.portable.reduction import mean, total
from marram.compile.c.kernels.portable.resize import resize
from marram.compile.c.kernels.portable.softmax import softmax
from marram.compile.c.kernels.portable.table import table
from marram.compile.c.kernels.portable.transpose_conv2d import transpose_conv2d, transpose_conv2d_16
from marram.compile.c.place import Maker
from marram.core import operators as ops

MAKERS: dict[type, Maker] = {
    ops.Conv2D: by_dtype(by_weights(conv2d, PACKED.convolution), INT16.convolution),
    ops.DepthwiseConv2D: by_dtype(by_weights(depthwise_conv2d, PACKED.convolution), INT16.convolution),
    ops.Dense: by_dtype(by_weights(dense, PACKED.dense), INT16.dense),
    ops.Add: add,
    ops.Sub: sub,
    ops.Mul: mul,
    ops.TransposeConv2D: by_dtype(transpose_conv2d, transpose_conv2d_16),
    ops.MatMul: matmul,
    ops.Concat: concat,
    ops.Split: split,
    ops.Slice: strided_slice,
    ops.Pad: pad,
    ops.Reshape: reshape,
    ops.Transpose: transpose,
    ops.MaxPool2D: max_pool2d,
    ops.Mean: mean,
    ops.Sum: total,
    ops.Resize: resize,
    ops.LayerNorm: layer_norm,
    ops.AveragePool2D: average_pool2d,
    ops.Relu: table,
    ops.Relu6: table,
    ops.LeakyRelu: table,
    ops.HardSwish: table,
    ops.Sigmoid: table,
    ops.Tanh: table,
    ops.Gelu: table,
    ops.Quantise: by_dtype(table, quantise_16),
    ops.Softmax: softmax,
}

DTYPES = frozenset({"int8", "int16"})
"""The dtypes of activations that are served."""
WEIGHT_BITS = frozenset({8, 4, 2})
"""The bits of a weight in flash that are served."""
