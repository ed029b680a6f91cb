#ifndef MARRAM_MVE_CONV2D_H
#define MARRAM_MVE_CONV2D_H
#include "common/window.h"
#include "mve/copy.h"
#include "mve/product.h"

/* A convolution: its sizes, its weights with depth in the order (column, row, channel) of the window, and how many pixels are
 * made from one filling of the scratch. */
typedef struct {
    marram_window window;
    marram_mve_layer layer;
    int32_t zero_in, chunk;
} marram_mve_conv;

/* Row ky of the windows of `count` columns from column `left` on, to where it stands in `columns`. */
MARRAM_MVE_SHARED void marram_mve_take_row(const marram_mve_conv *conv, const int8_t *x, int8_t *columns, int ky, int iy,
                                           int left, int count)
{
    const marram_window *w = &conv->window;
    const int channels = w->in_channels, column = w->kernel_height * channels;
    int8_t *to = columns + ky * channels;
    int first = left < 0 ? -left : 0;
    int past = left + count > w->in_width ? w->in_width - left : count;
    if (iy < 0 || iy >= w->in_height || first >= past) {
        marram_mve_fill(conv->zero_in, to, column, channels, count);
        return;
    }
    const int8_t *from = x + marram_row(iy, w->in_rows, w->in_height, w->in_width * channels) + (left + first) * channels;
    marram_mve_fill(conv->zero_in, to, column, channels, first);
    if (w->kernel_height == 1) {
        marram_mve_copy(from, 0, to + first * channels, 0, (past - first) * channels, 1);
    } else {
        marram_mve_copy(from, channels, to + first * column, column, channels, past - first);
    }
    marram_mve_fill(conv->zero_in, to + past * column, column, channels, count - past);
}

/* Rows [row_begin, row_end), of each the pixels [begin, end).
 *
 * The columns of the input that they see are laid out in `columns` one after another, kernel_height pixels each, so every
 * window is one stretch of memory and neighbours share what they have in common. */
MARRAM_INLINE void marram_mve_conv2d(const marram_mve_conv *conv, const int8_t *x, int8_t *y, int row_begin, int row_end,
                                     int begin, int end, int8_t *columns, int mode)
{
    const marram_window *w = &conv->window;
    for (int oy = row_begin; oy < row_end; oy++) {
        for (int ox = begin; ox < end; ox += conv->chunk) {
            const int pixels = end - ox < conv->chunk ? end - ox : conv->chunk;
            for (int ky = 0; ky < w->kernel_height; ky++) {
                marram_mve_take_row(conv, x, columns, ky, oy * w->stride_y - w->pad_top + ky * w->dilation_y,
                                    ox * w->stride_x - w->pad_left, (pixels - 1) * w->stride_x + w->kernel_width);
            }
            int8_t *out = y + marram_row(oy, w->out_rows, w->out_height, w->out_width * w->out_channels);
            marram_mve_product(&conv->layer, columns, w->stride_x * w->kernel_height * w->in_channels,
                               out + ox * w->out_channels, pixels, mode);
        }
    }
}

#define MARRAM_MVE_CONV2D(MODE)                                                                                         \
    MARRAM_MVE_SHARED void marram_mve_conv2d_##MODE(const marram_mve_conv *conv, const int8_t *x, int8_t *y,            \
                                                    int row_begin, int row_end, int begin, int end, int8_t *columns)    \
    {                                                                                                                   \
        marram_mve_conv2d(conv, x, y, row_begin, row_end, begin, end, columns, MODE);                                   \
    }
MARRAM_MVE_CONV2D(0)
MARRAM_MVE_CONV2D(1)
MARRAM_MVE_CONV2D(2)
MARRAM_MVE_CONV2D(3)
#endif
