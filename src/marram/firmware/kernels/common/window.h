#ifndef MARRAM_WINDOW_H
#define MARRAM_WINDOW_H
#include "common/compiler.h"

/* Sizes of an operator that slides a window over an image, in pixels and channels. A buffer that holds fewer rows than the
 * image is a ring: row y stands at y modulo the rows held. All fields are constants at each call, so the compiler folds
 * what follows from them. */
typedef struct {
    int in_height, in_width, in_channels, in_rows;
    int out_height, out_width, out_channels, out_rows;
    int kernel_height, kernel_width, stride_y, stride_x, dilation_y, dilation_x, pad_top, pad_left;
} marram_window;

/* Offset of image row y in a buffer that holds `rows` of `height` rows of `row_bytes` each. */
MARRAM_INLINE size_t marram_row(int y, int rows, int height, int row_bytes)
{
    return (size_t)(rows == height ? y : y % rows) * (size_t)row_bytes;
}
#endif
