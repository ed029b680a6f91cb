"""How the planes of a depthwise convolution stand in scratch: how wide, how many rows at a time, how many channels."""

from __future__ import annotations

import msgspec

from marram.compile.c.geometry import Geometry

_BYTES = 2048
_LEAN_BYTES = 512
_FEWEST_ROWS = 2
"""Output rows in a band below which taking out four channels at once no longer pays."""


class Planes(msgspec.Struct, frozen=True, kw_only=True):
    """``pitch``: int16 of a row; ``band``: output rows made at a time; ``group``: channels taken out at a time, 4 or 1."""

    pitch: int
    band: int
    group: int
    scratch_bytes: int


def planes_of(sizes: Geometry, read: int, *, lean: bool) -> Planes:
    """Planes within some hundred or some thousand bytes, more only where one row of one channel needs more.

    Args:
        sizes: of the convolution.
        read: columns that the kernel reads for two neighbouring outputs, from the first one's first on.
        lean: rather small than fast.
    """
    pairs = (sizes.out_width + 1) // 2
    columns = max(sizes.pad_left + sizes.in_width, (pairs - 1) * 2 * sizes.stride_x + read)
    pitch = columns + columns % 2
    reach = sizes.rows.reach
    budget = _LEAN_BYTES if lean else _BYTES
    for group in (4, 1):
        rows = budget // (2 * pitch * group)
        band = min((rows - reach) // sizes.stride_y + 1 if rows >= reach else 0, sizes.out_height)
        if group == 4 and (band < min(_FEWEST_ROWS, sizes.out_height) or sizes.in_channels < group):
            continue
        bands = -(-sizes.out_height // max(band, 1))
        band = -(-sizes.out_height // bands)
        held = (band - 1) * sizes.stride_y + reach
        return Planes(pitch=pitch, band=band, group=group, scratch_bytes=2 * pitch * group * held)
    raise AssertionError("a group of one channel is always served")
