#ifndef MARRAM_ARMV6M_REQUANTISE_H
#define MARRAM_ARMV6M_REQUANTISE_H
#include "common/compiler.h"

#if defined(__thumb__) && !defined(__ARM_BIG_ENDIAN)
#define MARRAM_ARMV6M 1
#endif

/* What the assembly of this family does to an accumulator a, in C. record: the low and the high half of the multiplier, half,
 * right with half = 2^(right - 1) + zero point * 2^right and right >= 1: the high product with halves up, then the shift
 * with halves away from zero, then the zero point. The generator has proven that nothing overflows where |a| < 2^29. */
MARRAM_INLINE int8_t marram_armv6m_requantise(int32_t a, const int32_t *record)
{
    const int64_t product = (int64_t)a * (record[1] * 65536 + record[0]) + (INT64_C(1) << 30);
    const int32_t value = ((int32_t)(product >> 31) + record[2] + (a >> 31)) >> record[3];
    return (int8_t)(value < -128 ? -128 : value > 127 ? 127 : value);
}

/* The core has no product of 64 bits. With a = 65536 ah + al, al signed, and the multiplier 65536 mh + ml:
 *   high product = 2 ah mh + ((al mh + ah ml + (al ml >> 16) + 2^14) >> 15)
 * exactly. In: r7 the accumulator, r0 to r3 the record. Out: r6. Changes r4, r5, r7. */
#define MARRAM_ARMV6M_REQUANTISE                                                                                       \
    "    sxth r4, r7\n"                                                                                                \
    "    subs r5, r7, r4\n"                                                                                            \
    "    asrs r5, r5, #16\n"                                                                                           \
    "    asrs r7, r7, #31\n"                                                                                           \
    "    adds r7, r7, r2\n"                                                                                            \
    "    movs r6, r4\n"                                                                                                \
    "    muls r6, r1, r6\n"                                                                                            \
    "    muls r4, r0, r4\n"                                                                                            \
    "    asrs r4, r4, #16\n"                                                                                           \
    "    adds r6, r6, r4\n"                                                                                            \
    "    movs r4, r5\n"                                                                                                \
    "    muls r4, r0, r4\n"                                                                                            \
    "    adds r6, r6, r4\n"                                                                                            \
    "    asrs r6, r6, #14\n"                                                                                           \
    "    adds r6, r6, #1\n"                                                                                            \
    "    asrs r6, r6, #1\n"                                                                                            \
    "    muls r5, r1, r5\n"                                                                                            \
    "    adds r7, r7, r5\n"                                                                                            \
    "    adds r7, r7, r5\n"                                                                                            \
    "    adds r6, r6, r7\n"                                                                                            \
    "    asrs r6, r3\n"                                                                                                \
    "    sxtb r7, r6\n"                                                                                                \
    "    cmp r7, r6\n"                                                                                                 \
    "    beq 7f\n"                                                                                                     \
    "    asrs r6, r6, #31\n"                                                                                           \
    "    movs r7, #127\n"                                                                                              \
    "    eors r6, r7\n"                                                                                                \
    "7:\n"
#endif
