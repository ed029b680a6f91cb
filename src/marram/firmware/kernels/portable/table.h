#ifndef MARRAM_PORTABLE_TABLE_H
#define MARRAM_PORTABLE_TABLE_H
#include "common/compiler.h"

/* y[i] = table[x[i]]: any operator of one int8 input, elementwise. The table has the outputs for 0..127, -128..-1. */
MARRAM_INLINE void marram_portable_table(const int8_t *x, int8_t *y, int size, const int8_t *table)
{
    for (int i = 0; i < size; i++) {
        y[i] = table[(uint8_t)x[i]];
    }
}
#endif
