#ifndef MARRAM_SCALAR_DENSE_H
#define MARRAM_SCALAR_DENSE_H
#include "portable/blocks.h"

/* A fully connected layer, a group of channels at a time. The order of weights and channels is the family's own. */
typedef struct {
    int depth, groups;
    const int8_t *weights;
    const int32_t *channels;
} marram_dense_part;

/* The outputs of all groups of a part for one row of the input. */
typedef void (*marram_dense_groups)(const int8_t *x, int8_t *y, const marram_dense_part *part);

/* `full` groups of `size` channels, at most 8, and where outputs are left over another group, `rest`. */
MARRAM_INLINE void marram_dense_run(const marram_dense_part *full, const marram_dense_part *rest, const int8_t *x, int8_t *y,
                                    int rows, int outputs, int low, int high, int size, marram_dense_groups groups)
{
    const int left = outputs & (size - 1);
    for (; rows > 0; rows--, x += full->depth, y += outputs) {
        if (full->groups > 0) {
            groups(x, y, full);
        }
        if (left > 0) {
            int8_t last[8];
            groups(x, last, rest);
            marram_deliver(last, y + (outputs - left), left, 0, 0, 0);
        }
        if (low > -128 || high < 127) {
            marram_deliver(y, y, outputs, 1, low, high);
        }
    }
}
#endif
