"""Weights and requantisation of int8 layers in the order in which the kernels of ``dsp/tile.h`` and ``dsp/dense.h`` read them."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from marram.compile.c.requantisation import Requantisation
from marram.core.graph import Array

Ending = Literal["floored", "away", "exact"]
"""How accumulators become outputs: ``floored`` and ``away`` by one high product and a saturation to int8, without and with
halves below the zero point rounded away from zero; ``exact`` for any multiplier and clamp."""


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    """A stream of words for one layer, the ending that it is for, and how many words of four inputs a window has."""

    stream: Array
    ending: Ending
    groups: int


def weight_words(weights: Array) -> Array:
    """int8 (O, K) as uint32 (O, ceil(K / 4)): little-endian words, weights 0 and 2 moved by 128, zeros for what is missing."""
    outputs, depth = weights.shape
    padded = np.zeros((outputs, -(-depth // 4) * 4), np.int8)
    padded[:, :depth] = weights
    words: Array = padded.view("<u4").astype(np.uint32) ^ np.uint32(0x00800080)
    return words


def unpacked_bias(weights: Array, by: Requantisation) -> Array:
    """int64 (O,): the folded bias and what the odd weights, that see inputs moved by -128, lack."""
    bias: Array = by.bias + 128 * weights[:, 1::2].astype(np.int64).sum(axis=1)
    return bias


def ending_of(by: Requantisation) -> Ending:
    """The cheapest ending that is exact for all inputs of a layer."""
    shift = np.where(by.multiplier == 0, -1, by.shift)
    if not by.simple or (shift > -1).any() or by.low != -128 or by.high != 127:  # noqa: PLR2004
        return "exact"
    addend = (abs(2 * by.zero_point + 1) << (-shift - 1)) + (by.reach * by.multiplier >> 31) + 2
    if (addend > 2**31 - 1).any():
        return "exact"
    return "floored" if by.zero_point == by.low else "away"


def pairs(outputs: int) -> list[tuple[int, int]]:
    """Which channels are made together: of an odd number the last two once more, a single one with itself."""
    if outputs == 1:
        return [(0, 0)]
    found = [(channel, channel + 1) for channel in range(0, outputs - 1, 2)]
    return [*found, (outputs - 2, outputs - 1)] if outputs % 2 else found


def packed_pairs(weights: Array, by: Requantisation) -> Packed:
    """The stream for ``marram_dsp_tile_*``.

    Args:
        weights: int8 (O, K), the depth in the order of the gathered window.
        by: for the O channels, bias folded.
    """
    words, bias, ending = weight_words(weights), unpacked_bias(weights, by), ending_of(by)
    couples = pairs(len(weights))
    last = {len(couples) - 1, len(weights) // 2 - 1}
    parts = []
    for index, couple in enumerate(couples):
        chosen = list(couple)
        parts.append(words[chosen].T.ravel())
        end = _exact(by, bias, chosen, last=index in last) if ending == "exact" else _short(by, bias, chosen, last=index in last)
        parts.append(np.array(end, np.int64).astype(np.uint32))
    return Packed(stream=np.concatenate(parts), ending=ending, groups=words.shape[1])


def shifts_less_one(by: Requantisation) -> Array:
    """int64 (O,): right shifts less 1; a multiplier of 0 may have any."""
    return np.maximum(-by.shift - 1, 0)


def _short(by: Requantisation, bias: Array, couple: list[int], *, last: bool) -> list[int]:
    shift = shifts_less_one(by)[couple]
    ends = [int(shift[0]) | int(shift[1]) << 16 | last << 15]
    for channel in couple:
        ends += [2 * int(bias[channel]), int(by.multiplier[channel])]
    return [value & 0xFFFFFFFF for value in ends]


def _exact(by: Requantisation, bias: Array, couple: list[int], *, last: bool) -> list[int]:
    ends = [by.low & 0xFF | (by.high & 0xFF) << 8 | last << 16]
    for channel in couple:
        ends += [int(bias[channel]), int(by.multiplier[channel]), int(by.shift[channel])]
    return [value & 0xFFFFFFFF for value in ends]
