"""Requantisation in torch: from exact sums to the integers of the reference, bit for bit, with a gradient.

The reference multiplies a sum ``a`` by an integer ``m`` of 31 bits and shifts right by ``31 + s``, rounding twice. As a floor
of a floor is the floor of the quotient, that is ``floor(a * m / 2**(31 + s) + 1/2 + n)``, where n is 0 for s = 0, else
``2**-(s + 1)`` with the sign of a. In float64 this is exact for s <= 13: what is not cut off is below 2**9, so that every term
has at most 53 bits; what is larger is rounded, but stays larger. Beside int16 there is one rounding, n = 0, and the same
argument. Where it does not hold (shifts to the left that may overflow, tiny factors) the reference's own function is called.
Specification: ``model.reference.arithmetic``.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from marram.core.graph import Array
from marram.model.reference.arithmetic import Multiplier, multiply_wide, rescaler

CHUNK = 32768
"""Elements that are worked on at a time: two float64 copies stay within a core's second-level cache."""
_MOST_SHIFT = 13
_MOST_WIDE_SHIFT = 36


class Rescaling(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """How sums become integers: multiplier (one, or one for each channel), output's zero point, limits, dtype.

    ``wide`` is the rule beside int16 inputs; ``most`` bounds the magnitude of a sum with its bias.
    """

    by: Multiplier
    zero_point: int
    low: int
    high: int
    dtype: str
    wide: bool
    most: float

    @cached_property
    def factors(self) -> Array:
        """The factors as float64, exact."""
        if not self.wide:
            return np.asarray(np.ldexp(self.by.values.astype(np.float64), self.by.shifts - 31))
        reduced = np.where(self.by.values < 0x7FFF0000, (self.by.values + (1 << 15)) >> 16, 0x7FFF)
        return np.asarray(np.ldexp(reduced.astype(np.float64), self.by.shifts - 15))

    @cached_property
    def nudges(self) -> Array:
        """What the second rounding adds, float64; its sign is the sum's."""
        shifts = np.minimum(self.by.shifts, 0)
        return np.where((shifts < 0) & (not self.wide), np.ldexp(1.0, shifts - 1), 0.0)

    @property
    def is_exact_in_floats(self) -> bool:
        """Whether float64 gives the reference's integers."""
        least, greatest = int(self.by.shifts.min(initial=0)), int(self.by.shifts.max(initial=0))
        if self.wide:
            return 15 - least <= _MOST_WIDE_SHIFT and self.most * float(self.factors.max(initial=0.0)) < 2**31
        return least >= -_MOST_SHIFT and (greatest <= 0 or self.most * 2.0**greatest < 2**31)

    @property
    def is_signed(self) -> bool:
        """Whether the sign of a sum matters to the rounding of what is kept."""
        return self.low < self.zero_point and bool(self.nudges.any())

    def centred_limits(self) -> tuple[float, float]:
        """The least and greatest integer less the zero point."""
        return float(self.low - self.zero_point), float(self.high - self.zero_point)


class _Requantised(Function):
    @staticmethod
    def forward(ctx: Any, sums: Tensor, bias: Tensor | None, factor: Tensor, rescaling: Rescaling) -> Tensor:
        codes, inside = integers(sums, bias, rescaling)
        ctx.save_for_backward(inside, factor, sums if ctx.needs_input_grad[2] else None, bias)
        ctx.dtype = sums.dtype
        return codes

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        inside, factor, sums, bias = ctx.saved_tensors
        wants_bias, wants_factor = ctx.needs_input_grad[1:3]
        by_channel = factor if bias is None else bias
        to_sums, products = _passed(gradients[0], inside, factor, sums if wants_factor else None)
        to_bias = _reduced(to_sums, by_channel).double() if wants_bias or (wants_factor and bias is not None) else None
        to_factor = None
        if products is not None:
            to_factor = products if by_channel.dim() else products.sum()
            if to_bias is not None:
                to_factor = to_factor + to_bias * bias
            to_factor = (_reduced(to_factor, factor) / factor).to(factor.dtype)
        return to_sums.to(ctx.dtype), to_bias if wants_bias else None, to_factor, None


def _passed(gradient: Tensor, inside: Tensor, factor: Tensor, sums: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The gradient of the sums, float32, and the sum over rows of its products with them, float64 ``(C,)``."""
    rows, kept = _rows(gradient), _rows(inside)
    passed = torch.empty(rows.shape, dtype=torch.float32)
    products = None if sums is None else torch.zeros(rows.shape[-1], dtype=torch.float64)
    values = None if sums is None else _rows(sums)
    step = max(1, CHUNK // max(1, rows.shape[-1]))
    mask = torch.empty(rows[:step].shape, dtype=torch.float32)
    for start in range(0, len(rows), step):
        part, share = passed[start : start + step], mask[: len(rows) - start]
        torch.mul(rows[start : start + step], factor, out=part)
        share.copy_(kept[start : start + step])
        part *= share
        if products is not None and values is not None:
            torch.mul(part, values[start : start + step], out=share)
            products += share.sum(dim=0)
    return passed.reshape(gradient.shape), products


def _rows(values: Tensor) -> Tensor:
    """``(rows, C)``; one row of one element for a scalar."""
    return values.reshape(-1, values.shape[-1] if values.dim() else 1)


def _reduced(value: Tensor, like: Tensor) -> Tensor:
    """The sum over all axes, or over all but the last where ``like`` has one."""
    return value.sum() if like.dim() == 0 else value.reshape(-1, value.shape[-1]).sum(dim=0)


def multipliers(reals: Array) -> Multiplier:
    """As ``model.reference.arithmetic.multiplier`` of many factors that are not negative, float64 ``(C,)``."""
    fractions, shifts = np.frexp(reals)
    values = np.floor(fractions * 2.0**31 + 0.5).astype(np.int64)
    over = values == 2**31
    values, shifts = np.where(over, values // 2, values), shifts.astype(np.int64) + over
    lost = (shifts < -31) | (values == 0)
    return Multiplier(values=np.where(lost, 0, values), shifts=np.where(lost, 0, shifts))


def requantised(sums: Tensor, bias: Tensor | None, factor: Tensor, rescaling: Rescaling) -> Tensor:
    """The reference's integers less the zero point, float32, with the gradient of ``(sums + bias) * factor`` where not cut.

    Args:
        sums: exact integers ``(..., C)``, float32 or float64.
        bias: integers ``(C,)``, float64.
        factor: the real factor, ``()`` or ``(C,)``, float32.
        rescaling: the reference's rule for the same factor.
    """
    if not torch.is_grad_enabled():
        return integers(sums, bias, rescaling)[0]
    result: Tensor = _Requantised.apply(sums, bias, factor, rescaling)  # type: ignore[no-untyped-call]
    return result


def integers(sums: Tensor, bias: Tensor | None, rescaling: Rescaling) -> tuple[Tensor, Tensor]:
    """The integers less the zero point, float32, and which of them were not cut off."""
    if not rescaling.is_exact_in_floats:
        return _by_reference(sums, bias, rescaling)
    by_channel = rescaling.by.values.size > 1 or bias is not None
    rows = sums.reshape(-1, sums.shape[-1]) if by_channel else sums.reshape(-1)
    low, high = rescaling.centred_limits()
    factors, nudges = torch.as_tensor(rescaling.factors), torch.as_tensor(rescaling.nudges)
    half = torch.full_like(nudges, 0.5) if rescaling.is_signed else 0.5 + nudges
    codes = torch.empty(rows.shape, dtype=torch.float32)
    inside = torch.empty(rows.shape, dtype=torch.bool)
    step = max(1, CHUNK // (rows.shape[-1] if by_channel else 1))
    buffers = torch.empty((2, *rows[:step].shape), dtype=torch.float64)
    for start in range(0, len(rows), step):
        taken = rows[start : start + step]
        part, other = buffers[0, : len(taken)], buffers[1, : len(taken)]
        part.copy_(taken)
        if bias is not None:
            part += bias
        if rescaling.is_signed:
            torch.copysign(nudges, part, out=other)
            other += half
            torch.addcmul(other, part, factors, out=part)
        else:
            torch.addcmul(half, part, factors, out=part)
        part.floor_()
        torch.clamp(part, low, high, out=other)
        torch.eq(part, other, out=inside[start : start + step])
        codes[start : start + step] = other
    return codes.reshape(sums.shape), inside.reshape(sums.shape)


def _by_reference(sums: Tensor, bias: Tensor | None, rescaling: Rescaling) -> tuple[Tensor, Tensor]:
    whole = sums.numpy().astype(np.int64)
    addend = None if bias is None else bias.numpy().astype(np.int64)
    low, high, dtype = rescaling.low, rescaling.high, np.dtype(rescaling.dtype)
    if rescaling.wide:
        total = whole if addend is None else whole + addend
        values = np.clip(multiply_wide(total, rescaling.by), low, high)
    else:
        finish = rescaler(rescaling.by, bias=addend, zero_point=rescaling.zero_point, low=low, high=high, dtype=dtype)
        values = finish(whole)
    codes = torch.from_numpy(values.astype(np.float32) - rescaling.zero_point)
    steps = torch.from_numpy((whole + (0 if addend is None else addend)) * rescaling.factors)
    least, greatest = rescaling.centred_limits()
    return codes, (steps >= least - 0.5) & (steps <= greatest + 0.5)
