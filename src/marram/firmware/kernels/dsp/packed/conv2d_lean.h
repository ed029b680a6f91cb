#ifndef MARRAM_DSP_PACKED_CONV2D_LEAN_H
#define MARRAM_DSP_PACKED_CONV2D_LEAN_H
#include "dsp/conv2d.h"
#include "dsp/packed/dense.h"

typedef void marram_dsp_packed_dense(const int8_t *x, int8_t *y, int rows, int depth, int outputs, const uint32_t *weights,
                                     const int32_t *records, int zero_out, int low, int high, uint32_t *scratch);

/* Convolution of rows [row_begin, row_end) window by window, each as one vector of a fully connected layer with packed
 * weights. scratch: for each of `depth` inputs of a window, in whole words of weights, 2 bytes, and one for the window. */
MARRAM_INLINE void marram_dsp_packed_conv2d_lean(const marram_window w, const int8_t *x, int8_t *y, int row_begin,
                                                 int row_end, marram_dsp_packed_dense *dense, int depth,
                                                 const uint32_t *weights, const int32_t *records, int zero_in,
                                                 int zero_out, int low, int high, uint32_t *scratch, int8_t *stage)
{
    const int bottom = w.in_height - (w.kernel_height - 1) * w.dilation_y;
    const int right = w.in_width - w.kernel_width;
    for (int oy = row_begin; oy < row_end; oy++) {
        const int iy = oy * w.stride_y - w.pad_top;
        int8_t *to = y + marram_row(oy, w.out_rows, w.out_height, w.out_width * w.out_channels);
        for (int ox = 0, ix = -w.pad_left; ox < w.out_width; ox++, ix += w.stride_x, to += w.out_channels) {
            if (iy >= 0 && iy < bottom && ix >= 0 && ix <= right && w.dilation_x == 1) {
                marram_dsp_stage(w, x, iy, ix, stage);
            } else {
                marram_dsp_stage_border(w, x, iy, ix, zero_in, stage);
            }
            dense(stage, to, 1, depth, w.out_channels, weights, records, zero_out, low, high, scratch);
        }
    }
}
#endif
