"""Means, sums, softmax and normalisations."""
# ruff: noqa: FBT001, FBT002, PLR0917 -- parameters stand as in the ATen signatures

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from marram.core.operators import BatchNorm, LayerNorm, Mean, Operator, Softmax, Sum
from marram.model.torch_import.page import Activation, Constant, Page, Value


def mean(page: Page, x: Activation, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Value:
    """``aten::mean``."""
    return _reduced(page, Mean(axes=_axes(x, dim), keep_dims=bool(keepdim)), x, dtype)


def total(page: Page, x: Activation, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Value:
    """``aten::sum``."""
    return _reduced(page, Sum(axes=_axes(x, dim), keep_dims=bool(keepdim)), x, dtype)


def softmax(page: Page, x: Activation, dim: int, _dtype: Any = None) -> Value:
    """``aten::softmax`` along any axis."""
    rank = len(x.shape)
    order = [axis for axis in range(rank) if axis != dim % rank] + [dim % rank]
    last = page.add(Softmax(), page.transposed(x, order))
    return page.transposed(last, [order.index(axis) for axis in range(rank)])


def layer_norm(
    page: Page,
    x: Activation,
    normalized_shape: Sequence[int],
    weight: Value | None = None,
    bias: Value | None = None,
    eps: float = 1e-5,
    *_switches: Any,
) -> Value:
    """``aten::layer_norm``; several axes are normalised as one."""
    kept = x.shape[: len(x.shape) - len(normalized_shape)]
    width = torch.Size(normalized_shape).numel()
    flat = page.reshaped(x, (*kept, width))
    gamma, beta = _vector(page, weight, 1, width, "weight"), _vector(page, bias, 0, width, "bias")
    return page.reshaped(page.add(LayerNorm(epsilon=eps), flat, gamma, beta), x.shape)


def batch_norm(
    page: Page,
    x: Activation,
    weight: Value | None,
    bias: Value | None,
    running_mean: Value | None,
    running_var: Value | None,
    _training: bool,
    _momentum: float,
    eps: float,
    *_switches: Any,
) -> Value:
    """``aten::batch_norm`` by running statistics."""
    if running_mean is None or running_var is None:
        page.refuse("without running statistics")
    rank, width = len(x.shape), x.shape[1]
    parameters = (
        _vector(page, weight, 1, width, "weight"),
        _vector(page, bias, 0, width, "bias"),
        running_mean,
        running_var,
    )
    last = page.transposed(x, (0, *range(2, rank), 1), suffix="channels_last")
    result = page.add(BatchNorm(epsilon=eps), last, *parameters)
    return page.transposed(result, (0, rank - 1, *range(1, rank - 1)), suffix="channels_first")


def native_batch_norm(
    page: Page,
    x: Activation,
    weight: Value | None,
    bias: Value | None,
    running_mean: Value,
    running_var: Value,
    momentum: float,
    eps: float,
) -> tuple[Value, None, None]:
    """``aten::_native_batch_norm_legit_no_training``, which also gives statistics that nobody reads."""
    return batch_norm(page, x, weight, bias, running_mean, running_var, False, momentum, eps), None, None


def native_layer_norm(page: Page, x: Activation, *arguments: Any) -> tuple[Value, None, None]:
    """``aten::native_layer_norm``, which also gives statistics that nobody reads."""
    return layer_norm(page, x, *arguments), None, None


def _reduced(page: Page, op: Operator, x: Activation, dtype: Any) -> Value:
    if dtype not in {None, torch.float32}:
        page.refuse(f"to {dtype}")
    return page.add(op, x)


def _axes(x: Activation, dim: Any) -> tuple[int, ...]:
    rank = len(x.shape)
    if dim is None or dim == []:
        return tuple(range(rank))
    return tuple(sorted(axis % rank for axis in ([dim] if isinstance(dim, int) else dim)))


def _vector(page: Page, value: Value | None, default: float, width: int, suffix: str) -> Constant:
    """A parameter as a vector; ones or zeros where the module has none."""
    if value is None:
        return Constant(name=f"{page.place}.{suffix}", value=torch.full((width,), float(default)))
    if not isinstance(value, Constant):
        page.refuse("with computed parameters")
    return Constant(name=value.name, value=value.value.reshape(-1))
