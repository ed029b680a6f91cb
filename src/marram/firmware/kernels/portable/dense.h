#ifndef MARRAM_PORTABLE_DENSE_H
#define MARRAM_PORTABLE_DENSE_H
#include "common/requantise.h"

/* Fully connected layer on `rows` vectors of `depth`, four channels at a time. weights: (O, depth) int8. channels: (O, 3). */
typedef struct {
    const int8_t *weights;
    const int32_t *channels;
    int depth, outputs, zero_out, low, high;
} marram_portable_dense_layer;

MARRAM_INLINE int8_t marram_portable_dense_result(const marram_portable_dense_layer *by, int32_t sum, const int32_t *channel)
{
    return (int8_t)marram_clamp(marram_multiply(sum, channel[1], channel[2]) + by->zero_out, by->low, by->high);
}

MARRAM_NOINLINE static void marram_portable_dense(const marram_portable_dense_layer *by, const int8_t *x, int8_t *y, int rows)
{
    const int depth = by->depth;
    for (; rows > 0; rows--, x += depth) {
        const int8_t *const end = x + depth;
        const int8_t *k = by->weights;
        const int32_t *channel = by->channels;
        for (int fours = by->outputs >> 2; fours > 0; fours--, k += 3 * depth, channel += 12, y += 4) {
            int32_t s0 = channel[0], s1 = channel[3], s2 = channel[6], s3 = channel[9];
            for (const int8_t *in = x; in != end; in++, k++) {
                const int32_t value = *in;
                s0 += value * k[0];
                s1 += value * k[depth];
                s2 += value * k[2 * depth];
                s3 += value * k[3 * depth];
            }
            y[0] = marram_portable_dense_result(by, s0, channel);
            y[1] = marram_portable_dense_result(by, s1, channel + 3);
            y[2] = marram_portable_dense_result(by, s2, channel + 6);
            y[3] = marram_portable_dense_result(by, s3, channel + 9);
        }
        for (int left = by->outputs & 3; left > 0; left--, channel += 3) {
            int32_t sum = channel[0];
            for (const int8_t *in = x; in != end; in++) {
                sum += *in * *k++;
            }
            *y++ = marram_portable_dense_result(by, sum, channel);
        }
    }
}
#endif
