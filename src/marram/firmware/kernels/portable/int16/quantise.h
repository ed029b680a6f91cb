#ifndef MARRAM_PORTABLE_INT16_QUANTISE_H
#define MARRAM_PORTABLE_INT16_QUANTISE_H
#include "common/requantise.h"

/* Another scale, by the doubly rounded product (Requantize of TFLM). */
#define MARRAM_PORTABLE_QUANTISE(name, from, to)                                                                            \
    MARRAM_INLINE void name(const from *x, to *y, int size, int zero_in, int32_t multiplier, int shift, int zero_out,       \
                            int low, int high)                                                                              \
    {                                                                                                                       \
        for (int i = 0; i < size; i++) {                                                                                    \
            const int64_t value = (int64_t)marram_multiply(x[i] - zero_in, multiplier, shift) + zero_out;                   \
            y[i] = (to)(value < low ? low : value > high ? high : value);                                                   \
        }                                                                                                                   \
    }

MARRAM_PORTABLE_QUANTISE(marram_portable_quantise_int8_to_int16, int8_t, int16_t)
MARRAM_PORTABLE_QUANTISE(marram_portable_quantise_int16_to_int8, int16_t, int8_t)
MARRAM_PORTABLE_QUANTISE(marram_portable_quantise_int16_to_int16, int16_t, int16_t)
#endif
