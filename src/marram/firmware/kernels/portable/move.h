#ifndef MARRAM_PORTABLE_MOVE_H
#define MARRAM_PORTABLE_MOVE_H
#include "common/compiler.h"

/* `count` runs of `bytes` bytes, x_step bytes apart in the source and y_step in the target. */
MARRAM_INLINE void marram_portable_move(const void *x, int x_step, void *y, int y_step, int count, int bytes)
{
    const uint8_t *from = (const uint8_t *)x;
    uint8_t *to = (uint8_t *)y;
    for (int i = 0; i < count; i++) {
        memcpy(to + (ptrdiff_t)i * y_step, from + (ptrdiff_t)i * x_step, (size_t)bytes);
    }
}
#endif
