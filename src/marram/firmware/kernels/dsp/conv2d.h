#ifndef MARRAM_DSP_CONV2D_H
#define MARRAM_DSP_CONV2D_H
#include "common/window.h"
#include "dsp/tile.h"

/* What a convolution is made of: sizes, the packed weights, the tile for its channels, a pixel of the input's zero
 * point. */
typedef struct {
    marram_window window;
    int groups, zero; /* groups of 4 inputs of a window; 2 * zero point of the output + 1 */
    const uint32_t *stream;
    marram_dsp_tile *tile;
    const int8_t *padding;
} marram_dsp_conv;

/* The input pixel that a tap sees, which is `padding` outside of the image. */
MARRAM_INLINE const int8_t *marram_dsp_tap(const marram_dsp_conv *c, const int8_t *x, int iy, int ix)
{
    const marram_window *const w = &c->window;
    if ((unsigned)iy >= (unsigned)w->in_height || (unsigned)ix >= (unsigned)w->in_width) {
        return c->padding;
    }
    return x + marram_row(iy, w->in_rows, w->in_height, w->in_width * w->in_channels) + ix * w->in_channels;
}

/* Gathers three windows that begin at (iy, ix): row by row where they lie beside each other inside of the image; tap
 * by tap at borders, across rows and with dilation. */
MARRAM_OPAQUE static void marram_dsp_gather_windows(const marram_dsp_conv *c, const int8_t *x, const int *iy,
                                                        const int *ix, uint32_t *scratch)
{
    const marram_window *const w = &c->window;
    const int past = iy[0] + w->kernel_height * w->dilation_y;
    const int across = w->kernel_width * w->dilation_x;
    uint32_t *to = scratch + MARRAM_DSP_BEGINNINGS;
    scratch[0] = scratch[1] = scratch[2] = 0;
    const int beside = iy[2] == iy[0] && ix[2] - ix[0] == 2 * w->stride_x && w->dilation_x == 1;
    if (beside && iy[0] >= 0 && past - w->dilation_y < w->in_height && ix[0] >= 0 &&
        ix[2] + w->kernel_width <= w->in_width) {
        const int step = w->stride_x * w->in_channels;
        for (int row = iy[0]; row < past; row += w->dilation_y) {
            const int8_t *const from = x + marram_row(row, w->in_rows, w->in_height, w->in_width * w->in_channels) +
                                       ix[0] * w->in_channels;
            to = marram_dsp_gather(to, from, from + step, from + 2 * step, (across * w->in_channels) >> 2, scratch);
        }
        return;
    }
    for (int ky = 0; ky < past - iy[0]; ky += w->dilation_y) {
        for (int kx = 0; kx < across; kx += w->dilation_x) {
            to = marram_dsp_gather(to, marram_dsp_tap(c, x, iy[0] + ky, ix[0] + kx), marram_dsp_tap(c, x, iy[1] + ky,
                                                                                                    ix[1] + kx),
                                   marram_dsp_tap(c, x, iy[2] + ky, ix[2] + kx), w->in_channels >> 2, scratch);
        }
    }
}

/* Convolution of rows [row_begin, row_end), input channels a multiple of 4. scratch: 24 + 24 * groups bytes. */
MARRAM_OPAQUE static void marram_dsp_conv2d(const marram_dsp_conv *c, const int8_t *x, int8_t *y, int row_begin,
                                                int row_end, uint32_t *scratch)
{
    int oy = row_begin;
    int ox = 0;
    while (oy < row_end) {
#if MARRAM_DSP
        __asm__("" : "+r"(c)); /* so that the sizes are not all kept on the stack */
#endif
        const marram_window *const w = &c->window;
        int iy[3];
        int ix[3];
        int place[3];
        for (int pixel = 0; pixel < 3; pixel++) {
            if (oy < row_end) {
                iy[pixel] = oy * w->stride_y - w->pad_top;
                ix[pixel] = ox * w->stride_x - w->pad_left;
                place[pixel] = (int)marram_row(oy, w->out_rows, w->out_height, w->out_width * w->out_channels) +
                               ox * w->out_channels;
            } else {
                iy[pixel] = iy[0];
                ix[pixel] = ix[0];
                place[pixel] = place[0];
            }
            if (++ox == w->out_width) {
                ox = 0;
                oy++;
            }
        }
        marram_dsp_gather_windows(c, x, iy, ix, scratch);
        marram_dsp_outputs(c->tile, scratch, c->stream, y + place[0], w->out_channels, c->groups, place[1] - place[0],
                           place[2] - place[0], c->zero);
    }
}

