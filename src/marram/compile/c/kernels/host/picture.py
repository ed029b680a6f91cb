"""The prepared, padded copy of an image that the window kernels work on: ``marram_picture`` in ``host/conv2d.h``."""

from __future__ import annotations

import msgspec

from marram.compile.c.place import Place
from marram.core.operators import Conv2D, DepthwiseConv2D

SLACK_BYTES = 64
"""Kernels read whole vectors and quads: as much may be read behind the picture."""


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes of the copy: ``rows`` of ``phases`` parts of ``columns`` pixels."""

    height: int
    width: int
    channels: int
    rows: int
    columns: int
    phases: int
    top: int
    left: int

    @property
    def row_bytes(self) -> int:
        """From a row to the next."""
        return self.columns * self.phases * self.channels

    @property
    def size_bytes(self) -> int:
        """Scratch for the copy."""
        return self.rows * self.row_bytes + SLACK_BYTES

    @property
    def literal(self) -> str:
        """The C initialiser of ``marram_picture``."""
        fields = ", ".join(f".{name} = {getattr(self, name)}" for name in self.__struct_fields__)
        return f"((marram_picture){{{fields}}})"


def picture(place: Place, op: Conv2D | DepthwiseConv2D, kernel: tuple[int, int], *, phases: int = 1) -> Picture:
    """The copy that all windows of an operator lie in.

    Raises:
        UserError: a batch, other types than int8, or padding wider than the windows reach.
    """
    site = place.site
    batch, height, width, channels = site.input(0).shape
    _, out_height, out_width, _ = site.output.shape
    if batch != 1 or site.input(0).dtype != "int8" or site.output.dtype != "int8":
        raise site.error("host kernels take one int8 image")
    rows = (out_height - 1) * op.stride[0] + (kernel[0] - 1) * op.dilation[0] + 1
    columns = (out_width - 1) * op.stride[1] + (kernel[1] - 1) * op.dilation[1] + 1
    top, _, left, _ = op.padding
    if left > columns:
        raise site.error("the padding is wider than the windows")
    return Picture(
        height=height,
        width=width,
        channels=channels,
        rows=rows,
        columns=-(-columns // phases),
        phases=phases,
        top=top,
        left=left,
    )
