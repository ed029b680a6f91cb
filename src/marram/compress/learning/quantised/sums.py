"""The gradient of a sum of two activations, chunk by chunk. Importing it imports torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from marram.compress.learning.quantised.requantisation import CHUNK


class _Summed(Function):
    @staticmethod
    def forward(  # noqa: PLR0917  # torch gives what it was given
        ctx: Any, a: Tensor, b: Tensor, first: Tensor, second: Tensor, exact: Tensor, limits: tuple[float, float]
    ) -> Tensor:
        ctx.save_for_backward(a, b, first, second)
        ctx.limits = limits
        return exact

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        a, b, first, second = ctx.saved_tensors
        low, high = ctx.limits[0] - 0.5, ctx.limits[1] + 0.5
        flat = [value.reshape(-1) for value in (a, b, gradients[0])]
        to_a, to_b = torch.empty_like(flat[0]), torch.empty_like(flat[0])
        to_factors = torch.zeros(2, dtype=torch.float64)
        steps, other = torch.empty(2, min(CHUNK, max(1, len(flat[0]))))
        for start in range(0, len(flat[0]), CHUNK):
            x, y, passed = (value[start : start + CHUNK] for value in flat)
            sums, cut = steps[: len(x)], other[: len(x)]
            torch.mul(x, first, out=sums)
            sums.addcmul_(y, second)
            torch.clamp(sums, low, high, out=cut)
            sums.copy_(cut == sums)
            sums *= passed
            torch.mul(sums, first, out=to_a[start : start + CHUNK])
            torch.mul(sums, second, out=to_b[start : start + CHUNK])
            to_factors[0] += torch.dot(sums, x)
            to_factors[1] += torch.dot(sums, y)
        wanted = to_factors.to(first.dtype)
        return to_a.reshape(a.shape), to_b.reshape(b.shape), wanted[0], wanted[1], None, None


def summed(values: tuple[Tensor, Tensor], factors: tuple[Tensor, Tensor], exact: Tensor, limits: tuple[float, float]) -> Tensor:
    """The value of ``exact`` with the gradient of ``a * first + b * second`` where that is not cut off.

    Args:
        values: a and b, float32 of one shape.
        factors: first and second, scalars.
        exact: the integers of the result, float32.
        limits: between which the result was clamped.
    """
    result: Tensor = _Summed.apply(*values, *factors, exact, limits)  # type: ignore[no-untyped-call]
    return result
