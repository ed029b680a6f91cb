"""Kernels of images ``(N,H,W,C)``, which torch sees as NCHW views in its channels-last memory format: nothing is copied."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from marram.core.graph import Array
from marram.core.operators import AveragePool2D, Conv2D, DepthwiseConv2D, MaxPool2D, Padding, Resize, TransposeConv2D
from marram.model.torch_graph.site import Site, activated


def conv2d(site: Site, x: Tensor, weights: Tensor, bias: Tensor | None = None, *, training: bool) -> tuple[Tensor]:
    """Convolution, grouped or not."""
    del training
    op = site.op(Conv2D)
    image, around = _padded(_first(x), op.padding)
    kernel = weights.permute(0, 3, 1, 2)
    stride = op.stride
    if site.output_shape[2] == 1 and stride[1] > 1:
        # torch 2.13 sums wrongly for one channel in, one column out and a stride across: with one column it needs none
        image, stride = functional.pad(image, (around[1], around[1])), (stride[0], 1)
        image, around = image[..., : (kernel.shape[3] - 1) * op.dilation[1] + 1], (around[0], 0)
    result = functional.conv2d(image, kernel, bias, stride, around, op.dilation, op.groups)
    return (activated(_last(result), op.activation),)


def depthwise_conv2d(site: Site, x: Tensor, weights: Tensor, bias: Tensor | None = None, *, training: bool) -> tuple[Tensor]:
    """Depthwise convolution: as many groups as channels."""
    del training
    op = site.op(DepthwiseConv2D)
    image, around = _padded(_first(x), op.padding)
    kernel = weights.permute(3, 0, 1, 2)
    result = functional.conv2d(image, kernel, bias, op.stride, around, op.dilation, image.shape[1])
    return (activated(_last(result), op.activation),)


def transpose_conv2d(site: Site, x: Tensor, weights: Tensor, bias: Tensor | None = None, *, training: bool) -> tuple[Tensor]:
    """Transposed convolution: all it reaches, cut or extended to the padding, then the bias."""
    del training
    op = site.op(TransposeConv2D)
    top, bottom, left, right = op.padding
    whole = functional.conv_transpose2d(_first(x), weights.permute(3, 0, 1, 2), stride=op.stride)
    result = _last(functional.pad(whole, (-left, op.output_padding[1] - right, -top, op.output_padding[0] - bottom)))
    return (activated(result if bias is None else result + bias, op.activation),)


def average_pool2d(site: Site, x: Tensor, *, training: bool) -> tuple[Tensor]:
    """Mean over windows; padded places are not counted."""
    del training
    op = site.op(AveragePool2D)
    result = _mean_of_windows(op, _first(x))
    if any(op.padding):
        result = result / _mean_of_windows(op, torch.ones_like(_first(x[:1, :, :, :1])))
    return (activated(_last(result), op.activation),)


def max_pool2d(site: Site, x: Tensor, *, training: bool) -> tuple[Tensor]:
    """Maximum over windows; padded places are never it."""
    del training
    op = site.op(MaxPool2D)
    top, bottom, left, right = op.padding
    image = functional.pad(_first(x), (left, right, top, bottom), value=-torch.inf) if any(op.padding) else _first(x)
    return (activated(_last(functional.max_pool2d(image, op.kernel, op.stride)), op.activation),)


def resize(site: Site, x: Tensor, *, training: bool) -> tuple[Tensor]:
    """Nearest or bilinear sampling at the places that TFLite's flags define."""
    del training
    op = site.op(Resize)
    for axis, size in ((1, op.size[0]), (2, op.size[1])):
        lower, upper, part = _sources(op, x.shape[axis], size)
        low, high = (x.index_select(axis, torch.from_numpy(places)) for places in (lower, upper))
        weight = torch.from_numpy(part).reshape([-1 if i == axis else 1 for i in range(4)])
        x = low if op.method == "nearest" else low * (1 - weight) + high * weight
    return (x,)


def _first(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def _last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def _padded(image: Tensor, padding: Padding) -> tuple[Tensor, tuple[int, int]]:
    """The image and the symmetric padding that is left for the convolution to do."""
    top, bottom, left, right = padding
    if top == bottom and left == right:
        return image, (top, left)
    return functional.pad(image, (left, right, top, bottom)), (0, 0)


def _mean_of_windows(op: AveragePool2D, image: Tensor) -> Tensor:
    padded, around = _padded(image, op.padding)
    return functional.avg_pool2d(functional.pad(padded, (around[1], around[1], around[0], around[0])), op.kernel, op.stride)


def _sources(op: Resize, size_in: int, size_out: int) -> tuple[Array, Array, Array]:
    """Lower and upper source of each output place along one axis, and the upper one's weight; in float32, as the reference."""
    aligned = op.align_corners and size_out > 1
    scale = np.float32(size_in - 1) / np.float32(size_out - 1) if aligned else np.float32(size_in) / np.float32(size_out)
    places = np.arange(size_out, dtype=np.float32)
    half = np.float32(0.5)
    if op.method == "nearest":
        sampled = (places + half if op.half_pixel_centers else places) * scale
        rounded = np.floor(sampled.astype(np.float64) + 0.5) if op.align_corners else np.floor(sampled)
        nearest = np.clip(rounded, 0, size_in - 1).astype(np.int64)
        return nearest, nearest, np.zeros(size_out, np.float32)
    sampled = (places + half) * scale - half if op.half_pixel_centers else places * scale
    lower = np.clip(np.floor(sampled), 0, size_in - 1).astype(np.int64)
    upper = np.clip(np.ceil(sampled), 0, size_in - 1).astype(np.int64)
    return lower, upper, (sampled - lower).astype(np.float32)
