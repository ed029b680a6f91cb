"""Kernel family ``mve``: the operators that it makes better than ``portable``, with Helium (Cortex-M55, M85)."""

from __future__ import annotations

from marram.compile.c.kernels.mve.add import add, sub
from marram.compile.c.kernels.mve.conv2d import conv2d
from marram.compile.c.kernels.mve.dense import dense
from marram.compile.c.kernels.mve.depthwise_conv2d import depthwise_conv2d
from marram.compile.c.kernels.mve.pool2d import average_pool2d, max_pool2d
from marram.compile.c.kernels.mve.table import table
from marram.compile.c.place import Maker
from marram.core import operators as ops

MAKERS: dict[type, Maker] = {
    ops.Conv2D: conv2d,
    ops.DepthwiseConv2D: depthwise_conv2d,
    ops.Dense: dense,
    ops.Add: add,
    ops.Sub: sub,
    ops.AveragePool2D: average_pool2d,
    ops.MaxPool2D: max_pool2d,
    ops.Relu: table,
    ops.Relu6: table,
    ops.LeakyRelu: table,
    ops.HardSwish: table,
    ops.Sigmoid: table,
    ops.Tanh: table,
    ops.Gelu: table,
    ops.Quantise: table,
}
