#ifndef MARRAM_MVE_ADD_H
#define MARRAM_MVE_ADD_H
#include "common/rows.h"
#include "mve/output.h"

/* Sum or difference of two tensors of one shape on a common scale of 20 more bits (AddElementwise of TFLM), 4 elements at a
 * time. The input of the larger scale has the factor 1/2 exactly: its 19 bits, of either sign, need no rounding. It is `half`,
 * the other input is `scaled`. bases: what the zero points amount to. */
typedef struct {
    marram_rows rows;
    int32_t scaled_base, multiplier, shift, half_base, multiplier_out, shift_out, zero_out, half_factor, low, high;
} marram_mve_sum;

/* Beside MARRAM_MVE_SIGNED and MARRAM_MVE_CLAMPED: the scaled input has a shift; it is subtracted. */
#define MARRAM_MVE_SHIFTED 4
#define MARRAM_MVE_SUBTRACTED 8

#if MARRAM_MVE
/* The offsets stand in the assembly: the first 11 words are loaded at once. */
typedef struct {
    const int8_t *scaled, *half;
    int8_t *y;
    int32_t scaled_base, multiplier, shift, half_base, multiplier_out, shift_out, zero_out, size;
    int32_t half_factor, low, high;
} marram_mve_sum_block;
_Static_assert(sizeof(marram_mve_sum_block) == 56, "offsets in the assembly");

#define MARRAM_MVE_SUM_AWAY "vshr.s32 q2, q0, #31\n\tvadd.i32 q0, q0, q2\n\t"
#define MARRAM_MVE_SUM_NARROW "vqmovnb.s32 q0, q0\n\tvqmovnb.s16 q0, q0\n\t"
#define MARRAM_MVE_SUM_CLAMP "vmax.s32 q0, q0, q5\n\tvmin.s32 q0, q0, q6\n\t"

