#ifndef MARRAM_PORTABLE_ADD_STEPS_H
#define MARRAM_PORTABLE_ADD_STEPS_H
#include "common/requantise.h"

/* a + sign * b as in add.h, where an operand may stand still (step 0). */
MARRAM_INLINE void marram_portable_add_steps(const int8_t *a, int step_a, const int8_t *b, int step_b, int8_t *y, int size,
                                             int sign, int zero_a, int32_t multiplier_a, int shift_a, int zero_b,
                                             int32_t multiplier_b, int shift_b, int zero_out, int32_t multiplier_out,
                                             int shift_out, int low, int high)
{
    for (int i = 0; i < size; i++) {
        const int32_t first = marram_multiply((a[i * step_a] - zero_a) * (1 << 20), multiplier_a, shift_a);
        const int32_t second = marram_multiply((b[i * step_b] - zero_b) * (1 << 20), multiplier_b, shift_b);
        const int32_t value = marram_multiply(first + sign * second, multiplier_out, shift_out) + zero_out;
        y[i] = (int8_t)marram_clamp(value, low, high);
    }
}
#endif
