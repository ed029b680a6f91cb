#ifndef MARRAM_REQUANTISE_H
#define MARRAM_REQUANTISE_H
#include "common/compiler.h"

/* An accumulator times multiplier * 2^(shift - 31), rounded twice as TensorFlow Lite Micro does: the high product with halves
 * up, then the right shift with halves away from zero. A positive shift is applied to the accumulator first; the generator has
 * proven that it does not overflow. */
MARRAM_INLINE int32_t marram_multiply(int32_t value, int32_t multiplier, int shift)
{
    const int32_t shifted = shift > 0 ? (int32_t)((uint32_t)value << shift) : value;
    const int32_t high = (int32_t)(((int64_t)shifted * multiplier + (INT64_C(1) << 30)) >> 31);
    if (shift >= 0) {
        return high;
    }
    const int32_t mask = (int32_t)((UINT32_C(1) << -shift) - 1);
    return (high >> -shift) + ((high & mask) > (mask >> 1) + (high < 0));
}

MARRAM_INLINE int32_t marram_clamp(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}
#endif
