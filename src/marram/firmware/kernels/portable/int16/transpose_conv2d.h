#ifndef MARRAM_PORTABLE_INT16_TRANSPOSE_CONV2D_H
#define MARRAM_PORTABLE_INT16_TRANSPOSE_CONV2D_H
#include "portable/int16/finish.h"

/* Transposed convolution: each output pixel gathers the input pixels whose windows cover it. weights: (O, KH, KW, C) int8. */
MARRAM_INLINE void marram_portable_int16_transpose_conv2d(const int16_t *x, int16_t *y, int batch, int height, int width,
                                                          int depth, int out_height, int out_width, int outputs,
                                                          int kernel_height, int kernel_width, int stride_y, int stride_x,
                                                          int pad_top, int pad_left, const int8_t *weights,
                                                          const int64_t *bias, const int32_t *factors, int low, int high)
{
    for (int n = 0; n < batch; n++, x += height * width * depth) {
        for (int oy = pad_top; oy < pad_top + out_height; oy++) {
            for (int ox = pad_left; ox < pad_left + out_width; ox++) {
                const int8_t *k = weights;
                for (int o = 0; o < outputs; o++, k += kernel_height * kernel_width * depth) {
                    int64_t sum = bias[o];
                    for (int ky = oy % stride_y; ky < kernel_height && ky <= oy; ky += stride_y) {
                        const int iy = (oy - ky) / stride_y;
                        for (int kx = ox % stride_x; kx < kernel_width && kx <= ox; kx += stride_x) {
                            const int ix = (ox - kx) / stride_x;
                            if (iy >= height || ix >= width) {
                                continue;
                            }
                            const int16_t *in = x + (iy * width + ix) * depth;
                            const int8_t *by = k + (ky * kernel_width + kx) * depth;
                            for (int c = 0; c < depth; c++) {
                                sum += in[c] * by[c];
                            }
                        }
                    }
                    *y++ = marram_portable_int16_finish(sum, factors + 2 * o, low, high);
                }
            }
        }
    }
}
#endif
