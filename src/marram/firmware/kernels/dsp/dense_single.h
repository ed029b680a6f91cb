#ifndef MARRAM_DSP_DENSE_SINGLE_H
#define MARRAM_DSP_DENSE_SINGLE_H
#include "common/requantise.h"
#include "dsp/intrinsics.h"

/* A fully connected layer one output channel at a time, with any multiplier and clamp: for the few channels beside
 * those of dsp/dense.h. weights: (O, depth) int8. channels: (O, 3) of folded bias, multiplier and shift. */
MARRAM_NOINLINE __attribute__((unused)) static void marram_dsp_dense_single(const int8_t *x, int8_t *y, int depth,
                                                                            int channels, const int8_t *weights,
                                                                            const int32_t *records,
                                                                            int zero_out, int low, int high)
{
    for (; channels > 0; channels--, records += 3) {
        const int8_t *in = x;
        int32_t sum = 0;
        int left = depth;
        for (; left >= 4; left -= 4, in += 4, weights += 4) {
            const uint32_t four = marram_load32(in);
            const uint32_t by = marram_load32(weights);
            sum = marram_smlad(marram_even(four), marram_even(by), sum);
            sum = marram_smlad(marram_odd(four), marram_odd(by), sum);
        }
        for (; left > 0; left--) {
            sum += *in++ * *weights++;
        }
        const int32_t value = marram_multiply(records[0] + sum, records[1], records[2]) + zero_out;
        *y++ = (int8_t)marram_clamp(value, low, high);
    }
}
#endif
