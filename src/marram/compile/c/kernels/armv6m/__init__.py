"""Kernel family ``armv6m``: the operators that it makes better than ``portable``."""

from __future__ import annotations

from marram.compile.c.kernels.armv6m.conv2d import conv2d
from marram.compile.c.kernels.armv6m.dense import dense
from marram.compile.c.kernels.armv6m.depthwise_conv2d import depthwise_conv2d
from marram.compile.c.place import Maker
from marram.core import operators as ops

MAKERS: dict[type, Maker] = {
    ops.Conv2D: conv2d,
    ops.DepthwiseConv2D: depthwise_conv2d,
    ops.Dense: dense,
}
