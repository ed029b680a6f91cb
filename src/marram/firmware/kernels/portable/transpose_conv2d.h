#ifndef MARRAM_PORTABLE_TRANSPOSE_CONV2D_H
#define MARRAM_PORTABLE_TRANSPOSE_CONV2D_H
#include "common/requantise.h"
#include "common/window.h"

/* Channels, weights and requantisation of a layer. `lanes`, 1, 2 or 4, output channels are made together. weights: (O / lanes,
 * KH, KW, C, lanes) int8. channels: (O, 3) of bias, multiplier and shift. */
typedef struct {
    const int8_t *weights;
    const int32_t *channels;
    int lanes, zero_in, zero_out, low, high;
} marram_portable_transpose_layer;

/* Four sums of one output pixel, of which `lanes` count: the input pixels whose windows cover it are gathered. oy and ox count
 * the padding. */
MARRAM_INLINE void marram_portable_transpose_sums(const marram_window w, const marram_portable_transpose_layer by,
                                                  const int8_t *x, const int8_t *weights, int oy, int ox, int32_t *sums)
{
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (int ky = oy % w.stride_y; ky < w.kernel_height && ky <= oy; ky += w.stride_y) {
        const int iy = (oy - ky) / w.stride_y;
        if (iy >= w.in_height) {
            continue;
        }
        const int8_t *const row = x + marram_row(iy, w.in_rows, w.in_height, w.in_width * w.in_channels);
        for (int kx = ox % w.stride_x; kx < w.kernel_width && kx <= ox; kx += w.stride_x) {
            const int ix = (ox - kx) / w.stride_x;
            if (ix >= w.in_width) {
                continue;
            }
            const int8_t *in = row + ix * w.in_channels;
            const int8_t *k = weights + (ky * w.kernel_width + kx) * w.in_channels * by.lanes;
            for (const int8_t *const end = in + w.in_channels; in != end; in++, k += by.lanes) {
                const int32_t value = *in - by.zero_in;
                s0 += value * k[0];
                if (by.lanes > 1) {
                    s1 += value * k[1];
                }
                if (by.lanes > 2) {
                    s2 += value * k[2];
                    s3 += value * k[3];
                }
            }
        }
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

/* Transposed convolution: rows [row_begin, row_end). */
MARRAM_INLINE void marram_portable_transpose_conv2d(const marram_window w, const marram_portable_transpose_layer by,
                                                    const int8_t *x, int8_t *y, int row_begin, int row_end)
{
    const int size = w.kernel_height * w.kernel_width * w.in_channels;
    for (int row = row_begin; row < row_end; row++) {
        int8_t *out = y + marram_row(row, w.out_rows, w.out_height, w.out_width * w.out_channels);
        for (int ox = w.pad_left; ox < w.pad_left + w.out_width; ox++) {
            for (int o = 0; o < w.out_channels; o += by.lanes) {
                int32_t sums[4];
                marram_portable_transpose_sums(w, by, x, by.weights + o * size, row + w.pad_top, ox, sums);
                for (int lane = 0; lane < by.lanes; lane++) {
                    const int32_t *const channel = by.channels + 3 * (o + lane);
                    const int32_t value = marram_multiply(sums[lane] + channel[0], channel[1], channel[2]) + by.zero_out;
                    *out++ = (int8_t)marram_clamp(value, by.low, by.high);
                }
            }
        }
    }
}
#endif
