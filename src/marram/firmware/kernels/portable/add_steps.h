#ifndef MARRAM_PORTABLE_ADD_STEPS_H
#define MARRAM_PORTABLE_ADD_STEPS_H
#include "common/requantise.h"

/* a + sign * b as in add.h, where an operand may stand still (step 0). int16 has room for 15 more bits.
 * y[] and not *y: a macro's argument with a star behind it reads as a product that wants parentheses. */
#define MARRAM_PORTABLE_ADD_STEPS(name, type, bits)                                                                         \
    MARRAM_INLINE void name(const type *a, int step_a, const type *b, int step_b, type y[], int size, int sign, int zero_a, \
                            int32_t multiplier_a, int shift_a, int zero_b, int32_t multiplier_b, int shift_b, int zero_out, \
                            int32_t multiplier_out, int shift_out, int low, int high)                                       \
    {                                                                                                                       \
        for (int i = 0; i < size; i++) {                                                                                    \
            const int32_t first = marram_multiply((a[i * step_a] - zero_a) * (1 << (bits)), multiplier_a, shift_a);         \
            const int32_t second = marram_multiply((b[i * step_b] - zero_b) * (1 << (bits)), multiplier_b, shift_b);        \
            const int64_t total = marram_multiply(first + sign * second, multiplier_out, shift_out);                        \
            const int64_t value = total + zero_out;                                                                         \
            y[i] = (type)(value < low ? low : value > high ? high : value);                                                 \
        }                                                                                                                   \
    }

MARRAM_PORTABLE_ADD_STEPS(marram_portable_add_steps_8, int8_t, 20)
MARRAM_PORTABLE_ADD_STEPS(marram_portable_add_steps_16, int16_t, 15)
#endif
