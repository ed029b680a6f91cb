#ifndef MARRAM_PORTABLE_FILL_H
#define MARRAM_PORTABLE_FILL_H
#include "common/compiler.h"

MARRAM_INLINE void marram_portable_fill_8(int8_t *y, int count, int value)
{
    memset(y, value, (size_t)count);
}

MARRAM_INLINE void marram_portable_fill_16(int16_t *y, int count, int value)
{
    for (int i = 0; i < count; i++) {
        y[i] = (int16_t)value;
    }
}
#endif
