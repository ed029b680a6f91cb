#ifndef MARRAM_DSP_CONV2D_LEAN_H
#define MARRAM_DSP_CONV2D_LEAN_H
#include "dsp/conv2d.h"
#include "dsp/dense.h"

/* Convolution of rows [row_begin, row_end) window by window, each as one vector of a fully connected layer: with a
 * sixth of the scratch. scratch: 4 * groups bytes. */
MARRAM_INLINE void marram_dsp_conv2d_lean(const marram_window w, const int8_t *x, int8_t *y, int row_begin, int row_end,
                                          const uint32_t *stream, marram_dsp_quads *quads, int groups, int zero,
                                          int zero_in, int8_t *stage)
{
    const int bottom = w.in_height - (w.kernel_height - 1) * w.dilation_y;
    const int right = w.in_width - w.kernel_width;
    memset(stage, 0, 4 * (size_t)groups);
    for (int oy = row_begin; oy < row_end; oy++) {
        const int iy = oy * w.stride_y - w.pad_top;
        int8_t *to = y + marram_row(oy, w.out_rows, w.out_height, w.out_width * w.out_channels);
        for (int ox = 0, ix = -w.pad_left; ox < w.out_width; ox++, ix += w.stride_x, to += w.out_channels) {
            if (iy >= 0 && iy < bottom && ix >= 0 && ix <= right && w.dilation_x == 1) {
                marram_dsp_stage(w, x, iy, ix, stage);
            } else {
                marram_dsp_stage_border(w, x, iy, ix, zero_in, stage);
            }
            quads(stage, stream, to, groups, w.out_channels, marram_dsp_beginning(stage, groups), zero);
        }
    }
}
#endif
