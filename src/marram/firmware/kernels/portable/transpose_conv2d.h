#ifndef MARRAM_PORTABLE_TRANSPOSE_CONV2D_H
#define MARRAM_PORTABLE_TRANSPOSE_CONV2D_H
#include "common/requantise.h"
#include "common/window.h"

/* Transposed convolution of rows [row_begin, row_end): each output pixel gathers the input pixels whose windows cover it.
 * weights: (O, KH, KW, C) int8. channels: (O, 3) of bias, multiplier and shift. */
MARRAM_INLINE void marram_portable_transpose_conv2d(const marram_window w, const int8_t *x, int8_t *y, int row_begin,
                          int row_end, const int8_t *weights, const int32_t *channels, int zero_in, int zero_out, int low, int high)
{
    const int size = w.kernel_height * w.kernel_width * w.in_channels;
    for (int row = row_begin; row < row_end; row++) {
        int8_t *out = y + marram_row(row, w.out_rows, w.out_height, w.out_width * w.out_channels);
        const int oy = row + w.pad_top;
        for (int ox = w.pad_left; ox < w.pad_left + w.out_width; ox++) {
            for (int o = 0; o < w.out_channels; o++) {
                const int8_t *const k = weights + o * size;
                int32_t sum = channels[3 * o];
                for (int ky = oy % w.stride_y; ky < w.kernel_height && ky <= oy; ky += w.stride_y) {
                    const int iy = (oy - ky) / w.stride_y;
                    for (int kx = ox % w.stride_x; kx < w.kernel_width && kx <= ox; kx += w.stride_x) {
                        const int ix = (ox - kx) / w.stride_x;
                        if (iy >= w.in_height || ix >= w.in_width) {
                            continue;
                        }
                        const int8_t *in = x + marram_row(iy, w.in_rows, w.in_height, w.in_width * w.in_channels) +
                                          ix * w.in_channels;
                        const int8_t *by = k + (ky * w.kernel_width + kx) * w.in_channels;
                        for (int c = 0; c < w.in_channels; c++) {
                            sum += (in[c] - zero_in) * by[c];
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
