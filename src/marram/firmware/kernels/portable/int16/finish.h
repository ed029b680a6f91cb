#ifndef MARRAM_PORTABLE_INT16_FINISH_H
#define MARRAM_PORTABLE_INT16_FINISH_H
#include "common/requantise.h"

/* An accumulator of 64 bits times a multiplier of 15 fractional bits, shifted right and rounded once, halves up, as TensorFlow
 * Lite Micro does beside int16 activations. factor: multiplier and shift. */
MARRAM_INLINE int16_t marram_portable_int16_finish(int64_t sum, const int32_t *factor, int low, int high)
{
    const int64_t value = (sum * factor[0] + (INT64_C(1) << (factor[1] - 1))) >> factor[1];
    return (int16_t)marram_clamp((int32_t)(uint32_t)(uint64_t)value, low, high);
}
#endif
