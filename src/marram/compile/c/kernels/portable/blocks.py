"""Convolution in blocks of a few pixels by all output channels: what the scalar families share around their inner products.

The C is ``kernels/portable/blocks.h``. A family gives the number of pixels of a block, how many output channels go together,
and the records of its channels.
"""

from __future__ import annotations

import msgspec
import numpy as np

from marram.compile.c.geometry import Geometry, geometry
from marram.compile.c.place import ConstantArray, Place, Routine
from marram.compile.c.requantisation import Requantisation
from marram.core.graph import Array
from marram.core.operators import Conv2D

SHORT = 8
"""Pixels of fewer bytes are gathered into scratch: reading them where they stand takes longer than copying them."""


class BlockKernel(msgspec.Struct, frozen=True, kw_only=True):
    """A family's convolution: C functions ``<function>`` and ``<function>_flat`` of header ``include``.

    Args:
        pixels: of a block.
        channels: output channels that go together; their weights are interleaved byte by byte.
        cost: estimated instructions for each MAC and for each output.
        clamps: whether the inner product clamps to the range of the layer; else to int8 only.
    """

    include: str
    function: str
    pixels: int
    channels: int
    cost: tuple[float, float]
    clamps: bool = False


def interleaved(weights: Array, channels: int) -> Array:
    """Weights (O, K) as (O / channels, K, channels), flat; missing channels are 0."""
    outputs, depth = weights.shape
    groups = -(-outputs // channels)
    padded = np.zeros((groups * channels, depth), weights.dtype)
    padded[:outputs] = weights
    return padded.reshape(groups, channels, depth).transpose(0, 2, 1).ravel()


def block_convolution(place: Place, by: Requantisation, records: Array, kernel: BlockKernel) -> Routine:
    """The routine of a convolution with one group. ``records`` is the int32 constant that the inner product reads."""
    site = place.site
    op = site.op(Conv2D)
    weights = site.constant(1)
    sizes = geometry(place, op, (weights.shape[1], weights.shape[2]))
    groups = -(-sizes.out_channels // kernel.channels)
    stride = groups * kernel.channels
    flat = _is_flat(sizes)
    gathers = sizes.in_channels < SHORT and not flat
    packed = interleaved(weights.reshape(sizes.out_channels, -1), kernel.channels)
    padding = np.full(sizes.kernel_width * sizes.in_channels, site.zero_point(site.input(0)), np.int8)
    clamps = int((by.low, by.high) != (-128, 127) and not kernel.clamps)
    numbers = (groups, stride, _reads(sizes, gathers=gathers), clamps, by.zero_point, by.low, by.high)
    image = f"{{{sizes.fields}, {'0' if flat else '@padding@'}}}"
    layer = f"static const marram_blocks layer = {{{image}, @weights@, @channels@, {', '.join(map(str, numbers))}}};"
    constants: tuple[ConstantArray, ...] = (
        ConstantArray(name="weights", c_type="int8_t", values=packed),
        ConstantArray(name="channels", c_type="int32_t", values=records),
    )
    pixel = kernel.cost[0] * packed.size + kernel.cost[1] * stride
    if flat:
        call = f"{kernel.function}_flat(&layer, x0, y0, (row_end - row_begin) * {sizes.out_width}, scratch);"
        skip = (
            f"x0 += row_begin * {sizes.in_width * sizes.in_channels}; y0 += row_begin * {sizes.out_width * sizes.out_channels};"
        )
        body = f"{layer}\n{skip}\n{call}"
    else:
        body = f"{layer}\n{kernel.function}(&layer, x0, y0, row_begin, row_end, scratch);"
        constants = (*constants, ConstantArray(name="padding", c_type="int8_t", values=padding))
    return Routine(
        includes=(kernel.include,),
        body=body,
        constants=constants,
        scratch_bytes=_scratch_bytes(sizes, kernel.pixels, stride, flat=flat, gathers=gathers),
        windows=(sizes.rows,),
        columns=(sizes.columns,),
        traversal="pixels",
        instructions=sizes.out_height * sizes.out_width * pixel,
        call_instructions=150.0 + pixel * (-sizes.out_width % kernel.pixels),
    )


def _reads(sizes: Geometry, *, gathers: bool) -> str:
    """How the blocks of a layer read their windows: a constant of ``kernels/portable/blocks.h``."""
    last = (sizes.out_width - 1) * sizes.stride_x - sizes.pad_left + sizes.kernel_width
    if gathers:
        return "MARRAM_GATHERS"
    if sizes.dilation_x > 1 and sizes.kernel_width > 1:
        return "MARRAM_READS_PIXELS"
    return "MARRAM_READS_ROWS" if sizes.pad_left == 0 and last <= sizes.in_width else "MARRAM_LOOKS"


def _is_flat(sizes: Geometry) -> bool:
    """Whether each output pixel reads the input pixel at its own place, and all rows are held."""
    one = sizes.kernel_height == sizes.kernel_width == sizes.stride_y == sizes.stride_x == 1
    return one and sizes.whole and (sizes.in_height, sizes.in_width) == (sizes.out_height, sizes.out_width)


def _scratch_bytes(sizes: Geometry, pixels: int, stride: int, *, flat: bool, gathers: bool) -> int:
    """Staged outputs; then pointers, counted at 8 bytes so that the same code runs on a PC; then gathered windows."""
    staged = pixels * stride
    if flat:
        return staged
    window = sizes.kernel_height * sizes.kernel_width
    staged = -(-staged // 8) * 8
    return staged + (pixels * (8 + window * sizes.in_channels) if gathers else pixels * 8 * window)
