#ifndef MARRAM_PORTABLE_CONV2D_H
#define MARRAM_PORTABLE_CONV2D_H
#include "common/requantise.h"
#include "portable/blocks.h"

/* Two pixels by four channels. weights: (O / 4, K, 4) int8, missing channels are 0. channels: (O rounded up to four, 3) of
 * folded bias, multiplier and shift. */
MARRAM_NOINLINE static void marram_portable_pairs(const marram_block *b)
{
    const int8_t *k = b->weights;
    const int32_t *channel = b->channels;
    for (int g = 0; g < b->groups; g++, channel += 12) {
        int32_t sums[8];
        int32_t s0 = channel[0], s1 = channel[3], s2 = channel[6], s3 = channel[9];
        int32_t t0 = s0, t1 = s1, t2 = s2, t3 = s3;
        for (const int8_t *const *tap = b->taps; tap != b->taps_end; tap += 2) {
            const int8_t *p = tap[0];
            const int8_t *q = tap[1];
            const int8_t *const end = p + b->length;
            for (; p != end; k += 4) {
                const int32_t a = *p++, c = *q++;
                int32_t weight = k[0];
                s0 += a * weight;
                t0 += c * weight;
                weight = k[1];
                s1 += a * weight;
                t1 += c * weight;
                weight = k[2];
                s2 += a * weight;
                t2 += c * weight;
                weight = k[3];
                s3 += a * weight;
                t3 += c * weight;
            }
        }
        sums[0] = s0;
        sums[1] = s1;
        sums[2] = s2;
        sums[3] = s3;
        sums[4] = t0;
        sums[5] = t1;
        sums[6] = t2;
        sums[7] = t3;
        for (int i = 0; i < 8; i++) {
            const int32_t *const by = channel + 3 * (i & 3);
            const int32_t value = marram_multiply(sums[i], by[1], by[2]) + b->layer->zero_out;
            b->out[(i >> 2) * b->out_stride + 4 * g + (i & 3)] = (int8_t)marram_clamp(value, b->layer->low, b->layer->high);
        }
    }
}

MARRAM_NOINLINE static void marram_portable_conv2d(const marram_blocks *b, const int8_t *x, int8_t *y, int row_begin,
                                                   int row_end, void *scratch)
{
    marram_blocks_run(b, x, y, row_begin, row_end, scratch, 2, marram_portable_pairs);
}

MARRAM_NOINLINE static void marram_portable_conv2d_flat(const marram_blocks *b, const int8_t *x, int8_t *y, int pixels,
                                                        void *scratch)
{
    marram_blocks_run_flat(b, x, y, pixels, scratch, 2, marram_portable_pairs);
}

/* Convolution in groups of channels, which is rare: output by output, and a pixel's inputs are read until its last byte is
 * written. weights: (O, KH, KW, C / groups) int8. channels: (O, 3). */
MARRAM_INLINE void marram_portable_grouped_conv2d(const marram_window w, const int8_t *x, int8_t *y, int row_begin,
                                                  int row_end, int groups, const int8_t *weights, const int32_t *channels,
                                                  int zero_in, int zero_out, int low, int high)
{
    const int depth = w.in_channels / groups;
    const int per_group = w.out_channels / groups;
    for (int oy = row_begin; oy < row_end; oy++) {
        int8_t *out = y + marram_row(oy, w.out_rows, w.out_height, w.out_width * w.out_channels);
        for (int ox = 0; ox < w.out_width; ox++) {
            for (int o = 0; o < w.out_channels; o++) {
                const int8_t *k = weights + (size_t)o * (size_t)(w.kernel_height * w.kernel_width * depth);
                int32_t sum = channels[3 * o];
                for (int ky = 0; ky < w.kernel_height; ky++) {
                    const int iy = oy * w.stride_y - w.pad_top + ky * w.dilation_y;
                    for (int kx = 0; kx < w.kernel_width; kx++, k += depth) {
                        const int ix = ox * w.stride_x - w.pad_left + kx * w.dilation_x;
                        if (iy < 0 || iy >= w.in_height || ix < 0 || ix >= w.in_width) {
                            for (int c = 0; c < depth; c++) {
                                sum += zero_in * k[c];
                            }
                            continue;
                        }
                        const int8_t *in = x + marram_row(iy, w.in_rows, w.in_height, w.in_width * w.in_channels) +
                                           ix * w.in_channels + (o / per_group) * depth;
                        for (int c = 0; c < depth; c++) {
                            sum += in[c] * k[c];
                        }
                    }
                }
                const int32_t value = marram_multiply(sum, channels[3 * o + 1], channels[3 * o + 2]) + zero_out;
                *out++ = (int8_t)marram_clamp(value, low, high);
            }
        }
    }
}
#endif
