"""Pooling and resizing."""
# ruff: noqa: FBT001, FBT002, PLR0917 -- parameters stand as in the ATen signatures

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marram.core.operators import AveragePool2D, MaxPool2D, Mean, Pad, Padding, Pair, Resize
from marram.model.torch_import.convolution import on_channels_last, pair
from marram.model.torch_import.page import Activation, Page, Value


def max_pool(
    page: Page,
    x: Activation,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Value:
    """``aten::max_pool1d`` and ``max_pool2d``."""
    rank = len(x.shape)
    if pair(page, dilation, rank) != (1, 1):
        page.refuse("with dilation")
    kernel, steps = pair(page, kernel_size, rank), pair(page, stride or kernel_size, rank)
    around = _around(page, x, kernel, steps, pair(page, padding, rank, unit=0), ceil=ceil_mode)
    return on_channels_last(page, MaxPool2D(kernel=kernel, stride=steps, padding=around), x)


def average_pool(
    page: Page,
    x: Activation,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    """``aten::avg_pool1d`` and ``avg_pool2d``; padded places that count are padded by an operator of their own."""
    if divisor_override is not None:
        page.refuse("with divisor_override")
    rank = len(x.shape)
    kernel, steps = pair(page, kernel_size, rank), pair(page, stride or kernel_size, rank)
    edges = pair(page, padding, rank, unit=0)
    around = _around(page, x, kernel, steps, edges, ceil=ceil_mode)
    if count_include_pad and edges != (0, 0):
        spatial = ((edges[0],) * 2, (edges[1],) * 2)[4 - rank :]
        x = page.add(Pad(paddings=((0, 0), (0, 0), *((low, high) for low, high in spatial))), x, suffix="padded")
        around = (0, around[1] - edges[0], 0, around[3] - edges[1])
    return on_channels_last(page, AveragePool2D(kernel=kernel, stride=steps, padding=around), x)


def adaptive_average_pool(page: Page, x: Activation, output_size: Any) -> Value:
    """``aten::adaptive_avg_pool1d`` and ``adaptive_avg_pool2d`` to one place, or to sizes that divide the input's."""
    rank = len(x.shape)
    size = pair(page, output_size, rank)
    if size == (1, 1):
        return page.add(Mean(axes=tuple(range(2, rank)), keep_dims=True), x)
    window = _whole_window(page, x, size)
    return on_channels_last(page, AveragePool2D(kernel=window, stride=window), x)


def adaptive_max_pool(page: Page, x: Activation, output_size: Any) -> tuple[Value, None]:
    """``aten::adaptive_max_pool1d`` and ``adaptive_max_pool2d`` to sizes that divide the input's, without the indices."""
    window = _whole_window(page, x, pair(page, output_size, len(x.shape)))
    return on_channels_last(page, MaxPool2D(kernel=window, stride=window), x), None


def resize_nearest(page: Page, x: Activation, output_size: Sequence[int] | None, *_scales: Any, exact: bool = False) -> Value:
    """``aten::upsample_nearest1d`` and ``upsample_nearest2d``; the result's size says all."""
    _check_scales(page, x)
    size = pair(page, page.shape[2:] if page.shape else output_size or (), len(x.shape))
    return on_channels_last(page, Resize(size=size, method="nearest", half_pixel_centers=exact), x)


def resize_nearest_exact(page: Page, x: Activation, output_size: Sequence[int] | None, *scales: Any) -> Value:
    """``aten::_upsample_nearest_exact2d``: centres of pixels."""
    return resize_nearest(page, x, output_size, *scales, exact=True)


def resize_bilinear(
    page: Page,
    x: Activation,
    _output_size: Sequence[int] | None,
    align_corners: bool,
    *_scales: Any,
) -> Value:
    """``aten::upsample_bilinear2d``."""
    if not align_corners:
        _check_scales(page, x)
    size = pair(page, page.shape[2:], len(x.shape))
    op = Resize(size=size, method="bilinear", align_corners=align_corners, half_pixel_centers=not align_corners)
    return on_channels_last(page, op, x)


def _check_scales(page: Page, x: Activation) -> None:
    """Torch may sample by the scale that was asked for instead of the sizes' ratio; the two agree where sizes divide."""
    if any(new % old and old % new for new, old in zip(page.shape[2:], x.shape[2:], strict=True)):
        page.refuse(f"from {x.shape[2:]} to {page.shape[2:]}, which is no whole ratio")


def _around(page: Page, x: Activation, kernel: Pair, stride: Pair, padding: Pair, *, ceil: bool) -> Padding:
    """Padding on the four sides; with ``ceil`` the far sides get what the last, hanging window needs."""
    if not ceil:
        return (padding[0], padding[0], padding[1], padding[1])
    spatial = pair(page, page.shape[2:], len(x.shape))
    sizes = pair(page, x.shape[2:], len(x.shape))
    far = [
        max(edge, (out - 1) * step + length - size - edge)
        for edge, out, step, length, size in zip(padding, spatial, stride, kernel, sizes, strict=True)
    ]
    return (padding[0], far[0], padding[1], far[1])


def _whole_window(page: Page, x: Activation, size: Pair) -> Pair:
    sizes = pair(page, x.shape[2:], len(x.shape))
    if any(whole % part for whole, part in zip(sizes, size, strict=True)):
        page.refuse(f"from {sizes} to {size}, which does not divide it")
    return (sizes[0] // size[0], sizes[1] // size[1])
