#ifndef MARRAM_PORTABLE_RESIZE_NEAREST_H
#define MARRAM_PORTABLE_RESIZE_NEAREST_H
#include "common/window.h"

/* Each pixel of output rows [row_begin, row_end) is the input pixel at (down[oy], across[ox]). `item` is the bytes of an
 * element; `in_rows` and `out_rows` are the rows that the buffers hold. */
MARRAM_INLINE void marram_portable_resize_nearest(const void *x, void *y, int item, int height, int width, int channels,
                                                  int out_height, int out_width, int in_rows, int out_rows, int row_begin,
                                                  int row_end, const int16_t *down, const int16_t *across)
{
    const int pixel = channels * item;
    for (int oy = row_begin; oy < row_end; oy++) {
        const uint8_t *row = (const uint8_t *)x + marram_row(down[oy], in_rows, height, width * pixel);
        uint8_t *out = (uint8_t *)y + marram_row(oy, out_rows, out_height, out_width * pixel);
        for (int ox = 0; ox < out_width; ox++, out += pixel) {
            memcpy(out, row + across[ox] * pixel, (size_t)pixel);
        }
    }
}
#endif
