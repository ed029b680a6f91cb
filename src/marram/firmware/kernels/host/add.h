#ifndef MARRAM_HOST_ADD_H
#define MARRAM_HOST_ADD_H
#include "host/vectors.h"

/* a + sign * b on a common scale, requantised. The floats give the same bytes as the integers: the generator has tried all pairs
 * of inputs. */
typedef struct {
    int sign, zero_a, shift_a, zero_b, shift_b, zero_out, shift_out, low, high;
    int32_t multiplier_a, multiplier_b, multiplier_out;
    float factor_a, factor_b, addend;
} marram_sum;

#if defined(MARRAM_FLOATS)
MARRAM_INLINE marram_slice marram_sum_slice(const marram_sum s, const int8_t *a, const int8_t *b)
{
    marram_v32 values[4];
    MARRAM_UNROLL
    for (int i = 0; i < 4; i++) {
        const marram_v32 first = marram_signed_at(a + i * MARRAM_LANES), second = marram_signed_at(b + i * MARRAM_LANES);
        values[i] = marram_mixed(first, second, s.factor_a, s.factor_b, s.addend);
    }
    return marram_in_a_row(marram_packed(values, 0, s.low, s.high));
}

MARRAM_INLINE void marram_host_add(const marram_sum s, const int8_t *a, const int8_t *b, int8_t *y, int size)
{
    const int rest = size % MARRAM_SLICE, whole = size - rest;
    for (int i = 0; i < whole; i += MARRAM_SLICE) {
        marram_put(y + i, marram_sum_slice(s, a + i, b + i), MARRAM_SLICE);
    }
    if (rest > 0) {
        int8_t last_a[MARRAM_SLICE] = {0}, last_b[MARRAM_SLICE] = {0};
        memcpy(last_a, a + whole, (size_t)rest);
        memcpy(last_b, b + whole, (size_t)rest);
        marram_put(y + whole, marram_sum_slice(s, last_a, last_b), rest);
    }
}
#else
MARRAM_INLINE void marram_host_add(const marram_sum s, const int8_t *a, const int8_t *b, int8_t *y, int size)
{
    for (int i = 0; i < size; i++) {
        const int32_t first = marram_multiply((a[i] - s.zero_a) * (1 << 20), s.multiplier_a, s.shift_a);
        const int32_t second = marram_multiply((b[i] - s.zero_b) * (1 << 20), s.multiplier_b, s.shift_b);
        const int32_t value = marram_multiply(first + s.sign * second, s.multiplier_out, s.shift_out) + s.zero_out;
        y[i] = (int8_t)marram_clamp(value, s.low, s.high);
    }
}
#endif
#endif
