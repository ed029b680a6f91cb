#ifndef MARRAM_DSP_TABLE_H
#define MARRAM_DSP_TABLE_H
#include "common/rows.h"
#include "dsp/intrinsics.h"

/* y[i] = table[x[i]] of rows [row_begin, row_end), four read before they are written. The table has the outputs for 0..127,
 * -128..-1. */
MARRAM_INLINE void marram_dsp_table(const marram_rows r, const int8_t *x, int8_t *y, int row_begin, int row_end,
                                    const int8_t *table)
{
    for (int row = row_begin, rows; row < row_end; row += rows) {
        rows = marram_stretch(r, row, row_end);
        const int8_t *from = x + marram_row(row, r.a_rows, r.height, r.width);
        int8_t *to = y + marram_row(row, r.out_rows, r.height, r.width);
        const int count = rows * r.width;
        for (const int8_t *end = to + (count & ~3); to != end; to += 4) {
            const uint32_t four = marram_load32(from);
            from += 4;
            to[0] = table[four & 0xffu];
            to[1] = table[(four >> 8) & 0xffu];
            to[2] = table[(four >> 16) & 0xffu];
            to[3] = table[four >> 24];
        }
        for (int i = 0; i < (count & 3); i++) {
            to[i] = table[(uint8_t)from[i]];
        }
    }
}
#endif
