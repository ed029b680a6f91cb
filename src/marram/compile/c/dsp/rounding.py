"""Requantisation constants of the family: one shift for all channels of a layer, or a shift for each."""

from __future__ import annotations

import msgspec
import numpy as np

from marram.compile.c.place import Place
from marram.compile.c.portable.constancy import constant_channels
from marram.compile.c.requantisation import INT32_MAX, Requantisation
from marram.core.graph import Array

_USUAL_SHIFT = 10
"""Serves right shifts of 3 to 9, which is what trained nets have; one value lets layers share code."""
_SHIFTS = (_USUAL_SHIFT, *range(1, 25))


class CommonShift(msgspec.Struct, frozen=True, kw_only=True):
    """Constants with which ``(acc * 2**scale * multiplier + 2**32 * (base + rounding)) >> (32 + shift)`` is the output.

    ``acc * 2**scale`` includes ``bias``, scaled already; weights of a channel are to be multiplied by ``2**scale``, and are
    to be 0 where ``multiplier`` makes the channel constant (``scale`` is then 0 and ``living`` False). int64 arrays (O,).
    """

    shift: int
    base: int
    scale: Array
    living: Array
    rounding: Array
    bias: Array
    multiplier: Array


def common_shift(by: Requantisation, greatest: Array) -> CommonShift | None:
    """Constants of a layer whose weights are at most ``greatest`` (O,) in magnitude, scaled weights int16; None if there are none."""
    constant, values = constant_channels(by)
    for shift in _SHIFTS:
        scale = np.where(constant, 2, shift + 1 + by.shift)
        scaled = by.reach << np.clip(scale, 0, 30)
        fits = (scale >= 2) & (scale <= 15) & (greatest << np.clip(scale, 0, 15) <= 32767) & (scaled <= INT32_MAX)
        base = (by.zero_point << shift) + (1 << (shift - 1))
        rounding = np.where(by.shift < 0, np.int64(1) << np.clip(scale - 2, 0, 14), 0)
        sums = (scaled * by.multiplier >> 32) + abs(base) + 2 * rounding + 1
        if not (fits & (sums <= INT32_MAX) & (rounding <= 1 << 13) | constant).all():
            continue
        # A constant output v: bias * multiplier is 2**32 * ((v - zero_point) << shift).
        target = (values - by.zero_point) << (shift + 2)
        if np.abs(target).max(initial=0, where=constant) > INT32_MAX:
            continue
        return CommonShift(
            shift=shift,
            base=base,
            scale=np.where(constant, 0, scale),
            living=~constant,
            rounding=np.where(constant, 0, rounding),
            bias=np.where(constant, 1 << 30, by.bias << np.where(constant, 0, scale)),
            multiplier=np.where(constant, target, by.multiplier),
        )
    return None


class SeparateShifts(msgspec.Struct, frozen=True, kw_only=True):
    """What ``marram_dsp_requantise`` takes for each channel; int64 arrays (O,). Weights of ``constant`` channels are to be 0."""

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