/* Bytes of one window that reaches beyond the image or is dilated. */
MARRAM_INLINE void marram_dsp_stage_border(const marram_window w, const int8_t *x, int iy, int ix, int zero_in,
                                           int8_t *to)
{
    const int pixel = w.in_channels;
    for (int ky = 0; ky < w.kernel_height; ky++, iy += w.dilation_y) {
        const int there = iy >= 0 && iy < w.in_height;
        const int8_t *const row = x + (there ? marram_row(iy, w.in_rows, w.in_height, w.in_width * pixel) : 0);
        for (int kx = 0, at = ix; kx < w.kernel_width; kx++, at += w.dilation_x, to += pixel) {
            if (there && at >= 0 && at < w.in_width) {
                memcpy(to, row + at * pixel, (size_t)pixel);
            } else {
                memset(to, zero_in, (size_t)pixel);
            }
        }
    }
}

/* Bytes of one window inside of the image, whose rows are rows of the image. */
MARRAM_INLINE void marram_dsp_stage(const marram_window w, const int8_t *x, int iy, int ix, int8_t *to)
{
    const int pitch = w.in_width * w.in_channels;
    const int run = w.kernel_width * w.in_channels;
    const int8_t *from = x + marram_row(iy, w.in_rows, w.in_height, pitch) + ix * w.in_channels;
    for (int ky = 0; ky < w.kernel_height; ky++, to += run, from += w.dilation_y * pitch) {
        if (w.in_rows != w.in_height) {
            from = x + marram_row(iy + ky * w.dilation_y, w.in_rows, w.in_height, pitch) + ix * w.in_channels;
        }
        memcpy(to, from, (size_t)run);
    }
}

/* Convolution of rows [row_begin, row_end) with any number of input channels. scratch: 24 + 36 * groups bytes. */
MARRAM_INLINE void marram_dsp_conv2d_staged(const marram_window w, const int8_t *x, int8_t *y, int row_begin,
                                            int row_end,
                                            const uint32_t *stream, marram_dsp_tile *tile, int groups, int zero,
                                            int zero_in, uint32_t *scratch)
{
    int8_t *const stages = (int8_t *)(scratch + MARRAM_DSP_BEGINNINGS + 6 * groups);
    const int bottom = w.in_height - (w.kernel_height - 1) * w.dilation_y;
    const int right = w.in_width - w.kernel_width;
    int place[3];
    int iy = row_begin * w.stride_y - w.pad_top;
    int ix = -w.pad_left;
    int count = 0;
    memset(stages, 0, 12 * (size_t)groups);
    for (int oy = row_begin; oy < row_end; oy++, iy += w.stride_y, ix = -w.pad_left) {
        const int row = (int)marram_row(oy, w.out_rows, w.out_height, w.out_width * w.out_channels);
        for (int at = row; at < row + w.out_width * w.out_channels; at += w.out_channels, ix += w.stride_x) {
            int8_t *const stage = stages + 4 * groups * count;
            if (iy >= 0 && iy < bottom && ix >= 0 && ix <= right && w.dilation_x == 1) {
                marram_dsp_stage(w, x, iy, ix, stage);
            } else {
                marram_dsp_stage_border(w, x, iy, ix, zero_in, stage);
            }
            place[count++] = at;
            const int last = oy == row_end - 1 && at == row + (w.out_width - 1) * w.out_channels;
            if (count == 3 || last) {
                scratch[0] = scratch[1] = scratch[2] = 0;
                (void)marram_dsp_gather(scratch + MARRAM_DSP_BEGINNINGS, stages, stages + 4 * groups,
                                        stages + 8 * groups, groups, scratch);
                marram_dsp_outputs(tile, scratch, stream, y + place[0], w.out_channels, groups,
                                   count > 1 ? place[1] - place[0] : 0, count > 2 ? place[2] - place[0] : 0, zero);
                count = 0;
            }
        }
    }
}
#endif
