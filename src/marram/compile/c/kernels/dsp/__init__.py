"""Kernel family ``dsp``: the operators that it makes better than ``portable``."""

from __future__ import annotations

from marram.compile.c.kernels.dsp.add import add, sub
from marram.compile.c.kernels.dsp.average_pool2d import average_pool2d, mean
from marram.compile.c.kernels.dsp.conv2d import conv2d
from marram.compile.c.kernels.dsp.dense import dense
from marram.compile.c.kernels.dsp.depthwise_conv2d import depthwise_conv2d
from marram.compile.c.kernels.dsp.max_pool2d import max_pool2d
from marram.compile.c.kernels.dsp.mul import mul
from marram.compile.c.kernels.dsp.table import table
from marram.compile.c.place import Maker
from marram.core import operators as ops

MAKERS: dict[type, Maker] = {
    ops.Add: add,
    ops.AveragePool2D: average_pool2d,
    ops.Conv2D: conv2d,
    ops.Dense: dense,
    ops.DepthwiseConv2D: depthwise_conv2d,
    ops.Gelu: table,
    ops.HardSwish: table,
    ops.LeakyRelu: table,
    ops.MaxPool2D: max_pool2d,
    ops.Mean: mean,
    ops.Mul: mul,
    ops.Quantise: table,
    ops.Relu: table,
    ops.Relu6: table,
    ops.Sigmoid: table,
    ops.Sub: sub,
    ops.Tanh: table,
}

WEIGHT_BITS = frozenset({8, 4, 2})
"""The bits of a weight in flash that are served."""
