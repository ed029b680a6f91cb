#ifndef MARRAM_PORTABLE_ADD_H
#define MARRAM_PORTABLE_ADD_H
#include "common/requantise.h"
#include "common/rows.h"

/* a + sign * b of rows [row_begin, row_end) of two tensors of one shape, on a common scale of 20 more bits, requantised
 * (AddElementwise of TFLM). */
MARRAM_INLINE void marram_portable_add(const marram_rows r, const int8_t *a, const int8_t *b, int8_t *y, int row_begin,
                                       int row_end, int sign, int zero_a, int32_t multiplier_a, int shift_a, int zero_b,
                                       int32_t multiplier_b, int shift_b, int zero_out, int32_t multiplier_out,
                                       int shift_out, int low, int high)
{
    for (int row = row_begin, rows; row < row_end; row += rows) {
        rows = marram_stretch(r, row, row_end);
        const int8_t *first_row = a + marram_row(row, r.a_rows, r.height, r.width);
        const int8_t *second_row = b + marram_row(row, r.b_rows, r.height, r.width);
        int8_t *out = y + marram_row(row, r.out_rows, r.height, r.width);
        for (int i = 0; i < rows * r.width; i++) {
            const int32_t first = marram_multiply((first_row[i] - zero_a) * (1 << 20), multiplier_a, shift_a);
            const int32_t second = marram_multiply((second_row[i] - zero_b) * (1 << 20), multiplier_b, shift_b);
            const int32_t value = marram_multiply(first + sign * second, multiplier_out, shift_out) + zero_out;
            out[i] = (int8_t)marram_clamp(value, low, high);
        }
    }
}
#endif
