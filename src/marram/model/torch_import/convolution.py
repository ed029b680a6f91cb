"""Convolutions: one- and two-dimensional, grouped, depthwise, transposed."""
# ruff: noqa: PLR0917 -- parameters stand as in the ATen signatures

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marram.core.operators import Conv2D, DepthwiseConv2D, Operator, Padding, Pair, TransposeConv2D
from marram.model.torch_import.page import Activation, Constant, Page, Value


def on_channels_last(page: Page, op: Operator, x: Activation, *parameters: Value | None) -> Value:
    """``op`` on ``x`` turned channels last, a sequence ``(N,C,T)`` as an image of height 1; the result channels first."""
    if len(x.shape) == 4:
        turned = page.transposed(x, (0, 2, 3, 1), suffix="channels_last")
        return page.transposed(page.add(op, turned, *parameters), (0, 3, 1, 2), suffix="channels_first")
    if len(x.shape) == 3:
        turned = page.transposed(x, (0, 2, 1), suffix="channels_last")
        image = page.reshaped(turned, (turned.shape[0], 1, *turned.shape[1:]), suffix="image")
        result = page.add(op, image, *parameters)
        sequence = page.reshaped(result, (result.shape[0], *result.shape[2:]), suffix="sequence")
        return page.transposed(sequence, (0, 2, 1), suffix="channels_first")
    return page.refuse(f"on a tensor of rank {len(x.shape)}")


def pair(page: Page, value: int | Sequence[int], rank: int, *, unit: int = 1) -> Pair:
    """(height, width) of a torch argument; the height of a sequence is ``unit``."""
    given = (value,) if isinstance(value, int) else tuple(value)
    spatial = rank - 2
    if len(given) == 1:
        given *= spatial
    if len(given) != spatial or spatial not in {1, 2}:
        page.refuse(f"of {spatial} dimensions")
    return (unit, given[0]) if spatial == 1 else (given[0], given[1])


def conv(
    page: Page,
    x: Activation,
    weight: Value,
    bias: Value | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Value:
    """``aten::conv1d`` and ``conv2d``; padding may be "same" or "valid"."""
    kernel = _constant(page, weight)
    rank = len(x.shape)
    steps, spread = pair(page, stride, rank), pair(page, dilation, rank)
    size = pair(page, kernel.shape[2:], rank)
    around = _padding(page, padding, size=size, dilation=spread, rank=rank)
    weights = kernel.value.unsqueeze(2) if rank == 3 else kernel.value
    outputs, per_group = weights.shape[:2]
    if groups > 1 and per_group == 1 and outputs % groups == 0:
        op: Operator = DepthwiseConv2D(stride=steps, dilation=spread, padding=around)
        weights = weights.permute(1, 2, 3, 0)
    else:
        op = Conv2D(stride=steps, dilation=spread, padding=around, groups=groups)
        weights = weights.permute(0, 2, 3, 1)
    return on_channels_last(page, op, x, Constant(name=kernel.name, value=weights), bias)


def conv_transpose(
    page: Page,
    x: Activation,
    weight: Value,
    bias: Value | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Value:
    """``aten::conv_transpose1d`` and ``conv_transpose2d`` without groups or dilation."""
    kernel = _constant(page, weight)
    rank = len(x.shape)
    if groups != 1 or pair(page, dilation, rank) != (1, 1):
        page.refuse("with groups or dilation")
    high, wide = pair(page, padding, rank, unit=0)
    op = TransposeConv2D(
        stride=pair(page, stride, rank),
        padding=(high, high, wide, wide),
        output_padding=pair(page, output_padding, rank, unit=0),
    )
    weights = kernel.value.unsqueeze(2) if rank == 3 else kernel.value
    return on_channels_last(page, op, x, Constant(name=kernel.name, value=weights.permute(1, 2, 3, 0)), bias)


def _constant(page: Page, weight: Value) -> Constant:
    return weight if isinstance(weight, Constant) else page.refuse("with computed weights")


def _padding(page: Page, padding: Any, *, size: Pair, dilation: Pair, rank: int) -> Padding:
    if padding == "valid":
        return (0, 0, 0, 0)
    if padding == "same":
        total = [step * (length - 1) for step, length in zip(dilation, size, strict=True)]
        return (total[0] // 2, total[0] - total[0] // 2, total[1] // 2, total[1] - total[1] // 2)
    high, wide = pair(page, padding, rank, unit=0)
    return (high, high, wide, wide)
