#ifndef MARRAM_MVE_TABLE_H
#define MARRAM_MVE_TABLE_H
#include "common/rows.h"
#include "mve/output.h"

/* y[i] = table[x[i]] of rows [row_begin, row_end), 16 at a time by a gather. The table has the outputs for 0..127, -128..-1.
 * A gather of bytes takes a cycle or two for each on silicon, a load of one a cycle for the index and one or two for the
 * value, and a store. */
MARRAM_MVE_SHARED void marram_mve_table(const marram_rows *rows, const int8_t *x, int8_t *y, int row_begin, int row_end,
                                        const int8_t *table)
{
    const marram_rows r = *rows;
    for (int row = row_begin, many; row < row_end; row += many) {
        many = marram_stretch(r, row, row_end);
        const int8_t *from = x + marram_row(row, r.a_rows, r.height, r.width);
        int8_t *to = y + marram_row(row, r.out_rows, r.height, r.width);
#if MARRAM_MVE
        __asm volatile("wlstp.8 lr, %[size], 2f\n\t"
                       "1:\n\t"
                       "vldrb.8 q0, [%[from]], #16\n\t"
                       "vldrb.u8 q1, [%[table], q0]\n\t"
                       "vstrb.8 q1, [%[to]], #16\n\t"
                       "letp lr, 1b\n\t"
                       "2:\n\t"
                       : [from] "+&r"(from), [to] "+&r"(to)
                       : [size] "r"(many * r.width), [table] "r"(table)
                       : "lr", "q0", "q1", "memory");
#else
        for (int i = 0; i < many * r.width; i++) {
            to[i] = table[(uint8_t)from[i]];
        }
#endif
    }
}
#endif
