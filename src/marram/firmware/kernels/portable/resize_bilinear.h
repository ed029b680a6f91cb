#ifndef MARRAM_PORTABLE_RESIZE_BILINEAR_H
#define MARRAM_PORTABLE_RESIZE_BILINEAR_H
#include "common/window.h"

/* Output rows [row_begin, row_end), each pixel the mix of four with weights of 1024 each way, halves away from zero
 * (ResizeBilinearInteger of TFLM). `down` and `across` have the lower place, the upper place and the upper one's weight for
 * each output row and column. A weight can lie outside of 0..1024, where a sample falls beside the image; both places are then
 * the same. `in_rows` and `out_rows` are the rows that the buffers hold. */
#define MARRAM_PORTABLE_RESIZE_BILINEAR(name, type, wide)                                                                   \
    MARRAM_INLINE void name(const type *x, type *y, int height, int width, int channels, int out_height, int out_width,     \
                            int in_rows, int out_rows, int row_begin, int row_end, const int16_t *down,                     \
                            const int16_t *across)                                                                          \
    {                                                                                                                       \
        const int line = width * channels;                                                                                  \
        for (int oy = row_begin; oy < row_end; oy++) {                                                                      \
            const type *above = x + marram_row(down[3 * oy], in_rows, height, line);                                        \
            const type *below = x + marram_row(down[3 * oy + 1], in_rows, height, line);                                    \
            const int lower = down[3 * oy + 2];                                                                             \
            type *out = y + marram_row(oy, out_rows, out_height, out_width * channels);                                     \
            for (int ox = 0; ox < out_width; ox++) {                                                                        \
                const int left = across[3 * ox] * channels;                                                                 \
                const int right = across[3 * ox + 1] * channels;                                                            \
                const int far = across[3 * ox + 2];                                                                         \
                for (int c = 0; c < channels; c++) {                                                                        \
                    const int32_t first = above[left + c] * (1024 - far) + above[right + c] * far;                          \
                    const int32_t second = below[left + c] * (1024 - far) + below[right + c] * far;                         \
                    const wide total = (wide)first * (1024 - lower) + (wide)second * lower;                                 \
                    const wide half = 1 << 19;                                                                              \
                    *out++ = (type)(total < 0 ? -((half - total) >> 20) : (total + half) >> 20);                            \
                }                                                                                                           \
            }                                                                                                               \
        }                                                                                                                   \
    }

MARRAM_PORTABLE_RESIZE_BILINEAR(marram_portable_resize_bilinear_8, int8_t, int32_t)
MARRAM_PORTABLE_RESIZE_BILINEAR(marram_portable_resize_bilinear_16, int16_t, int64_t)
#endif
