#ifndef MARRAM_PORTABLE_TRANSPOSE_CONV2D_H
#define MARRAM_PORTABLE_TRANSPOSE_CONV2D_H
#include "common/requantise.h"

/* Transposed convolution: each output pixel gathers the input pixels whose windows cover it. weights: (O, KH, KW, C) int8.
 * channels: (O, 3) of bias, multiplier and shift. */
MARRAM_INLINE void marram_portable_transpose_conv2d(const int8_t *x, int8_t *y, int batch, int height, int width, int depth,
                                                    int out_height, int out_width, int outputs, int kernel_height,
                                                    int kernel_width, int stride_y, int stride_x, int pad_top, int pad_left,
                                                    const int8_t *weights, const int32_t *channels, int zero_in,
                                                    int zero_out, int low, int high)
{
    for (int n = 0; n < batch; n++, x += height * width * depth) {
        for (int oy = pad_top; oy < pad_top + out_height; oy++) {
            for (int ox = pad_left; ox < pad_left + out_width; ox++) {
                const int8_t *k = weights;
                for (int o = 0; o < outputs; o++, k += kernel_height * kernel_width * depth) {
                    int32_t sum = channels[3 * o];
                    for (int ky = oy % stride_y; ky < kernel_height && ky <= oy; ky += stride_y) {
                        const int iy = (oy - ky) / stride_y;
                        for (int kx = ox % stride_x; kx < kernel_width && kx <= ox; kx += stride_x) {
                            const int ix = (ox - kx) / stride_x;
                            if (iy >= height || ix >= width) {
                                continue;
                            }
                            const int8_t *in = x + (iy * width + ix) * depth;
                            const int8_t *by = k + (ky * kernel_width + kx) * depth;
                            for (int c = 0; c < depth; c++) {
                                sum += (in[c] - zero_in) * by[c];
                            }
                        }
                    }
                    const int32_t value = marram_multiply(sum, channels[3 * o + 1], channels[3 * o + 2]) + zero_out;
                    *y++ = (int8_t)marram_clamp(value, low, high);
                }
            }
        }
    }
}
#endif
