"""Weights and requantisation of int8 layers in the order in which the kernels of ``dsp`` read them."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from marram.compile.c.kernels.portable.constancy import constant_channels
from marram.compile.c.requantisation import Requantisation
from marram.core.graph import Array

Ending = Literal["floored", "away", "exact"]
"""How accumulators become outputs: ``floored`` and ``away`` by one high product and a saturation to int8, without and with
halves below the zero point rounded away from zero; ``exact`` for any multiplier and any clamp."""


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


def settled(weights: Array, by: Requantisation) -> tuple[Array, Requantisation]:
    """The same layer with channels that have one result only made from their bias alone, so that they fit every ending.

    Args:
        weights: int8 (O, K).
        by: for the O channels.
    """
    constant, results = constant_channels(by)
    bias = np.where(constant, 4 * (results - by.zero_point), by.bias)
    return np.where(constant[:, None], np.int8(0), weights), msgspec.structs.replace(
        by,
        bias=bias,
        multiplier=np.where(constant, 2**30, by.multiplier),
        shift=np.where(constant, -1, by.shift),
        reach=np.where(constant, np.abs(bias), by.reach),
    )


def fits_short(by: Requantisation) -> Array:
    """Which channels one high product makes, bool (O,): shifts to the right only, no sum beyond int32 on the way."""
    right = np.maximum(-by.shift, 1)
    sums = (abs(2 * by.zero_point + 1) << (right - 1)) + (by.reach * by.multiplier >> 31) + 2
    fits: Array = (by.shift < 0) & (by.reach < 2**30) & (sums < 2**31)
    return fits


def ending_of(by: Requantisation) -> Ending:
    """The cheapest ending that is exact for all inputs of a layer."""
    if not fits_short(by).all() or by.low != -128 or by.high != 127:
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
        by: for the O channels, bias folded; best settled.
    """
    words, ending = weight_words(weights), ending_of(by)
    parts = []
    for couple, end in zip(pairs(len(weights)), ending_words(weights, by, ending), strict=True):
        parts += [words[list(couple)].T.ravel(), end]
    return Packed(stream=np.concatenate(parts), ending=ending, groups=words.shape[1])


def ending_words(weights: Array, by: Requantisation, ending: Ending) -> list[Array]:
    """What follows the weights of each pair of channels in a stream: uint32."""
    bias, couples = unpacked_bias(weights, by), pairs(len(weights))
    last = {len(couples) - 1, len(weights) // 2 - 1}
    make = _exact if ending == "exact" else _short
    ends = [make(by, bias, list(couple), last=index in last) for index, couple in enumerate(couples)]
    return [np.array(end, np.int64).astype(np.uint32) for end in ends]


def _short(by: Requantisation, bias: Array, couple: list[int], *, last: bool) -> list[int]:
    shift = -by.shift[couple] - 1
    ends = [int(shift[0]) | int(shift[1]) << 16 | last << 15]
    for channel in couple:
        ends += [2 * int(bias[channel]), int(by.multiplier[channel])]
    return [value & 0xFFFFFFFF for value in ends]


def _exact(by: Requantisation, bias: Array, couple: list[int], *, last: bool) -> list[int]:
    short = bool(fits_short(by)[couple].all())
    ends = [by.low & 0xFF | (by.high & 0xFF) << 8 | last << 16 | short << 17]
    for channel in couple:
        ends += [int(bias[channel]), int(by.multiplier[channel]), int(by.shift[channel])]
    return [value & 0xFFFFFFFF for value in ends]


def packed_quads(weights: Array, by: Requantisation) -> Packed:
    """The stream for ``marram_dsp_quads_*``.

    Args:
        weights: int8 (O, K), O a multiple of 4.
        by: for the O channels, bias folded; its ending must not be ``exact``.
    """
    words, bias, ending = weight_words(weights), unpacked_bias(weights, by), ending_of(by)
    parts = []
    for first in range(0, len(weights), 4):
        chosen = slice(first, first + 4)
        shifts = sum(int(shift) << 8 * place for place, shift in enumerate(-by.shift[chosen] - 1))
        pairs_of = np.stack([2 * bias[chosen], by.multiplier[chosen]], axis=1).ravel()
        parts += [words[chosen].T.ravel(), np.array([shifts], np.uint32), pairs_of.astype(np.uint32)]
    return Packed(stream=np.concatenate(parts), ending=ending, groups=words.shape[1])


def selected(by: Requantisation, channels: slice) -> Requantisation:
    """The constants of some of the channels."""
    fields = {name: getattr(by, name)[channels] for name in ("bias", "multiplier", "shift", "reach")}
    return msgspec.structs.replace(by, **fields)
