#ifndef MARRAM_DSP_MAX_POOL2D_H
#define MARRAM_DSP_MAX_POOL2D_H
#include "common/window.h"
#include "dsp/intrinsics.h"

/* Greatest value of the window's places that lie in the image, four channels at a time, of rows [row_begin, row_end). Channels
 * are a multiple of 4; `low` and `high` are the clamp, four times each. */
MARRAM_INLINE void marram_dsp_max_pool2d(const marram_window w, const int8_t *x, int8_t *y, int row_begin, int row_end,
                                         uint32_t low, uint32_t high)
{
    const int row_bytes = w.in_width * w.in_channels;
    for (int oy = row_begin; oy < row_end; oy++) {
        int8_t *out = y + marram_row(oy, w.out_rows, w.out_height, w.out_width * w.out_channels);
        const int top = oy * w.stride_y - w.pad_top;
        const int first_y = top < 0 ? 0 : top;
        const int past_y = top + w.kernel_height > w.in_height ? w.in_height : top + w.kernel_height;
        for (int ox = 0; ox < w.out_width; ox++) {
            const int left = ox * w.stride_x - w.pad_left;
            const int first_x = left < 0 ? 0 : left;
            const int past_x = left + w.kernel_width > w.in_width ? w.in_width : left + w.kernel_width;
            for (int c = 0; c < w.in_channels; c += 4) {
                uint32_t most = low;
                for (int iy = first_y; iy < past_y; iy++) {
                    const int8_t *at = x + marram_row(iy, w.in_rows, w.in_height, row_bytes) + first_x * w.in_channels + c;
                    for (int ix = first_x; ix < past_x; ix++) {
                        most = marram_greater4(most, marram_load32(at));
                        at += w.in_channels;
                    }
                }
                marram_store32(out, high == 0x7f7f7f7fu ? most : ~marram_greater4(~most, ~high));
                out += 4;
            }
        }
    }
}
#endif
