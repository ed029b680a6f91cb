#ifndef MARRAM_PORTABLE_MUL_H
#define MARRAM_PORTABLE_MUL_H
#include "portable/rescale.h"

/* The product of two tensors, requantised (MulElementwise of TFLM); an operand may stand still (step 0). */
MARRAM_INLINE void marram_portable_mul(const int8_t *a, int step_a, const int8_t *b, int step_b, int8_t *y, int size,
                                       int zero_a, int zero_b, int zero_out, int32_t multiplier, int shift, int low, int high)
{
    for (int i = 0; i < size; i++) {
        const int32_t product = (a[i * step_a] - zero_a) * (b[i * step_b] - zero_b);
        y[i] = marram_portable_rescale(product, multiplier, shift, zero_out, low, high);
    }
}
#endif
