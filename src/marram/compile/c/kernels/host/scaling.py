"""Requantisation by one float32 multiply-add, where it is proven to give the bytes of the doubly rounded integer form.

An output is a rising staircase of the accumulator: at most 256 steps for each channel. ``round(fma(v, factor, addend))`` is a
rising staircase too (conversion, fused multiply-add and rounding to nearest even are each monotone), so the two are equal for
every accumulator if they are equal on both sides of every step. That is checked here, exactly, for each channel of the layer.
Where a step is off by one accumulator, that single accumulator is listed as an exception with its correction; layers with more
than four exceptions in a channel keep the integer form.

Two forms: *one-sided*, where outputs below the zero point are clamped to it anyway (a fused ReLU), has the zero point in the
addend; *two-sided* gives the addend the accumulator's sign, because the integer form rounds halves away from zero.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import msgspec
import numpy as np

from marram.compile.c.requantisation import Requantisation
from marram.core.graph import Array

MOST_EXCEPTIONS = 4
_NEVER = 2**40
_NARROW = 20
_MOST_UP, _MOST_ASIDE, _ASIDE = 4, 6, 2.0**-18
_NUDGES = tuple(product(range(-_MOST_UP, _MOST_UP + 1), range(-_MOST_ASIDE, _MOST_ASIDE + 1)))
"""Tried in this order: units in the last place of the factor, and units of ``_ASIDE`` of the addend."""


class FloatScaling(msgspec.Struct, frozen=True, kw_only=True):
    """Per output channel, arrays of shape (O,), or (count, O) for exceptions.

    Args:
        factor: float32.
        addend: float32; holds the zero point where ``one_sided``.
        one_sided: see the module.
        exceptions: int64 (count, O), accumulators whose rounded product is off; where a channel has none, one that is never
            reached.
        corrections: int64 (count, O), what to add there: -1, 0 or 1.
    """

    factor: Array
    addend: Array
    one_sided: bool
    exceptions: Array
    corrections: Array


def float_scaling(by: Requantisation, least: Array, greatest: Array) -> FloatScaling | None:
    """The float form of a layer's requantisation; None where it can't be proven equal.

    Args:
        by: the integer form.
        least: int64 (O,), the least accumulator that a channel can come to, folded bias included.
        greatest: int64 (O,), the greatest one.
    """
    right = -by.shift
    farthest = np.maximum(np.abs(least), np.abs(greatest)).astype(np.float64)
    exact = by.multiplier.astype(np.float64) * 2.0 ** -(31.0 + right)
    if (right < 0).any() or (by.multiplier < 0).any() or by.low >= by.high or (farthest * exact >= 2.0**30).any():
        return None
    alike: list[_Fit] = []
    for kind in zip(by.multiplier.tolist(), by.shift.tolist(), strict=True):
        same = (by.multiplier == kind[0]) & (by.shift == kind[1])
        fit = _channel_fit(*kind, (int(least[same].min()), int(greatest[same].max())), by.zero_point, (by.low, by.high))
        if fit is None:
            return None
        alike.append(fit)
    depth = max(len(fit.exceptions) for fit in alike)
    exceptions = np.full((depth, len(alike)), 2**31 - 1, np.int64)
    corrections = np.zeros((depth, len(alike)), np.int64)
    for channel, fit in enumerate(alike):
        for index, (place, correction) in enumerate(fit.exceptions):
            exceptions[index, channel], corrections[index, channel] = place, correction
    return FloatScaling(
        factor=np.array([fit.factor for fit in alike], np.float32),
        addend=np.array([fit.addend for fit in alike], np.float32),
        one_sided=by.low == by.zero_point,
        exceptions=exceptions,
        corrections=corrections,
    )


class _Stairs(msgspec.Struct, frozen=True, kw_only=True):
    """The integer form's staircase as far as the float form can miss it: accumulators around its steps, each array (N,).

    Two accumulators on each side of a step are looked at. Where only the inner ones are off, and both forms rise, the two are
    equal everywhere else.

    Args:
        accumulators: int64, within what the channel can come to.
        steps: int64, the step that an accumulator is near to: its output is either at least that, or less.
        risen: whether it is at least that.
        outer: whether it is one of the outer two.
        one_sided: see the module.
    """

    accumulators: Array
    steps: Array
    risen: Array
    outer: Array
    one_sided: bool

    def at(self, chosen: Array) -> _Stairs:
        """Some of the accumulators."""
        arrays = {name: getattr(self, name)[chosen] for name in ("accumulators", "steps", "risen", "outer")}
        return _Stairs(**arrays, one_sided=self.one_sided)


class _Fit(msgspec.Struct, frozen=True, kw_only=True):
    factor: np.float32
    addend: np.float32
    exceptions: tuple[tuple[int, int], ...]


@lru_cache(maxsize=1 << 14)
def _channel_fit(multiplier: int, shift: int, ends: tuple[int, int], zero_point: int, limits: tuple[int, int]) -> _Fit | None:
    """The float form of the channels that have this multiplier and shift; a pure function, remembered."""
    low, high = limits
    one_sided = low == zero_point
    steps = np.arange(1 if one_sided else low - zero_point + 1, high - zero_point + 1)
    base = zero_point if one_sided else 0
    half = 2.0 ** (shift - 1) if shift < 0 else 0.0
    first = np.clip(_first_accumulators(multiplier, shift, steps), ends[0], ends[1] + 1)
    around = first[:, None] + np.array([-2, -1, 0, 1])
    inside = (around >= ends[0]) & (around <= ends[1])
    rows, sides = np.nonzero(inside)
    stairs = _Stairs(
        accumulators=around[inside],
        steps=steps[rows] + base,
        risen=sides >= 2,
        outer=(sides == 0) | (sides == 3),
        one_sided=one_sided,
    )
    return _fitted(stairs, np.float32(multiplier * 2.0 ** (shift - 31)), np.float32(half + base))


def _first_accumulators(multiplier: int, shift: int, steps: Array) -> Array:
    """int64 (steps,): the least accumulator whose integer output, zero point left out, is at least the step.

    The shifted product is at least ``step`` where the high product is at least ``high``: halves go away from zero.
    """
    power = 1 << -shift
    if multiplier and shift >= -_NARROW:
        exact: Array = -((2**30 - (steps * power - power // 2 + ((steps <= 0) & (shift < 0))) * 2**31) // multiplier)
        return exact
    if multiplier == 0:
        return np.where(steps > 0, _NEVER, -_NEVER)
    highs = (step * power - power // 2 + (step <= 0 and shift < 0) for step in steps.tolist())
    least = (-((2**30 - high * 2**31) // multiplier) for high in highs)
    return np.array([max(-_NEVER, min(one, _NEVER)) for one in least], np.int64)


def _fitted(stairs: _Stairs, factor: np.float32, addend: np.float32) -> _Fit | None:
    """The factor and the addend with the fewest exceptions, near the given ones; of equals the first of ``_NUDGES``."""
    doubtful = stairs.at(_doubtful(stairs, factor, addend))
    fit = _tried(doubtful, np.array([factor]), np.array([addend])).best()
    if fit is not None and not fit.exceptions:
        return fit
    up, aside = np.array(_NUDGES, np.float32).T
    nudged = _tried(doubtful, factor + up * np.spacing(factor), addend + aside * np.float32(_ASIDE)).best()
    return nudged if nudged is not None and (fit is None or len(nudged.exceptions) < len(fit.exceptions)) else fit


class _Tries(msgspec.Struct, frozen=True, kw_only=True):
    """Several factors and addends, (T,), and which accumulators of the stairs each of them gets wrong, (T, N)."""

    stairs: _Stairs
    factor: Array
    addend: Array
    wrong: Array

    def best(self) -> _Fit | None:
        """The first of those with the fewest exceptions; None where all are off by more than one, or too often."""
        if not self.wrong[0].any():
            return _Fit(factor=self.factor[0], addend=self.addend[0], exceptions=())
        counts = self.wrong.sum(axis=1)
        usable = ~self.wrong[:, self.stairs.outer].any(axis=1) & (counts <= MOST_EXCEPTIONS)
        for index in np.argsort(counts, kind="stable"):
            if usable[index]:
                wrong = self.wrong[index]
                places = self.stairs.accumulators[wrong].tolist()
                if len(set(places)) == len(places):
                    corrections = np.where(self.stairs.risen[wrong], 1, -1).tolist()
                    exceptions = tuple(zip(places, corrections, strict=True))
                    return _Fit(factor=self.factor[index], addend=self.addend[index], exceptions=exceptions)
        return None


def _tried(stairs: _Stairs, factor: Array, addend: Array) -> _Tries:
    """What comes of several factors and addends, (T,)."""
    outputs = rounded(stairs.accumulators, factor[:, None], addend[:, None], one_sided=stairs.one_sided)
    return _Tries(stairs=stairs, factor=factor, addend=addend, wrong=(outputs >= stairs.steps) != stairs.risen)


def _doubtful(stairs: _Stairs, factor: np.float32, addend: np.float32) -> Array:
    """Which accumulators, (N,), are on the wrong side of their step, or near enough for ``_NUDGES`` or roundings to move them.

    All others are right by every one of ``_NUDGES``.
    """
    exact = stairs.accumulators * np.float64(factor)
    shift = np.float64(addend)
    total = exact + (shift if stairs.one_sided else np.where(stairs.accumulators < 0, -shift, shift))
    moved = np.abs(stairs.accumulators) * np.float64(np.spacing(factor)) * _MOST_UP + _ASIDE * _MOST_ASIDE
    rounding = (np.abs(exact) + np.abs(total) + abs(shift) + 1.0) * 2.0**-23
    above = total - stairs.steps + 0.5
    found: Array = (np.abs(above) <= 1.25 * (moved + rounding)) | ((above >= 0) != stairs.risen)
    return found


def rounded(values: Array, factor: Array | np.float32, addend: Array | np.float32, *, one_sided: bool) -> Array:
    """What the device computes of int32 accumulators: ``round(fma(float(v), factor, +-addend))``, exactly, as float32.

    The product of two float32 is exact in float64. Its sum with the addend is rounded to odd there, so that rounding it again
    to float32 gives what one rounding would (Boldo and Melquiond, Emulation of FMA and correctly rounded sums, 2008).
    """
    wide = values.astype(np.float32).astype(np.float64)
    scaled = wide * np.float64(factor)
    shift = np.float64(addend)
    signed = shift if one_sided else np.where(values < 0, -shift, shift)
    total = scaled + signed
    part = total - scaled
    rest = (scaled - (total - part)) + (signed - part)
    even = (total.view(np.int64) & 1) == 0
    odd = np.where((rest != 0) & even, np.nextafter(total, np.where(rest > 0, np.inf, -np.inf)), total)
    result: Array = np.rint(odd.astype(np.float32))
    return result
