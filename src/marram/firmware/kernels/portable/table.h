#ifndef MARRAM_PORTABLE_TABLE_H
#define MARRAM_PORTABLE_TABLE_H
#include "common/rows.h"

/* y[i] = table[x[i]] in rows [row_begin, row_end): any operator of one int8 input, elementwise. The table has the outputs for
 * 0..127, -128..-1. */
MARRAM_INLINE void marram_portable_table(const marram_rows r, const int8_t *x, int8_t *y, int row_begin, int row_end,
                                         const int8_t *table)
{
    for (int row = row_begin, rows; row < row_end; row += rows) {
        rows = marram_stretch(r, row, row_end);
        const int8_t *in = x + marram_row(row, r.a_rows, r.height, r.width);
        int8_t *out = y + marram_row(row, r.out_rows, r.height, r.width);
        for (int i = 0; i < rows * r.width; i++) {
            out[i] = table[(uint8_t)in[i]];
        }
    }
}
#endif
