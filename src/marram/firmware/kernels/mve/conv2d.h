#ifndef MARRAM_MVE_CONV2D_H
#define MARRAM_MVE_CONV2D_H
#include "common/window.h"
#include "mve/copy.h"
#include "mve/product.h"

/* A convolution: its sizes, its weights with depth in the order (column, row, channel) of the window, and how many pixels are
 * made from one filling of the scratch. Where row_pixels is not 0, the rows of the image are so many pixels long and follow each
 * other in memory, and the sizes are those of all of them as one row. */
typedef struct {
    marram_window window;
    marram_mve_layer layer;
    int32_t zero_in, chunk, row_pixels;
} marram_mve_conv;

/* The windows of `pixels` pixels of row oy from ox on: the columns of the input that they see, one after another, kernel_height
 * pixels each. So every window is one stretch of memory, and neighbours share what they have in common. */
MARRAM_MVE_SHARED void marram_mve_take_columns(const marram_mve_conv *conv, const int8_t *x, int8_t *columns, int oy, int ox,
                                               int pixels)
{
    const marram_window *w = &conv->window;
    const int channels = w->in_channels, column = w->kernel_height * channels;
    const int left = ox * w->stride_x - w->pad_left, count = (pixels - 1) * w->stride_x + w->kernel_width;
    const int first = left < 0 ? -left : 0;
    const int past = left + count > w->in_width ? w->in_width - left : count;
    for (int ky = 0; ky < w->kernel_height; ky++, columns += channels) {
        const int iy = oy * w->stride_y - w->pad_top + ky * w->dilation_y;
        if (iy < 0 || iy >= w->in_height || first >= past) {
            marram_mve_fill(conv->zero_in, columns, column, channels, count);
            continue;
        }
        const int8_t *from = x + marram_row(iy, w->in_rows, w->in_height, w->in_width * channels) + (left + first) * channels;
        int8_t *to = columns + first * column;
        if (w->kernel_height == 1) {
            marram_mve_copy(from, 0, to, 0, (past - first) * channels, 1);
        } else {
            marram_mve_copy(from, channels, to, column, channels, past - first);
        }
        if (first > 0) {
            marram_mve_fill(conv->zero_in, columns, column, channels, first);
        }
        if (count > past) {
            marram_mve_fill(conv->zero_in, columns + past * column, column, channels, count - past);
        }
    }
}

/* Rows [row_begin, row_end), a chunk of pixels at a time. The scratch has the columns after its state. */
MARRAM_INLINE void marram_mve_conv2d(const int8_t *x, int8_t *y, int row_begin, int row_end, void *scratch,
                                     void (*product)(marram_mve_products *))
{
    const marram_mve_conv *conv = ((const marram_mve_head *)scratch)->layer;
    marram_mve_products *work = (void *)((int8_t *)scratch + MARRAM_MVE_STATE);
    int8_t *columns = (int8_t *)scratch + MARRAM_MVE_DATA;
    const marram_window *w = &conv->window;
    int oy = row_begin, ox = 0, end = w->out_width;
    if (conv->row_pixels != 0) {
        oy = 0;
        ox = row_begin * conv->row_pixels;
        end = row_end * conv->row_pixels;
        row_end = 1;
    }
    for (; oy < row_end; oy++, ox = 0) {
        for (; ox < end; ox += conv->chunk) {
            const int pixels = end - ox < conv->chunk ? end - ox : conv->chunk;
            marram_mve_take_columns(conv, x, columns, oy, ox, pixels);
            work->layer = &conv->layer;
            work->x[0] = columns;
            work->y[0] = y + marram_row(oy, w->out_rows, w->out_height, w->out_width * w->out_channels) + ox * w->out_channels;
            work->stride = w->stride_x * w->kernel_height * w->in_channels;
            work->pixels = pixels;
            product(work);
        }
    }
}

#define MARRAM_MVE_CONV2D(MODE)                                                                                           \
    MARRAM_MVE_SHARED void marram_mve_conv2d_##MODE(const int8_t *x, int8_t *y, int row_begin, int row_end, void *scratch) \
    {                                                                                                                     \
        marram_mve_conv2d(x, y, row_begin, row_end, scratch, marram_mve_product_##MODE);                                  \
    }
MARRAM_MVE_CONV2D(0)
MARRAM_MVE_CONV2D(1)
MARRAM_MVE_CONV2D(2)
MARRAM_MVE_CONV2D(3)
#endif
