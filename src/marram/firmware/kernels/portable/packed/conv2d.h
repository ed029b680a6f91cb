#ifndef MARRAM_PORTABLE_PACKED_CONV2D_H
#define MARRAM_PORTABLE_PACKED_CONV2D_H
#include "common/requantise.h"
#include "common/window.h"
#include "portable/packed/weights.h"

/* As portable/conv2d.h with weights (O, KH, KW, C / groups) of `bits` bits. channels: bias and multiplier of each. */
MARRAM_INLINE void marram_portable_packed_conv2d(const marram_window w, const int8_t *x, int8_t *y, int row_begin,
                                                 int row_end, int groups, int bits, const uint8_t *weights,
                                                 const int32_t *channels, const int8_t *shifts, int zero_in,
                                                 int zero_out, int low, int high)
{
    const int depth = w.in_channels / groups;
    const int per_group = w.out_channels / groups;
    for (int oy = row_begin; oy < row_end; oy++) {
        int8_t *out = y + marram_row(oy, w.out_rows, w.out_height, w.out_width * w.out_channels);
        for (int ox = 0; ox < w.out_width; ox++) {
            size_t k = 0;
            for (int o = 0; o < w.out_channels; o++) {
                int32_t sum = channels[2 * o];
                for (int ky = 0; ky < w.kernel_height; ky++) {
                    const int iy = oy * w.stride_y - w.pad_top + ky * w.dilation_y;
                    for (int kx = 0; kx < w.kernel_width; kx++, k += (size_t)depth) {
                        const int ix = ox * w.stride_x - w.pad_left + kx * w.dilation_x;
                        if (iy < 0 || iy >= w.in_height || ix < 0 || ix >= w.in_width) {
                            for (int c = 0; c < depth; c++) {
                                sum += zero_in * marram_packed(weights, k + (size_t)c, bits);
                            }
                            continue;
                        }
                        const int8_t *in = x + marram_row(iy, w.in_rows, w.in_height, w.in_width * w.in_channels) +
                                           ix * w.in_channels + (o / per_group) * depth;
                        sum += marram_packed_dot(in, weights, k, depth, bits);
                    }
                }
                const int32_t value = marram_multiply(sum, channels[2 * o + 1], shifts[o]) + zero_out;
                *out++ = (int8_t)marram_clamp(value, low, high);
            }
        }
    }
}
#endif
