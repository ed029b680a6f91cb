#ifndef MARRAM_DSP_POINTWISE_H
#define MARRAM_DSP_POINTWISE_H
#include "dsp/tile.h"

/* A layer of 4 * groups inputs and `channels` outputs on each of `pixels` neighbours: convolution by 1 x 1, or rows
 * of a fully connected layer. The output may stand where the input stands. scratch: 24 + 24 * groups bytes. */
MARRAM_OPAQUE static void marram_dsp_pointwise(const int8_t *x, int8_t *y, int pixels, int groups, int channels,
                                                   const uint32_t *stream, marram_dsp_tile *tile, int zero,
                                                   uint32_t *scratch)
{
    for (; pixels > 0; pixels -= 3) {
        const int second = pixels > 1 ? channels : 0;
        const int third = pixels > 2 ? 2 * channels : 0;
        const int8_t *const next = x + (pixels > 1 ? 4 * groups : 0);
        const int8_t *const last = x + (pixels > 2 ? 8 * groups : 0);
        scratch[0] = scratch[1] = scratch[2] = 0;
        (void)marram_dsp_gather(scratch + MARRAM_DSP_BEGINNINGS, x, next, last, groups, scratch);
        marram_dsp_outputs(tile, scratch, stream, y, channels, groups, second, third, zero);
        x += 12 * groups;
        y += 3 * channels;
    }
}
#endif
