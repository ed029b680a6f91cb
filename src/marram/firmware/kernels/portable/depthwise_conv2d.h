#ifndef MARRAM_PORTABLE_DEPTHWISE_CONV2D_H
#define MARRAM_PORTABLE_DEPTHWISE_CONV2D_H
#include "common/requantise.h"
#include "common/window.h"

/* Depthwise convolution of rows [row_begin, row_end). weights: (KH, KW, O) int8, output channel c * M + m reads input channel
 * c. channels: (O, 3) of folded bias, multiplier and shift. */
MARRAM_INLINE void marram_portable_depthwise_conv2d(const marram_window w, const int8_t *x, int8_t *y, int row_begin,
                                                    int row_end, const int8_t *weights, const int32_t *channels,
                                                    int zero_in, int zero_out, int low, int high)
{
    const int multiplicity = w.out_channels / w.in_channels;
    for (int oy = row_begin; oy < row_end; oy++) {
        int8_t *out = y + marram_row(oy, w.out_rows, w.out_height, w.out_width * w.out_channels);
        for (int ox = 0; ox < w.out_width; ox++) {
            for (int o = 0; o < w.out_channels; o++) {
                int32_t sum = channels[3 * o];
                for (int ky = 0; ky < w.kernel_height; ky++) {
                    const int iy = oy * w.stride_y - w.pad_top + ky * w.dilation_y;
                    for (int kx = 0; kx < w.kernel_width; kx++) {
                        const int ix = ox * w.stride_x - w.pad_left + kx * w.dilation_x;
                        const int inside = iy >= 0 && iy < w.in_height && ix >= 0 && ix < w.in_width;
                        const int value = inside ? x[marram_row(iy, w.in_rows, w.in_height, w.in_width * w.in_channels) +
                                                     (size_t)(ix * w.in_channels + o / multiplicity)]
                                                 : zero_in;
                        sum += value * weights[(ky * w.kernel_width + kx) * w.out_channels + o];
                    }
                }
                const int32_t value = marram_multiply(sum, channels[3 * o + 1], channels[3 * o + 2]) + zero_out;
                *out++ = (int8_t)marram_clamp(value, low, high);
            }
        }
    }
}
#endif
