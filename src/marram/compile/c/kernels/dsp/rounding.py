"""Requantisation constants of the family: one shift for all channels of a layer, or a shift for each."""

from __future__ import annotations

import msgspec
import numpy as np

from marram.compile.c.kernels.portable.constancy import constant_channels, ends
from marram.compile.c.place import Place
from marram.compile.c.requantisation import INT32_MAX, Requantisation
from marram.core.graph import Array

_USUAL_SHIFT = 10
"""Serves right shifts of 3 to 9, which is what trained nets have; one value lets layers share code."""
_SLOW_SCALES = (5, 7, 3, 1, 0)
_SHIFTS = (_USUAL_SHIFT, *range(1, 25))


class CommonShift(msgspec.Struct, frozen=True, kw_only=True):
    """Constants with which ``(acc * multiplier + 2**32 * (base + rounding)) >> (32 + shift)`` is the output.

    ``acc`` starts from ``bias``; weights are to be multiplied by ``2**scale``, and are to be 0 where a channel is not
    ``living``: its result is constant. int64 arrays (O,).
    """

    shift: int
    base: int
    scale: Array
    living: Array
    rounding: Array
    bias: Array
    multiplier: Array


def common_shift(by: Requantisation, greatest: Array) -> CommonShift | None:
    """Constants of a layer with weights of at most ``greatest`` (O,) in magnitude, scaled to int16; None if none fit."""
    constant, values = constant_channels(by)
    for shift in _SHIFTS:
        base = (by.zero_point << shift) + (1 << (shift - 1))
        scale = np.where(constant, 0, shift + 1 + by.shift)
        bias, multiplier = by.bias << np.clip(scale, 0, 31), by.multiplier.copy()
        rounding = np.where((by.shift < 0) & ~constant, np.int64(1) << np.clip(scale - 2, 0, 14), 0)
        # A constant output v: bias * multiplier is 2**32 * ((v - zero_point) << shift).
        bias[constant], multiplier[constant] = 1 << 30, (values[constant] - by.zero_point) << (shift + 2)
        far = np.flatnonzero((scale < 2) & ~constant)
        if len(far) > len(constant) // 4:
            continue
        for channel in far:
            slow = _slow_channel(by, int(channel), shift, base)
            if slow is None:
                break
            scale[channel], bias[channel], multiplier[channel] = slow
            rounding[channel] = 0
        else:
            reach = np.where(constant, 0, (by.reach - np.abs(by.bias)) << np.clip(scale, 0, 15)) + np.abs(bias)
            sums = (reach * multiplier >> 32) + abs(base) + 2 * rounding + 1
            small = (greatest << np.clip(scale, 0, 15) <= 32767) & (reach <= INT32_MAX) & (rounding <= 1 << 13)
            if ((scale <= 15) & (small & (sums <= INT32_MAX) | constant) & (np.abs(multiplier) <= INT32_MAX)).all():
                return CommonShift(
                    shift=shift, base=base, scale=scale, living=~constant, rounding=rounding, bias=bias, multiplier=multiplier
                )
    return None


def _slow_channel(by: Requantisation, channel: int, shift: int, base: int) -> tuple[int, int, int] | None:
    """Scale, bias and multiplier of a channel whose own right shift is beyond the layer's, or None.

    Its multiplier loses low bits, which is made good by the bias: the output changes a few times only over all accumulators
    that the channel can have, and each place where it does is checked.
    """
    if by.low < by.zero_point:
        return None
    own, bias, right = int(by.multiplier[channel]), int(by.bias[channel]), -int(by.shift[channel])
    first, last = (int(end[channel]) for end in ends(by))
    added, past = (1 << 30) + (1 << (30 + right)), 31 + right
    least, greatest = by.low - by.zero_point, by.high - by.zero_point
    lowest, highest = (min(max(end * own + added >> past, least), greatest) for end in (first, last))
    steps = [(value, -(-((value << past) - added) // own)) for value in range(lowest + 1, highest + 1)]
    for scale in _SLOW_SCALES:
        lost = right + scale - shift - 1
        if lost < 0:
            continue
        reduced = (own + (1 << lost >> 1)) >> lost
        middle = ((bias * own + (1 << 30)) << scale >> lost) // max(reduced, 1)
        for tuned in (middle, middle + 1, middle - 1):

            def output(accumulator: int, tuned: int = tuned, scale: int = scale, reduced: int = reduced) -> int:
                summed = ((accumulator - bias) << scale) + tuned
                return min(max(((summed * reduced >> 32) + base >> shift) - by.zero_point, least), greatest)

            good = all(output(place) >= value > output(place - 1) for value, place in steps)
            if good and output(first) == lowest and output(last) == highest:
                return scale, tuned, reduced
    return None


class SeparateShifts(msgspec.Struct, frozen=True, kw_only=True):
    """What ``marram_dsp_requantise`` takes for each channel; int64 arrays (O,). ``constant`` channels have weights of 0."""

    constant: Array
    bias: Array
    multiplier: Array
    shift: Array
    addend: Array


def separate_constants(place: Place, by: Requantisation) -> SeparateShifts:
    """Constants with a shift for each channel.

    Raises:
        UserError: an accumulator beyond 2**30, a left shift, or none where negative halves must go away from zero.
    """
    constant, values = constant_channels(by)
    away = by.low < by.zero_point
    right = -by.shift
    half = np.where(right > 0, np.int64(1) << np.maximum(right - 1, 0), 0)
    addend = (by.zero_point << np.clip(right, 0, 31)) + half
    sums = np.abs(addend) + (by.reach * by.multiplier >> 31) + 2
    exact = (right >= int(away)) & (by.reach < 2**30) & (sums <= INT32_MAX)
    if not (exact | constant).all():
        raise place.site.error("a channel's scale or accumulator is out of the range that is served here")
    return SeparateShifts(
        constant=constant,
        bias=np.where(constant, 0, by.bias),
        multiplier=np.where(constant, 0, by.multiplier),
        shift=np.where(constant, 1, right),
        addend=np.where(constant, 2 * values + 1, addend),
    )
