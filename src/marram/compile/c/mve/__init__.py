"""Kernel family ``mve``: the operators that it makes better than ``portable``, with Helium (Cortex-M55, M85)."""

from __future__ import annotations

from marram.compile.c.mve.conv2d import conv2d
from marram.compile.c.mve.depthwise_conv2d import depthwise_conv2d
from marram.compile.c.place import Maker
from marram.core import operators as ops

MAKERS: dict[type, Maker] = {
    ops.Conv2D: conv2d,
    ops.DepthwiseConv2D: depthwise_conv2d,
}
