"""Convolution with vectors of channels."""

from __future__ import annotations

from marram.compile.c.kernels.host.channels import in_a_row, scaling
from marram.compile.c.kernels.host.packing import packed_product
from marram.compile.c.kernels.host.picture import Picture, picture
from marram.compile.c.place import Place, Routine
from marram.compile.c.requantisation import requantisation
from marram.core.graph import Array
from marram.core.operators import Conv2D


def conv2d(place: Place) -> Routine:
    """int8 convolution of one image, ungrouped."""
    site = place.site
    op = site.op(Conv2D)
    if op.groups != 1:
        raise site.error("grouped convolutions are not served here")
    weights = site.constant(1)
    outputs, kernel_height, kernel_width, channels = weights.shape
    by = requantisation(site, op.activation, channel_axis=0)
    scaled = scaling(by, weights.reshape(outputs, -1), in_a_row(outputs))
    _, out_height, out_width, _ = site.output.shape
    sizes = picture(place, op, (kernel_height, kernel_width))
    plain = (kernel_height, kernel_width) == (1, 1) == op.stride and not any(op.padding)
    if plain:
        kernel = f"marram_host_dense({dense_literal(out_height * out_width, outputs, channels)}, "
        packed, scratch_bytes, zero = packed_product(weights.reshape(outputs, 1, channels)), sizes.size_bytes, ""
    else:
        literal, segments = _product(sizes, op, weights, out_height, out_width)
        kernel = f"marram_host_conv2d({sizes.literal}, {literal}, "
        packed, scratch_bytes, zero = packed_product(segments), sizes.size_bytes, f"{site.zero_point(site.input(0))}, "
    return Routine(
        includes=("host/conv2d.h",),
        body=f"{kernel}x0, y0, @weights@, {scaled.literal}, {zero}scratch);",
        constants=(packed, scaled.records),
        scratch_bytes=scratch_bytes,
        instructions=weights.size * out_height * out_width / 32.0,
    )


def dense_literal(rows: int, outputs: int, depth: int) -> str:
    """``marram_product`` of a layer on the last axis, for so many rows of it."""
    return (
        f"((marram_product){{.rows = 1, .columns = {rows}, .channels = {outputs}, .in_row = 0, .in_pixel = {depth}, "
        f".kernel_rows = 1, .kernel_row = 0, .kernel_columns = 1, .kernel_column = 0, .quads = {-(-depth // 4)}}})"
    )


def _product(sizes: Picture, op: Conv2D, weights: Array, out_height: int, out_width: int) -> tuple[str, Array]:
    """The literal of ``marram_product`` and the weights as (O, segments, bytes).

    The pixels of a window's row stand side by side, so they are one segment, if the window is not dilated.
    """
    outputs, kernel_height, kernel_width, channels = weights.shape
    apart = kernel_width if op.dilation[1] > 1 else 1
    segment = kernel_width * channels // apart
    row = sizes.row_bytes
    literal = (
        f"((marram_product){{.rows = {out_height}, .columns = {out_width}, .channels = {outputs}, "
        f".in_row = {op.stride[0] * row}, .in_pixel = {op.stride[1] * channels}, "
        f".kernel_rows = {kernel_height}, .kernel_row = {op.dilation[0] * row}, "
        f".kernel_columns = {apart}, .kernel_column = {op.dilation[1] * channels}, .quads = {-(-segment // 4)}}})"
    )
    return literal, weights.reshape(outputs, kernel_height * apart, segment)
