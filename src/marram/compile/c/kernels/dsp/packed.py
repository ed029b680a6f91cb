"""Weights of 4 and 2 bits in the words that the kernels of ``dsp/packed`` read."""

from __future__ import annotations

import msgspec
import numpy as np

from marram.compile.c.geometry import Geometry
from marram.compile.c.kernels.dsp.packing import Ending, ending_words, pairs
from marram.compile.c.kernels.portable.channels import channel_records
from marram.compile.c.place import ConstantArray, Place, Routine
from marram.compile.c.requantisation import Requantisation
from marram.core.graph import Array

UNPACKED_BYTES = 36
"""Of scratch, beside 8 for each group, in which a tile makes the words of two channels."""


def unsigned(place: Place, weights: Array) -> Array:
    """The weights without sign, ``2**(bits - 1)`` more than they are: uint32, of the same shape.

    Raises:
        UserError: they do not fit the bits of the place.
    """
    half = 1 << (place.weight_bits - 1)
    if weights.size and not (-half <= int(weights.min()) and int(weights.max()) < half):
        raise place.site.error(
            f"its weights do not fit {place.weight_bits} bits", f"They must lie between {-half} and {half - 1}."
        )
    return (weights.astype(np.int64) + half).astype(np.uint32)


def pair_stream(place: Place, weights: Array, by: Requantisation, ending: Ending) -> Array:
    """The stream for ``marram_dsp_tile_<ending>_<bits>``: uint32.

    Args:
        place: says how many bits.
        weights: int8 (O, K), the depth in the order of the gathered window.
        by: for the O channels, bias folded.
        ending: how accumulators become outputs.
    """
    bits, (outputs, depth) = place.weight_bits, weights.shape
    apart = 4 // bits * 4  # inputs whose weights of two channels are in one word
    padded = np.full((outputs, -(-depth // apart) * apart), 1 << (bits - 1), np.uint32)
    padded[:, :depth] = unsigned(place, weights)
    words = padded.reshape(outputs, -1, apart // 4, 4)
    byte_shifts = np.arange(4, dtype=np.uint32) * 8
    parts = []
    for couple, end in zip(pairs(outputs), ending_words(weights, by, ending), strict=True):
        merged = np.zeros(words.shape[1], np.uint32)
        for group in range(apart // 4):
            for place_of, channel in enumerate(couple):
                shifts = byte_shifts + np.uint32(bits * (2 * group + place_of))
                merged |= (words[channel, :, group] << shifts).sum(axis=1, dtype=np.uint32)
        parts += [merged, end]
    return np.concatenate(parts)


def packed_taps(place: Place, taps: Array, *, spare_bits: int = 0) -> Array:
    """Weights (O, K) in words of their own for each channel, the first in the lowest bits: uint32 (O, words).

    Raises:
        UserError: they do not fit the bits of the place.
    """
    bits, (channels, count) = place.weight_bits, taps.shape
    unsigned(place, taps)
    per_word = 32 // bits
    words = -(-(count * bits + spare_bits) // 32)
    padded = np.zeros((channels, words * per_word), np.uint32)
    padded[:, :count] = taps & ((1 << bits) - 1)
    shifts = np.arange(per_word, dtype=np.uint32) * np.uint32(bits)
    return np.asarray((padded.reshape(channels, words, per_word) << shifts).sum(axis=2, dtype=np.uint32))


class Vector(msgspec.Struct, frozen=True, kw_only=True):
    """Packed weights for ``marram_dsp_packed_dense_*``, what it costs for a vector, and the inputs that the words are for."""

    constants: tuple[ConstantArray, ...]
    padded_depth: int
    instructions: float


def vector(place: Place, weights: Array, by: Requantisation) -> Vector:
    """The constants of int8 weights (O, K), two channels of which are made at a time."""
    bits, (outputs, depth) = place.weight_bits, weights.shape
    per_word = 32 // bits
    words = -(-depth // per_word)
    padded = np.full((outputs, words * per_word), 1 << (bits - 1), np.uint32)
    padded[:, :depth] = unsigned(place, weights)
    # of four neighbours 0 and 2 are a pair, 16 bits apart, then 1 and 3; each further four stands above
    places = [bits * (2 * (i // 4) + i % 2) + 16 * (i % 4 // 2) for i in range(per_word)]
    packed = (padded.reshape(outputs, words, per_word) << np.array(places, np.uint32)).sum(axis=2, dtype=np.uint32)
    return Vector(
        constants=(
            ConstantArray(name="weights", c_type="uint32_t", values=packed.ravel()),
            ConstantArray(name="channels", c_type="int32_t", values=channel_records(by)),
        ),
        padded_depth=words * per_word,
        instructions=1.9 * outputs * words * per_word + 35.0 * outputs + 3.0 * depth + 40.0,
    )


def dense(place: Place, weights: Array, by: Requantisation, rows: int) -> Routine:
    """A fully connected layer, vector by vector."""
    made, (outputs, depth) = vector(place, weights, by), weights.shape
    return Routine(
        includes=("dsp/packed/dense.h",),
        body=f"marram_dsp_packed_dense_{place.weight_bits}(x0, y0, {rows}, {depth}, {outputs}, @weights@, @channels@, "
        f"{by.zero_point}, {by.low}, {by.high}, scratch);",
        constants=made.constants,
        scratch_bytes=2 * made.padded_depth,
        instructions=rows * made.instructions,
    )


def lean_conv2d(place: Place, sizes: Geometry, matrix: Array, by: Requantisation) -> Routine:
    """A convolution as a fully connected layer on each window in turn."""
    made, depth = vector(place, matrix, by), matrix.shape[1]
    pixels = sizes.out_height * sizes.out_width
    return Routine(
        includes=("dsp/packed/conv2d_lean.h",),
        body=f"marram_dsp_packed_conv2d_lean({sizes.literal}, x0, y0, row_begin, row_end, "
        f"marram_dsp_packed_dense_{place.weight_bits}, {depth}, @weights@, @channels@, "
        f"{place.site.zero_point(place.site.input(0))}, {by.zero_point}, {by.low}, {by.high}, scratch, "
        f"(int8_t *)scratch + {2 * made.padded_depth});",
        constants=made.constants,
        scratch_bytes=2 * made.padded_depth + -(-depth // 4) * 4,
        windows=(sizes.rows,),
        columns=(sizes.columns,),
        traversal="pixels",
        block=1,
        instructions=pixels * (made.instructions + 2.0 * depth + 60),
    )
