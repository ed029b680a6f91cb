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
    marram_mve_product_of *product;
    int32_t zero_in, chunk;
} marram_mve_conv;

/* Pixels [begin, end) of output row oy, which starts at `out`.
 *
 * The columns of the input that they see are laid out in `columns` one after another, kernel_height pixels each, so every
 * window is one stretch of memory and neighbours share what they have in common. */
MARRAM_MVE_SHARED void marram_mve_conv2d_row(const marram_mve_conv *conv, const int8_t *x, int8_t *out, int oy, int begin,
                                             int end, int8_t *columns)
{
    const marram_window *w = &conv->window;
    const int channels = w->in_channels, column = w->kernel_height * channels;
    for (int ox = begin; ox < end; ox += conv->chunk) {
        const int pixels = end - ox < conv->chunk ? end - ox : conv->chunk;
        const int count = (pixels - 1) * w->stride_x + w->kernel_width;
        const int left = ox * w->stride_x - w->pad_left;
        for (int ky = 0; ky < w->kernel_height; ky++) {
            const int iy = oy * w->stride_y - w->pad_top + ky * w->dilation_y;
            int8_t *to = columns + ky * channels;
            int first = left < 0 ? -left : 0;
            int past = left + count > w->in_width ? w->in_width - left : count;
            if (iy < 0 || iy >= w->in_height || first >= count || past <= first) {
                first = past = count;
            }
            const int8_t *from = x + (left + first) * channels;
            if (first < past) {
                from += marram_row(iy, w->in_rows, w->in_height, w->in_width * channels);
            }
            marram_mve_fill(conv->zero_in, to, column, channels, first);
            if (w->kernel_height == 1) {
                marram_mve_copy(from, 0, to + first * channels, 0, (past - first) * channels, past > first);
            } else {
                marram_mve_copy(from, channels, to + first * column, column, channels, past - first);
            }
            marram_mve_fill(conv->zero_in, to + past * column, column, channels, count - past);
        }
        conv->product(&conv->layer, columns, w->stride_x * column, out + ox * w->out_channels, pixels);
    }
}

/* Rows [row_begin, row_end). */
MARRAM_MVE_SHARED void marram_mve_conv2d(const marram_mve_conv *conv, const int8_t *x, int8_t *y, int row_begin, int row_end,
                                         int8_t *columns)
{
    const marram_window *w = &conv->window;
    for (int oy = row_begin; oy < row_end; oy++) {
        int8_t *out = y + marram_row(oy, w->out_rows, w->out_height, w->out_width * w->out_channels);
        marram_mve_conv2d_row(conv, x, out, oy, 0, w->out_width, columns);
    }
}
#endif
