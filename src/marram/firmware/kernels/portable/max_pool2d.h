#ifndef MARRAM_PORTABLE_MAX_POOL2D_H
#define MARRAM_PORTABLE_MAX_POOL2D_H
#include "common/requantise.h"
#include "common/window.h"

/* Greatest value of the window's places that lie in the image, of rows [row_begin, row_end). */
/* A type cannot stand in parentheses: NOLINTBEGIN(bugprone-macro-parentheses) */
#define MARRAM_PORTABLE_MAX_POOL2D(name, type)                                                                              \
    MARRAM_INLINE void name(const marram_window w, const type *x, type *y, int row_begin, int row_end, int low, int high)   \
    {                                                                                                                       \
        for (int oy = row_begin; oy < row_end; oy++) {                                                                      \
            type *out = y + marram_row(oy, w.out_rows, w.out_height, w.out_width * w.out_channels);                         \
            const int top = oy * w.stride_y - w.pad_top;                                                                    \
            const int first_y = top < 0 ? 0 : top;                                                                          \
            const int past_y = top + w.kernel_height > w.in_height ? w.in_height : top + w.kernel_height;                   \
            for (int ox = 0; ox < w.out_width; ox++) {                                                                      \
                const int left = ox * w.stride_x - w.pad_left;                                                              \
                const int first_x = left < 0 ? 0 : left;                                                                    \
                const int past_x = left + w.kernel_width > w.in_width ? w.in_width : left + w.kernel_width;                 \
                for (int c = 0; c < w.in_channels; c++) {                                                                   \
                    int32_t most = INT32_MIN;                                                                               \
                    for (int iy = first_y; iy < past_y; iy++) {                                                             \
                        const type *row = x + marram_row(iy, w.in_rows, w.in_height, w.in_width * w.in_channels) + c;       \
                        for (int ix = first_x; ix < past_x; ix++) {                                                         \
                            const int32_t value = row[ix * w.in_channels];                                                  \
                            most = value > most ? value : most;                                                             \
                        }                                                                                                   \
                    }                                                                                                       \
                    *out++ = (type)marram_clamp(most, low, high);                                                           \
                }                                                                                                           \
            }                                                                                                               \
        }                                                                                                                   \
    }
/* NOLINTEND(bugprone-macro-parentheses) */

MARRAM_PORTABLE_MAX_POOL2D(marram_portable_max_pool2d_8, int8_t)
MARRAM_PORTABLE_MAX_POOL2D(marram_portable_max_pool2d_16, int16_t)
#endif
