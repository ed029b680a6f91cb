#ifndef MARRAM_PORTABLE_RESIZE_BILINEAR_H
#define MARRAM_PORTABLE_RESIZE_BILINEAR_H
#include "common/compiler.h"

/* The mix of four pixels with weights of 1024 each way, halves away from zero (ResizeBilinearInteger of TFLM). `down` and
 * `across` have the lower place, the upper place and the upper one's weight for each output row and column. A weight can lie
 * outside of 0..1024, where a sample falls beside the image; both places are then the same. */
#define MARRAM_PORTABLE_RESIZE_BILINEAR(name, type, wide)                                                                   \
    MARRAM_INLINE void name(const type *x, type *y, int batch, int height, int width, int channels, int out_height,         \
                            int out_width, const int16_t *down, const int16_t *across)                                      \
    {                                                                                                                       \
        const int line = width * channels;                                                                                  \
        for (int n = 0; n < batch; n++, x += height * line) {                                                               \
            for (int oy = 0; oy < out_height; oy++) {                                                                       \
                const type *above = x + down[3 * oy] * line;                                                                \
                const type *below = x + down[3 * oy + 1] * line;                                                            \
                const int lower = down[3 * oy + 2];                                                                         \
                for (int ox = 0; ox < out_width; ox++) {                                                                    \
                    const int left = across[3 * ox] * channels;                                                             \
                    const int right = across[3 * ox + 1] * channels;                                                        \
                    const int far = across[3 * ox + 2];                                                                     \
                    for (int c = 0; c < channels; c++) {                                                                    \
                        const int32_t first = above[left + c] * (1024 - far) + above[right + c] * far;                      \
                        const int32_t second = below[left + c] * (1024 - far) + below[right + c] * far;                     \
                        const wide total = (wide)first * (1024 - lower) + (wide)second * lower;                             \
                        const wide half = 1 << 19;                                                                          \
                        *y++ = (type)(total < 0 ? -((half - total) >> 20) : (total + half) >> 20);                          \
                    }                                                                                                       \
                }                                                                                                           \
            }                                                                                                               \
        }                                                                                                                   \
    }

MARRAM_PORTABLE_RESIZE_BILINEAR(marram_portable_resize_bilinear_8, int8_t, int32_t)
MARRAM_PORTABLE_RESIZE_BILINEAR(marram_portable_resize_bilinear_16, int16_t, int64_t)
#endif
