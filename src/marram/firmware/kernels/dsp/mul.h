#ifndef MARRAM_DSP_MUL_H
#define MARRAM_DSP_MUL_H
#include "common/rows.h"
#include "dsp/add.h"

/* Of the two halves of words: their sums; the product of the low ones and that of the high ones. */
#if MARRAM_DSP
MARRAM_DSP_BINARY(marram_sums, uint32_t, uint32_t, uint32_t, "sadd16 %0, %1, %2")
MARRAM_DSP_BINARY(marram_low_product, int32_t, uint32_t, uint32_t, "smulbb %0, %1, %2")
MARRAM_DSP_BINARY(marram_top_product, int32_t, uint32_t, uint32_t, "smultt %0, %1, %2")
#else
MARRAM_INLINE uint32_t marram_sums(uint32_t a, uint32_t b)
{
    return marram_pair(marram_low(a) + marram_low(b), marram_high(a) + marram_high(b));
}

MARRAM_INLINE int32_t marram_low_product(uint32_t a, uint32_t b)
{
    return marram_low(a) * marram_low(b);
}

MARRAM_INLINE int32_t marram_top_product(uint32_t a, uint32_t b)
{
    return marram_high(a) * marram_high(b);
}
#endif

/* From twice a product: the rounded high product, then, halves away from zero, the shift by `shift`, 1 or more. `addend` is
 * the output's zero point and a half in units of that shift. A negative product that the first rounding makes 0 stays 0. */
MARRAM_INLINE int8_t marram_dsp_mul_end(int32_t twice, int32_t multiplier, int32_t addend, int shift, int low, int high)
{
    return marram_dsp_sum_end(marram_smmlar(twice, multiplier, addend) + (twice >> 31), shift, low, high);
}

/* The product of (a + add_a) and (b + add_b), requantised, of `count` elements: four are read before they are written. */
MARRAM_INLINE void marram_dsp_mul_row(const int8_t *a, const int8_t *b, int8_t *y, int count, int add_a, int add_b,
                                      int32_t multiplier, int32_t addend, int shift, int low, int high)
{
    const uint32_t pair_a = ((uint32_t)add_a & 0xffffu) * 0x00010001u, pair_b = ((uint32_t)add_b & 0xffffu) * 0x00010001u;
    for (const int8_t *end = y + (count & ~3); y != end; y += 4) {
        const uint32_t a4 = marram_load32(a);
        const uint32_t b4 = marram_load32(b);
        a += 4;
        b += 4;
        const uint32_t a02 = marram_add_even(pair_a, a4), a13 = marram_add_odd(pair_a, a4);
        const uint32_t b02 = marram_add_even(pair_b, b4), b13 = marram_add_odd(pair_b, b4);
        const uint32_t twice02 = marram_sums(b02, b02), twice13 = marram_sums(b13, b13);
        y[0] = marram_dsp_mul_end(marram_low_product(a02, twice02), multiplier, addend, shift, low, high);
        y[1] = marram_dsp_mul_end(marram_low_product(a13, twice13), multiplier, addend, shift, low, high);
        y[2] = marram_dsp_mul_end(marram_top_product(a02, twice02), multiplier, addend, shift, low, high);
        y[3] = marram_dsp_mul_end(marram_top_product(a13, twice13), multiplier, addend, shift, low, high);
    }
    for (int i = 0; i < (count & 3); i++) {
        y[i] = marram_dsp_mul_end(2 * (a[i] + add_a) * (b[i] + add_b), multiplier, addend, shift, low, high);
    }
}

/* The same of rows [row_begin, row_end). */
MARRAM_INLINE void marram_dsp_mul(const marram_rows r, const int8_t *a, const int8_t *b, int8_t *y, int row_begin, int row_end,
                                  int add_a, int add_b, int32_t multiplier, int32_t addend, int shift, int low, int high)
{
    for (int row = row_begin, rows; row < row_end; row += rows) {
        rows = marram_stretch(r, row, row_end);
        marram_dsp_mul_row(a + marram_row(row, r.a_rows, r.height, r.width), b + marram_row(row, r.b_rows, r.height, r.width),
                           y + marram_row(row, r.out_rows, r.height, r.width), rows * r.width, add_a, add_b, multiplier, addend,
                           shift, low, high);
    }
}
#endif
