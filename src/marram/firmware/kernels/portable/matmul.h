#ifndef MARRAM_PORTABLE_MATMUL_H
#define MARRAM_PORTABLE_MATMUL_H
#include "portable/rescale.h"

/* One product of matrices, (rows, depth) by (depth, columns). An element of a is a_row further for the next row and a_step for
 * the next in depth, one of b b_step for the next in depth and b_column for the next column: so either may be transposed. */
MARRAM_INLINE void marram_portable_matmul(const int8_t *a, int a_row, int a_step, const int8_t *b, int b_step, int b_column,
                                          int8_t *y, int rows, int depth, int columns, int zero_a, int zero_b,
                                          int32_t multiplier, int shift, int zero_out, int low, int high)
{
    for (int row = 0; row < rows; row++) {
        for (int column = 0; column < columns; column++) {
            const int8_t *left = a + row * a_row;
            const int8_t *right = b + column * b_column;
            int32_t sum = 0;
            for (int i = 0; i < depth; i++) {
                sum += (left[i * a_step] - zero_a) * (right[i * b_step] - zero_b);
            }
            *y++ = marram_portable_rescale(sum, multiplier, shift, zero_out, low, high);
        }
    }
}
#endif