#define MARRAM_MVE_SUM(AWAY_IN, JOIN, AWAY_OUT, LIMIT)                                                   \
    __asm volatile("ldrd r0, r1, [r11, #44]\n\t"                                                         \
                   "vdup.32 q4, r0\n\t"                                                                  \
                   "vdup.32 q5, r1\n\t"                                                                  \
                   "ldr r0, [r11, #52]\n\t"                                                              \
                   "vdup.32 q6, r0\n\t"                                                                  \
                   "mov r0, #1048576\n\t"                                                                \
                   "vdup.32 q3, r0\n\t"                                                                  \
                   "ldm r11, {r0, r1, r2, r3, r4, r5, r6, r8, r9, r10, r12}\n\t"                         \
                   "wlstp.32 lr, r12, 2f\n\t"                                                            \
                   "1:\n\t"                                                                              \
                   "vldrb.s32 q0, [r0], #4\n\t"                                                          \
                   "vmlas.u32 q0, q3, r3\n\t"                                                            \
                   "vldrb.s32 q1, [r1], #4\n\t"                                                          \
                   "vqrdmulh.s32 q0, q0, r4\n\t"                                                         \
                   "vmlas.u32 q1, q4, r6\n\t" AWAY_IN JOIN                                               \
                   "vqrdmulh.s32 q0, q0, r8\n\t" AWAY_OUT                                                \
                   "vrshl.s32 q0, r9\n\t"                                                                \
                   "vadd.i32 q0, q0, r10\n\t" LIMIT                                                      \
                   "vstrb.32 q0, [r2], #4\n\t"                                                           \
                   "letp lr, 1b\n\t"                                                                     \
                   "2:\n\t"                                                                              \
                   :                                                                                     \
                   : "r"(at)                                                                             \
                   : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r12", "lr", "cc",     \
                     "memory", "q0", "q1", "q2", "q3", "q4", "q5", "q6")

/* In reverse where the scaled input is taken from the half one. */
#define MARRAM_MVE_SUM_JOINED(AWAY_OUT, LIMIT)                                                                         \
    if ((mode & (MARRAM_MVE_SHIFTED | MARRAM_MVE_SUBTRACTED)) == 0) {                                                  \
        MARRAM_MVE_SUM("", "vadd.i32 q0, q0, q1\n\t", AWAY_OUT, LIMIT);                                                \
    } else if ((mode & MARRAM_MVE_SHIFTED) == 0) {                                                                     \
        MARRAM_MVE_SUM("", "vsub.i32 q0, q1, q0\n\t", AWAY_OUT, LIMIT);                                                \
    } else if ((mode & MARRAM_MVE_SUBTRACTED) == 0) {                                                                  \
        MARRAM_MVE_SUM(MARRAM_MVE_SUM_AWAY "vrshl.s32 q0, r5\n\t", "vadd.i32 q0, q0, q1\n\t", AWAY_OUT, LIMIT);        \
    } else {                                                                                                           \
        MARRAM_MVE_SUM(MARRAM_MVE_SUM_AWAY "vrshl.s32 q0, r5\n\t", "vsub.i32 q0, q1, q0\n\t", AWAY_OUT, LIMIT);        \
    }
#endif

MARRAM_INLINE void marram_mve_add_stretch(const marram_mve_sum *sum, const int8_t *scaled, const int8_t *half, int8_t *y,
                                          int size, int mode)
{
#if MARRAM_MVE
    marram_mve_sum_block block = {scaled,         half,           y,
                                  sum->scaled_base, sum->multiplier, sum->shift,
                                  sum->half_base, sum->multiplier_out, sum->shift_out,
                                  sum->zero_out,  size,           sum->half_factor,
                                  sum->low,       sum->high};
    register marram_mve_sum_block *at __asm("r11") = &block;
    if ((mode & 3) == 0) {
        MARRAM_MVE_SUM_JOINED("", MARRAM_MVE_SUM_NARROW)
    } else if ((mode & 3) == MARRAM_MVE_SIGNED) {
        MARRAM_MVE_SUM_JOINED(MARRAM_MVE_SUM_AWAY, MARRAM_MVE_SUM_NARROW)
    } else if ((mode & 3) == MARRAM_MVE_CLAMPED) {
        MARRAM_MVE_SUM_JOINED("", MARRAM_MVE_SUM_CLAMP)
    } else {
        MARRAM_MVE_SUM_JOINED(MARRAM_MVE_SUM_AWAY, MARRAM_MVE_SUM_CLAMP)
    }
#else
    for (int i = 0; i < size; i++) {
        const int32_t first = marram_multiply(scaled[i] * (1 << 20) + sum->scaled_base, sum->multiplier, sum->shift);
        const int32_t second = half[i] * sum->half_factor + sum->half_base;
        const int32_t total = (mode & MARRAM_MVE_SUBTRACTED) != 0 ? second - first : second + first;
        const int32_t value = marram_multiply(total, sum->multiplier_out, sum->shift_out) + sum->zero_out;
        y[i] = (int8_t)marram_clamp(value, sum->low, sum->high);
    }
#endif
}

/* Rows [row_begin, row_end). The scaled input's rows held are a_rows, the half one's b_rows. */
MARRAM_INLINE void marram_mve_add(const marram_mve_sum *sum, const int8_t *scaled, const int8_t *half, int8_t *y,
                                  int row_begin, int row_end, int mode)
{
    const marram_rows r = sum->rows;
    for (int row = row_begin, rows; row < row_end; row += rows) {
        rows = marram_stretch(r, row, row_end);
        marram_mve_add_stretch(sum, scaled + marram_row(row, r.a_rows, r.height, r.width),
                               half + marram_row(row, r.b_rows, r.height, r.width),
                               y + marram_row(row, r.out_rows, r.height, r.width), rows * r.width, mode);
    }
}

#define MARRAM_MVE_ADD_OF(MODE)                                                                                        \
    MARRAM_MVE_SHARED void marram_mve_add_##MODE(const marram_mve_sum *sum, const int8_t *scaled, const int8_t *half,  \
                                                 int8_t *y, int row_begin, int row_end)                                \
    {                                                                                                                  \
        marram_mve_add(sum, scaled, half, y, row_begin, row_end, MODE);                                                \
    }
MARRAM_MVE_ADD_OF(0)
MARRAM_MVE_ADD_OF(1)
MARRAM_MVE_ADD_OF(2)
MARRAM_MVE_ADD_OF(3)
MARRAM_MVE_ADD_OF(4)
MARRAM_MVE_ADD_OF(5)
MARRAM_MVE_ADD_OF(6)
MARRAM_MVE_ADD_OF(7)
MARRAM_MVE_ADD_OF(8)
MARRAM_MVE_ADD_OF(9)
MARRAM_MVE_ADD_OF(10)
MARRAM_MVE_ADD_OF(11)
MARRAM_MVE_ADD_OF(12)
MARRAM_MVE_ADD_OF(13)
MARRAM_MVE_ADD_OF(14)
MARRAM_MVE_ADD_OF(15)
#endif
