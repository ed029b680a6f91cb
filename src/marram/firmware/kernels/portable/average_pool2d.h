#ifndef MARRAM_PORTABLE_AVERAGE_POOL2D_H
#define MARRAM_PORTABLE_AVERAGE_POOL2D_H
#include "common/requantise.h"
#include "common/window.h"

/* Average over the places of the window that lie in the image, halves away from zero, of rows [row_begin, row_end). */
/* A type cannot stand in parentheses: NOLINTBEGIN(bugprone-macro-parentheses) */
#define MARRAM_PORTABLE_AVERAGE_POOL2D(name, type)                                                                          \
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
                const int count = (past_y - first_y) * (past_x - first_x);                                                  \
                for (int c = 0; c < w.in_channels; c++) {                                                                   \
                    int32_t sum = 0;                                                                                        \
                    for (int iy = first_y; iy < past_y; iy++) {                                                             \
                        const type *row = x + marram_row(iy, w.in_rows, w.in_height, w.in_width * w.in_channels) + c;       \
                        for (int ix = first_x; ix < past_x; ix++) {                                                         \
                            sum += row[ix * w.in_channels];                                                                 \
                        }                                                                                                   \
                    }                                                                                                       \
                    const int32_t mean = sum < 0 ? (sum - count / 2) / count : (sum + count / 2) / count;                   \
                    *out++ = (type)marram_clamp(mean, low, high);                                                           \
                }                                                                                                           \
            }                                                                                                               \
        }                                                                                                                   \
    }
/* NOLINTEND(bugprone-macro-parentheses) */

MARRAM_PORTABLE_AVERAGE_POOL2D(marram_portable_average_pool2d_8, int8_t)
MARRAM_PORTABLE_AVERAGE_POOL2D(marram_portable_average_pool2d_16, int16_t)
#endif
