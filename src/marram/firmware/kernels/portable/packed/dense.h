#ifndef MARRAM_PORTABLE_PACKED_DENSE_H
#define MARRAM_PORTABLE_PACKED_DENSE_H
#include "common/requantise.h"
#include "portable/packed/weights.h"

/* As portable/dense.h with weights (O, depth) of `bits` bits. channels: bias and multiplier of each. */
MARRAM_INLINE void marram_portable_packed_dense(const int8_t *x, int8_t *y, int rows, int depth, int outputs, int bits,
                                                const uint8_t *weights, const int32_t *channels, const int8_t *shifts,
                                                int zero_out, int low, int high)
{
    for (int row = 0; row < rows; row++, x += depth) {
        size_t k = 0;
        for (int o = 0; o < outputs; o++, k += (size_t)depth) {
            const int32_t sum = channels[2 * o] + marram_packed_dot(x, weights, k, depth, bits);
            const int32_t value = marram_multiply(sum, channels[2 * o + 1], shifts[o]) + zero_out;
            *y++ = (int8_t)marram_clamp(value, low, high);
        }
    }
}
#endif
