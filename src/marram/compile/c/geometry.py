"""The sizes of a window operator as C sees them, and the literal of ``marram_window`` that carries them."""

from __future__ import annotations

import msgspec

from marram.compile.c.place import Place, Window
from marram.core.graph import Tensor
from marram.core.operators import AveragePool2D, Conv2D, DepthwiseConv2D, MaxPool2D, TransposeConv2D
from marram.model.reference.site import Site

WindowOp = Conv2D | DepthwiseConv2D | AveragePool2D | MaxPool2D | TransposeConv2D


class Geometry(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes of a window operator, one sample. ``in_rows`` and ``out_rows`` are what the buffers hold.

    A sequence, one row of T pixels, is taken as T rows of one pixel: the bytes are the same, and it can be rolled.
    """

    in_height: int
    in_width: int
    in_channels: int
    in_rows: int
    out_height: int
    out_width: int
    out_channels: int
    out_rows: int
    kernel_height: int
    kernel_width: int
    stride_y: int
    stride_x: int
    dilation_y: int = 1
    dilation_x: int = 1
    pad_top: int
    pad_left: int

    @property
    def literal(self) -> str:
        """The C value of type ``marram_window``."""
        return f"((marram_window){self.fields})"

    @property
    def fields(self) -> str:
        """Its initialiser, in braces."""
        return f"{{{', '.join(f'.{name} = {getattr(self, name)}' for name in self.__struct_fields__)}}}"

    @property
    def rows(self) -> Window:
        """Which input rows an output row needs."""
        return Window(kernel=self.kernel_height, stride=self.stride_y, dilation=self.dilation_y, pad=self.pad_top)

    @property
    def columns(self) -> Window:
        """Which input columns an output column needs."""
        return Window(kernel=self.kernel_width, stride=self.stride_x, dilation=self.dilation_x, pad=self.pad_left)

    @property
    def whole(self) -> bool:
        """Whether both buffers hold all rows."""
        return self.in_rows == self.in_height and self.out_rows == self.out_height


def geometry(place: Place, op: WindowOp, kernel: tuple[int, int]) -> Geometry:
    """The sizes at a place, for a ``kernel`` of (height, width)."""
    batch, height, width, channels = place.site.input(0).shape
    if batch != 1:
        raise place.site.error(f"C runs one sample, and this layer has {batch}", "Make the graph with a leading axis of 1.")
    _, out_height, out_width, out_channels = place.site.output.shape
    dilation = getattr(op, "dilation", (1, 1))
    sizes = [(height, out_height, kernel[0], op.stride[0], dilation[0], op.padding[0])]
    sizes.append((width, out_width, kernel[1], op.stride[1], dilation[1], op.padding[2]))
    if is_sequence(place.site.input(0).shape, place.site.output.shape):
        sizes.reverse()
    by_rows = keeps_axes(place.site)
    (in_h, out_h, kernel_h, stride_y, dilation_y, top), (in_w, out_w, kernel_w, stride_x, dilation_x, left) = sizes
    return Geometry(
        in_height=in_h,
        in_width=in_w,
        in_channels=channels,
        in_rows=place.in_rows[0] if by_rows else in_h,
        out_height=out_h,
        out_width=out_w,
        out_channels=out_channels,
        out_rows=place.out_rows if by_rows else out_h,
        kernel_height=kernel_h,
        kernel_width=kernel_w,
        stride_y=stride_y,
        stride_x=stride_x,
        dilation_y=dilation_y,
        dilation_x=dilation_x,
        pad_top=top,
        pad_left=left,
    )


def rows_literal(place: Place) -> str:
    """The C initialiser of ``marram_rows`` for an elementwise operator: its rows, and those that each buffer holds."""
    height, width, elements = rows_of(place.site.output.shape)
    first, second = place.in_rows[0], place.in_rows[-1]
    fields = f".height = {height}, .width = {width * elements}, .a_rows = {first}, .b_rows = {second}"
    return f"((marram_rows){{{fields}, .out_rows = {place.out_rows}}})"


def is_sequence(in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> bool:
    """Whether images of these shapes are sequences: one row before and after."""
    return in_shape[1] == out_shape[1] == 1


def keeps_axes(site: Site) -> bool:
    """Whether the rows of all images of a node run along one axis: not where an image of one row becomes one of several."""
    shapes = [tensor.shape for tensor in (*activations_of(site), *site.outputs)]
    return len({shape[1] == 1 for shape in shapes if len(shape) == 4 and shape[0] == 1}) < 2


def activations_of(site: Site) -> tuple[Tensor, ...]:
    """The inputs that are not constants, in order."""
    return tuple(t for t, constant in zip(site.inputs, site.constants, strict=True) if t is not None and constant is None)


def two_alike(place: Place) -> tuple[Tensor, Tensor]:
    """The inputs of an elementwise operator on two int8 activations of one shape.

    Raises:
        UserError: other dtypes, a constant, or shapes that are to be stretched.
    """
    site = place.site
    a, b = site.input(0), site.input(1)
    alike = a.shape == b.shape and {a.dtype, b.dtype, site.output.dtype} == {"int8"}
    if not alike or any(value is not None for value in site.constants):
        raise site.error("only two int8 activations of one shape are served here")
    return a, b


def rows_of(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """A tensor as (rows, width, bytes of a pixel of int8): images by height, sequences by time, all else one row."""
    if len(shape) == 4 and shape[0] == 1:
        _, height, width, channels = shape
        return (width, 1, channels) if height == 1 else (height, width, channels)
    size = 1
    for dimension in shape:
        size *= dimension
    return 1, 1, size
