#ifndef MARRAM_DSP_REQUANTISE_H
#define MARRAM_DSP_REQUANTISE_H
#include "dsp/intrinsics.h"

/* Requantisation of accumulators for which the generator has proven: no left shift, |acc| < 2^30, no overflow of the sum
 * below. `addend` is (zero_point << shift) + (shift ? 2^(shift - 1) : 0). The first rounding, halves up, is the
 * instruction's own (of twice the accumulator, as the high word is a product over 2^32); the second rounds halves away from
 * zero: one less where the high product is negative and is shifted. `away` (a constant) says whether that can matter: it
 * does not where the clamp cuts everything below the zero point; where it can, every shift must be at least 1. The sign of the
 * accumulator serves for the sign of the high product: they differ only for -1 times 2^30, where one less changes nothing. */
MARRAM_INLINE int32_t marram_dsp_scale(int32_t acc, int32_t multiplier, int shift, int32_t addend, int away)
{
    return marram_smmlar((int32_t)((uint32_t)acc << 1), multiplier, away ? addend + (acc >> 31) : addend) >> shift;
}

/* The same, clamped to [low, high] (constants), which costs one instruction where that is all of int8. */
MARRAM_INLINE int32_t marram_dsp_requantise(int32_t acc, int32_t multiplier, int shift, int32_t addend, int away, int low,
                                            int high)
{
    const int32_t value = marram_narrow(marram_dsp_scale(acc, multiplier, shift, addend, away), 0);
    const int32_t floored = low > -128 && value < low ? low : value;
    return high < 127 && floored > high ? high : floored;
}
#endif
