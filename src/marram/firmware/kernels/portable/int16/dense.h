#ifndef MARRAM_PORTABLE_INT16_DENSE_H
#define MARRAM_PORTABLE_INT16_DENSE_H
#include "portable/int16/finish.h"

/* Fully connected layer on `rows` vectors of `depth`. weights: (O, depth) int8. */
MARRAM_INLINE void marram_portable_int16_dense(const int16_t *x, int16_t *y, int rows, int depth, int outputs,
                                               const int8_t *weights, const int64_t *bias, const int32_t *factors, int low,
                                               int high)
{
    for (int row = 0; row < rows; row++, x += depth) {
        const int8_t *k = weights;
        for (int o = 0; o < outputs; o++, k += depth) {
            int64_t sum = bias[o];
            for (int c = 0; c < depth; c++) {
                sum += x[c] * k[c];
            }
            *y++ = marram_portable_int16_finish(sum, factors + 2 * o, low, high);
        }
    }
}
#endif
