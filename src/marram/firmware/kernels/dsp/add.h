#ifndef MARRAM_DSP_ADD_H
#define MARRAM_DSP_ADD_H
#include "common/rows.h"
#include "dsp/intrinsics.h"

MARRAM_INLINE int8_t marram_dsp_sum_end(int32_t sum, int shift, int low, int high)
{
    const int32_t value = marram_narrow(sum, shift);
    const int32_t floored = low > -128 && value < low ? low : value;
    return (int8_t)(high < 127 && floored > high ? high : floored);
}

/* clamp(((first * a >> 8) + (second * b >> 8) + offset) >> shift) of `count` elements: four are read before they are written.
 * Bytes are taken two at a time as the high halves of int16, 256 times what they are, and products lose 16 bits. */
MARRAM_INLINE void marram_dsp_add_row(const int8_t *a, const int8_t *b, int8_t *y, int count, int32_t first, int32_t second,
                                      int32_t offset, int shift, int low, int high)
{
    const uint32_t mask = 0xff00ff00u;
    for (const int8_t *end = y + (count & ~3); y != end; y += 4) {
        const uint32_t a4 = marram_load32(a);
        const uint32_t b4 = marram_load32(b);
        a += 4;
        b += 4;
        const uint32_t a13 = a4 & mask, a02 = (a4 << 8) & mask;
        const uint32_t b13 = b4 & mask, b02 = (b4 << 8) & mask;
        const int32_t s0 = marram_smlawb(second, b02, marram_smlawb(first, a02, offset));
        const int32_t s1 = marram_smlawb(second, b13, marram_smlawb(first, a13, offset));
        const int32_t s2 = marram_smlawt(second, b02, marram_smlawt(first, a02, offset));
        const int32_t s3 = marram_smlawt(second, b13, marram_smlawt(first, a13, offset));
        y[0] = marram_dsp_sum_end(s0, shift, low, high);
        y[1] = marram_dsp_sum_end(s1, shift, low, high);
        y[2] = marram_dsp_sum_end(s2, shift, low, high);
        y[3] = marram_dsp_sum_end(s3, shift, low, high);
    }
    for (int i = 0; i < (count & 3); i++) {
        const uint32_t a0 = (uint32_t)(int32_t)a[i] << 8, b0 = (uint32_t)(int32_t)b[i] << 8;
        y[i] = marram_dsp_sum_end(marram_smlawb(second, b0, marram_smlawb(first, a0, offset)), shift, low, high);
    }
}

/* The same of rows [row_begin, row_end). */
MARRAM_INLINE void marram_dsp_add(const marram_rows r, const int8_t *a, const int8_t *b, int8_t *y, int row_begin, int row_end,
                                  int32_t first, int32_t second, int32_t offset, int shift, int low, int high)
{
    for (int row = row_begin, rows; row < row_end; row += rows) {
        rows = marram_stretch(r, row, row_end);
        marram_dsp_add_row(a + marram_row(row, r.a_rows, r.height, r.width), b + marram_row(row, r.b_rows, r.height, r.width),
                           y + marram_row(row, r.out_rows, r.height, r.width), rows * r.width, first, second, offset, shift,
                           low, high);
    }
}
#endif
