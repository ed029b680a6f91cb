#ifndef MARRAM_PORTABLE_SOFTMAX_H
#define MARRAM_PORTABLE_SOFTMAX_H
#include "common/compiler.h"

/* Fixed point as in gemmlowp: Qm has m integer bits, 31 - m fractional ones and a sign. */
MARRAM_INLINE int32_t marram_high_mul(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + (INT64_C(1) << 30)) >> 31);
}

MARRAM_INLINE int32_t marram_saturate(int64_t value)
{
    return value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : (int32_t)value;
}

/* 1 / (1 + x) in Q0 of x in (0, 1) in Q0: three steps of Newton and Raphson on 2 / (1 + x) in Q2. */
MARRAM_INLINE int32_t marram_reciprocal_of_one_plus(int32_t value)
{
    const int32_t half = (int32_t)(((int64_t)value + INT32_MAX + 1) >> 1);
    int32_t x = 1515870810 + marram_high_mul(half, -1010580540);
    for (int step = 0; step < 3; step++) {
        const int32_t error = (1 << 29) - marram_high_mul(half, x);
        x += marram_saturate((int64_t)marram_high_mul(x, error) * 4);
    }
    return marram_saturate((int64_t)x * 2);
}

/* Softmax of `rows` vectors of `depth`. table[d] is exp(-d * scale * beta) in Q0; it is 0 where d is out of range. */
MARRAM_INLINE void marram_portable_softmax(const int8_t *x, int8_t *y, int rows, int depth, const int32_t *table)
{
    for (int row = 0; row < rows; row++, x += depth, y += depth) {
        int greatest = x[0];
        for (int i = 1; i < depth; i++) {
            greatest = x[i] > greatest ? x[i] : greatest;
        }
        uint32_t sum = 0; /* in Q12: at most depth * 2^19 */
        for (int i = 0; i < depth; i++) {
            sum += ((uint32_t)table[greatest - x[i]] + (1u << 11)) >> 12;
        }
        int headroom = 0;
        while ((sum << headroom) < (1u << 31)) {
            headroom++;
        }
        const int32_t inverse = marram_reciprocal_of_one_plus((int32_t)((sum << headroom) - (1u << 31)));
        const int shift = 12 - headroom + 31 - 8;
        for (int i = 0; i < depth; i++) {
            const int64_t product = marram_high_mul(inverse, table[greatest - x[i]]);
            const int32_t value = (int32_t)((product + (INT64_C(1) << (shift - 1))) >> shift) - 128;
            y[i] = (int8_t)(value > 127 ? 127 : value);
        }
    }
}
#endif
