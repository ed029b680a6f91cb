"""Kernel family ``portable``: every operator in plain C11, for any compiler, any byte order. The others fall back on it."""

from __future__ import annotations

from marram.compile.c.place import Maker
from marram.compile.c.portable.add import add, sub
from marram.compile.c.portable.average_pool2d import average_pool2d
from marram.compile.c.portable.conv2d import conv2d
from marram.compile.c.portable.dense import dense
from marram.compile.c.portable.depthwise_conv2d import depthwise_conv2d
from marram.compile.c.portable.softmax import softmax
from marram.compile.c.portable.table import table
from marram.core import operators as ops

MAKERS: dict[type, Maker] = {
    ops.Conv2D: conv2d,
    ops.DepthwiseConv2D: depthwise_conv2d,
    ops.Dense: dense,
    ops.Add: add,
    ops.Sub: sub,
    ops.AveragePool2D: average_pool2d,
    ops.Relu: table,
    ops.Relu6: table,
    ops.LeakyRelu: table,
    ops.HardSwish: table,
    ops.Sigmoid: table,
    ops.Tanh: table,
    ops.Gelu: table,
    ops.Quantise: table,
    ops.Softmax: softmax,
}
