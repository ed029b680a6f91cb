"""Conv, ConvTranspose and the pools: channels first, explicit or automatic padding -> channels last, explicit padding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from marram.core import operators as ops
from marram.core.operators import Padding, Pair
from marram.model.layout.permutations import invert
from marram.model.onnx.importing import Site


def _spatial(site: Site) -> int:
    """The number of spatial axes, one or two."""
    rank = len(site.shape(0))
    site.need(rank in {3, 4}, f"with {rank - 2} spatial axes")
    return rank - 2


def _pair(site: Site, name: str, default: tuple[int, ...], spatial: int) -> Pair:
    """An attribute with a value for each spatial axis; a sequence gets 1 for its height."""
    values = site.integers(name) or default
    if len(values) != spatial or any(value < 1 for value in values):
        site.damaged(f"attribute {name} is {values}")
    return (1, values[0]) if spatial == 1 else (values[0], values[1])


def _padding(site: Site, kernel: Pair, stride: Pair, dilation: Pair, spatial: int) -> Padding:
    """(top, bottom, left, right) from ``pads`` or ``auto_pad``."""
    mode = site.attribute("auto_pad", "NOTSET")
    if mode in {"SAME_UPPER", "SAME_LOWER"}:
        image = site.shape(0)[2:] if spatial == 2 else (1, *site.shape(0)[2:])
        pairs = [
            _same(size, k, s, d, upper=mode == "SAME_UPPER")
            for size, k, s, d in zip(image, kernel, stride, dilation, strict=True)
        ]
        return (*pairs[0], *pairs[1])
    if mode == "VALID":
        return (0, 0, 0, 0)
    site.need(mode == "NOTSET", f"with auto_pad {mode}")
    pads = site.integers("pads") or (0,) * (2 * spatial)
    if len(pads) != 2 * spatial:
        site.damaged(f"attribute pads is {pads}")
    site.need(min(pads) >= 0, "with negative padding")
    return (0, 0, pads[0], pads[1]) if spatial == 1 else (pads[0], pads[2], pads[1], pads[3])


def _same(size: int, kernel: int, stride: int, dilation: int, *, upper: bool) -> Pair:
    total = max(0, (-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size)
    return (total // 2, total - total // 2) if upper else (total - total // 2, total // 2)


def conv(site: Site) -> None:
    """Conv of one or two spatial axes, any groups; depthwise where each input channel is a group."""
    spatial = _spatial(site)
    shape = site.shape(1)
    if len(shape) != spatial + 2:
        site.damaged(f"weights of shape {shape}")
    groups, channels = site.attribute("group", 1), site.shape(0)[1]
    if groups < 1 or channels % groups or shape[0] % groups or shape[1] != channels // groups:
        site.damaged(f"weights of shape {shape} in {groups} groups for {channels} channels")
    kernel: Pair = (1, shape[2]) if spatial == 1 else (shape[2], shape[3])
    stride, dilation = _pair(site, "strides", (1,) * spatial, spatial), _pair(site, "dilations", (1,) * spatial, spatial)
    padding = _padding(site, kernel, stride, dilation, spatial)
    insert = 2 if spatial == 1 else None
    bias = site.weights(2) if site.has(2) else ""
    image = site.to_last(site.tensor(0))
    if groups == channels and groups > 1:
        weights = site.weights(1, insert=insert, permutation=(1, 2, 3, 0))
        depthwise = ops.DepthwiseConv2D(stride=stride, dilation=dilation, padding=padding)
        made = site.step(depthwise, image, weights, bias)
    else:
        weights = site.weights(1, insert=insert, permutation=(0, 2, 3, 1))
        plain = ops.Conv2D(stride=stride, dilation=dilation, padding=padding, groups=groups)
        made = site.step(plain, image, weights, bias)
    site.from_last(made, rank=spatial + 2)


def conv_transpose(site: Site) -> None:
    """ConvTranspose of one or two spatial axes, one group, no dilation."""
    spatial = _spatial(site)
    shape = site.shape(1)
    if len(shape) != spatial + 2 or shape[0] != site.shape(0)[1]:
        site.damaged(f"weights of shape {shape}")
    site.need(site.attribute("group", 1) == 1, "with groups")
    ones = (1,) * spatial
    site.need(_pair(site, "dilations", ones, spatial) == (1, 1), "with dilation")
    stride = _pair(site, "strides", ones, spatial)
    kernel: Pair = (1, shape[2]) if spatial == 1 else (shape[2], shape[3])
    padding, extra = _transposed_padding(site, kernel, stride, spatial)
    weights = site.weights(1, insert=2 if spatial == 1 else None, permutation=(1, 2, 3, 0))
    bias = site.weights(2) if site.has(2) else ""
    op = ops.TransposeConv2D(stride=stride, padding=padding, output_padding=extra)
    site.from_last(site.step(op, site.to_last(site.tensor(0)), weights, bias), rank=spatial + 2)


def _transposed_padding(site: Site, kernel: Pair, stride: Pair, spatial: int) -> tuple[Padding, Pair]:
    """Padding and output padding, from ``pads``, ``auto_pad`` or ``output_shape``."""
    given = site.integers("output_padding") or (0,) * spatial
    if len(given) != spatial:
        site.damaged(f"attribute output_padding is {given}")
    extra: Pair = (0, given[0]) if spatial == 1 else (given[0], given[1])
    mode = site.attribute("auto_pad", "NOTSET")
    wanted = site.integers("output_shape")[-spatial:]
    if mode in {"NOTSET", "VALID"} and not wanted:
        return _padding(site, kernel, stride, (1, 1), spatial), extra
    image = site.shape(0)[2:]
    target = wanted or tuple(size * step for size, step in zip(image, stride[-spatial:], strict=True))
    pairs: list[Pair] = [(0, 0)] if spatial == 1 else []
    for size, k, s, e, out in zip(image, kernel[-spatial:], stride[-spatial:], extra[-spatial:], target, strict=True):
        total = (size - 1) * s + k + e - out
        site.need(total >= 0, "with an output larger than its kernel reaches")
        half = total // 2
        pairs.append((total - half, half) if mode in {"SAME_LOWER", "NOTSET"} else (half, total - half))
    return (*pairs[0], *pairs[1]), extra


def _pool_window(site: Site) -> tuple[int, Pair, Pair, Padding]:
    spatial = _spatial(site)
    ones = (1,) * spatial
    kernel, stride = _pair(site, "kernel_shape", (), spatial), _pair(site, "strides", ones, spatial)
    site.need(_pair(site, "dilations", ones, spatial) == (1, 1), "with dilation")
    padding = _padding(site, kernel, stride, (1, 1), spatial)
    if site.attribute("ceil_mode", 0):
        image = site.shape(0)[2:] if spatial == 2 else (1, *site.shape(0)[2:])
        rows = _ceiled(image[0], kernel[0], stride[0], padding[:2])
        columns = _ceiled(image[1], kernel[1], stride[1], padding[2:])
        padding = (padding[0], rows, padding[2], columns)
    return spatial, kernel, stride, padding


def _ceiled(size: int, kernel: int, stride: int, pads: tuple[int, ...]) -> int:
    """The padding after an axis with which rounding down gives the places that ONNX's rounding up gives."""
    before, after = pads
    places = -(-(size + before + after - kernel) // stride) + 1
    if (places - 1) * stride >= size + before:
        places -= 1
    return max(after, (places - 1) * stride + kernel - size - before)


def max_pool(site: Site) -> None:
    """MaxPool; its second output, the indices, has no translation."""
    site.need(len([name for name in site.node.outputs if name]) == 1, "with indices")
    spatial, kernel, stride, padding = _pool_window(site)
    op = ops.MaxPool2D(kernel=kernel, stride=stride, padding=padding)
    site.from_last(site.step(op, site.to_last(site.tensor(0))), rank=spatial + 2)


def average_pool(site: Site) -> None:
    """AveragePool; where padding counts it becomes a Pad of its own."""
    spatial, kernel, stride, padding = _pool_window(site)
    image = site.to_last(site.tensor(0))
    if site.attribute("count_include_pad", 0) and any(padding):
        site.need(not site.attribute("ceil_mode", 0), "with ceil_mode and counted padding")
        top, bottom, left, right = padding
        image = site.step(ops.Pad(paddings=((0, 0), (top, bottom), (left, right), (0, 0))), image)
        padding = (0, 0, 0, 0)
    op = ops.AveragePool2D(kernel=kernel, stride=stride, padding=padding)
    site.from_last(site.step(op, image), rank=spatial + 2)


def global_average_pool(site: Site) -> None:
    """GlobalAveragePool as a mean that keeps its axes."""
    site.result(ops.Mean(axes=tuple(range(2, len(site.shape(0)))), keep_dims=True), site.tensor(0))


def global_max_pool(site: Site) -> None:
    """GlobalMaxPool as a window of the image's size."""
    spatial = _spatial(site)
    image = site.to_last(site.tensor(0))
    _, h, w, _ = site.shape_of(image)
    site.from_last(site.step(ops.MaxPool2D(kernel=(h, w), stride=(h, w)), image), rank=spatial + 2)


def batch_normalization(site: Site) -> None:
    """BatchNormalization with stored statistics."""
    site.need(not site.attribute("training_mode", 0) and len([n for n in site.node.outputs if n]) == 1, "in training mode")
    shape = site.shape(0)
    site.need(len(shape) >= 2, "on one axis")
    op = ops.BatchNorm(epsilon=site.attribute("epsilon", 1e-5))
    for index in range(1, 5):
        if np.ndim(site.array(index)) != 1:
            site.damaged(f"input {index} is not a vector")
    vectors = [site.weights(index) for index in range(1, 5)]
    if len(shape) == 2:
        site.result(op, site.tensor(0), *vectors)
    else:
        last = (0, *range(2, len(shape)), 1)
        normal = site.step(op, site.transposed(site.tensor(0), last), *vectors)
        site.result(ops.Transpose(permutation=invert(last)), normal)


READERS: dict[str, Callable[[Site], None]] = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
    "BatchNormalization": batch_normalization,
}
