#ifndef MARRAM_ROWS_H
#define MARRAM_ROWS_H
#include "common/window.h"

/* Sizes of an elementwise operator: rows of the image, elements of a row, and the rows that each buffer holds, of which fewer
 * than `height` are a ring. Where no buffer is a ring, a range of rows is one stretch. */
typedef struct {
    int height, width, a_rows, b_rows, out_rows;
} marram_rows;

/* How many rows can be worked on as one stretch, from row y on, at most to `end`. */
MARRAM_INLINE int marram_stretch(const marram_rows r, int y, int end)
{
    const int whole = r.a_rows == r.height && r.b_rows == r.height && r.out_rows == r.height;
    return whole ? end - y : 1;
}
#endif
