#ifndef MARRAM_PORTABLE_RESCALE_H
#define MARRAM_PORTABLE_RESCALE_H
#include "common/requantise.h"

/* From an accumulator to an output. The zero point is added in 64 bits, as a large factor can leave no room in 32. */
MARRAM_INLINE int8_t marram_portable_rescale(int32_t sum, int32_t multiplier, int shift, int zero_out, int low, int high)
{
    const int64_t value = (int64_t)marram_multiply(sum, multiplier, shift) + zero_out;
    return (int8_t)(value < low ? low : value > high ? high : value);
}
#endif
