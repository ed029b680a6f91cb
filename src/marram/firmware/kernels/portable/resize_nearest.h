#ifndef MARRAM_PORTABLE_RESIZE_NEAREST_H
#define MARRAM_PORTABLE_RESIZE_NEAREST_H
#include "common/compiler.h"

/* Each output pixel is the input pixel at (down[oy], across[ox]). `item` is the bytes of an element. */
MARRAM_INLINE void marram_portable_resize_nearest(const void *x, void *y, int batch, int height, int width, int channels,
                                                  int out_height, int out_width, int item, const int16_t *down,
                                                  const int16_t *across)
{
    const int pixel = channels * item;
    const uint8_t *image = (const uint8_t *)x;
    uint8_t *out = (uint8_t *)y;
    for (int n = 0; n < batch; n++, image += height * width * pixel) {
        for (int oy = 0; oy < out_height; oy++) {
            const uint8_t *row = image + down[oy] * width * pixel;
            for (int ox = 0; ox < out_width; ox++, out += pixel) {
                memcpy(out, row + across[ox] * pixel, (size_t)pixel);
            }
        }
    }
}
#endif
