"""Gradients through roundings: the exact value forwards, the slope of what it rounds backwards. Importing it imports torch.

Sources: Bengio et al., Estimating or Propagating Gradients Through Stochastic Neurons, 2013 (straight-through estimator); Esser
et al., Learned Step Size Quantization, ICLR 2020 (gradients of step sizes and their scale).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


class _Straight(Function):
    @staticmethod
    def forward(_ctx: Any, smooth: Tensor, exact: Tensor) -> Tensor:
        del smooth
        return exact

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class _Scaled(Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(factor)
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (factor,) = ctx.saved_tensors
        return gradients[0] * factor, None


def straight(smooth: Tensor, exact: Tensor) -> Tensor:
    """The value of ``exact``, bit for bit, with the gradient of ``smooth``, which has its shape."""
    result: Tensor = _Straight.apply(smooth, exact)  # type: ignore[no-untyped-call]
    return result


def scaled_gradient(value: Tensor, factor: Tensor) -> Tensor:
    """The value, whose gradient is multiplied by ``factor``."""
    result: Tensor = _Scaled.apply(value, factor)  # type: ignore[no-untyped-call]
    return result


def rounded(steps: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """The nearest integers (halves to even) between low and high; beyond these the gradient is 0."""
    cut = torch.clamp(steps, low, high)  # type: ignore[arg-type]  # torch takes two tensors or two numbers
    return straight(cut, torch.round(cut.detach()))


def gradient_scale(count: int, greatest: float) -> float:
    """What tames a step size's gradient: ``1 / sqrt(n * Qp)`` for n integers up to Qp. Esser et al., section 2.2."""
    return float((count * greatest) ** -0.5)
