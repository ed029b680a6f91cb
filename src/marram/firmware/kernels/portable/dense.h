#ifndef MARRAM_PORTABLE_DENSE_H
#define MARRAM_PORTABLE_DENSE_H
#include "common/requantise.h"

/* Fully connected layer on `rows` vectors of `depth`. weights: (O, depth) int8. channels: (O, 3). */
MARRAM_INLINE void marram_portable_dense(const int8_t *x, int8_t *y, int rows, int depth, int outputs,
                                         const int8_t *weights, const int32_t *channels, int zero_out, int low, int high)
{
    for (int row = 0; row < rows; row++, x += depth) {
        const int8_t *k = weights;
        for (int o = 0; o < outputs; o++, k += depth) {
            int32_t sum = channels[3 * o];
            for (int c = 0; c < depth; c++) {
                sum += x[c] * k[c];
            }
            const int32_t value = marram_multiply(sum, channels[3 * o + 1], channels[3 * o + 2]) + zero_out;
            *y++ = (int8_t)marram_clamp(value, low, high);
        }
    }
}
#endif
