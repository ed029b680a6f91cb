"""Kernel family ``host``: vectors of a machine with an operating system, chosen when the C is compiled.

The same generated file holds AVX-512 VNNI, AVX2 (with and without AVX-VNNI), NEON (with and without the dot product) and plain
C; all read the same packed constants and give the same bytes.
"""

from __future__ import annotations

from marram.compile.c.kernels.host.add import add, sub
from marram.compile.c.kernels.host.average_pool2d import average_pool2d
from marram.compile.c.kernels.host.conv2d import conv2d
from marram.compile.c.kernels.host.dense import dense
from marram.compile.c.kernels.host.depthwise_conv2d import depthwise_conv2d
from marram.compile.c.place import Maker
from marram.core import operators as ops

MAKERS: dict[type, Maker] = {
    ops.Conv2D: conv2d,
    ops.DepthwiseConv2D: depthwise_conv2d,
    ops.Dense: dense,
    ops.Add: add,
    ops.Sub: sub,
    ops.AveragePool2D: average_pool2d,
}
