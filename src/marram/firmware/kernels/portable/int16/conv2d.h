#ifndef MARRAM_PORTABLE_INT16_CONV2D_H
#define MARRAM_PORTABLE_INT16_CONV2D_H
#include "common/window.h"
#include "portable/int16/finish.h"

/* Convolution of rows [row_begin, row_end). weights: (O, KH, KW, C / groups) int8. Padded places hold 0 and are left out. */
MARRAM_INLINE void marram_portable_int16_conv2d(const marram_window w, const int16_t *x, int16_t *y, int row_begin,
                                                int row_end, int groups, const int8_t *weights, const int64_t *bias,
                                                const int32_t *factors, int low, int high)
{
    const int depth = w.in_channels / groups;
    const int per_group = w.out_channels / groups;
    for (int oy = row_begin; oy < row_end; oy++) {
        int16_t *out = y + marram_row(oy, w.out_rows, w.out_height, w.out_width * w.out_channels);
        for (int ox = 0; ox < w.out_width; ox++) {
            for (int o = 0; o < w.out_channels; o++) {
                const int8_t *k = weights + (size_t)o * (size_t)(w.kernel_height * w.kernel_width * depth);
                int64_t sum = bias[o];
                for (int ky = 0; ky < w.kernel_height; ky++) {
                    const int iy = oy * w.stride_y - w.pad_top + ky * w.dilation_y;
                    for (int kx = 0; kx < w.kernel_width; kx++, k += depth) {
                        const int ix = ox * w.stride_x - w.pad_left + kx * w.dilation_x;
                        if (iy < 0 || iy >= w.in_height || ix < 0 || ix >= w.in_width) {
                            continue;
                        }
                        const int16_t *in = x + marram_row(iy, w.in_rows, w.in_height, w.in_width * w.in_channels) +
                                            ix * w.in_channels + (o / per_group) * depth;
                        for (int c = 0; c < depth; c++) {
                            sum += in[c] * k[c];
                        }
                    }
                }
                *out++ = marram_portable_int16_finish(sum, factors + 2 * o, low, high);
            }
        }
    }
}
#endif
