#ifndef MARRAM_ARMV7M_REQUANTISE_H
#define MARRAM_ARMV7M_REQUANTISE_H
#include "common/compiler.h"

#if defined(__thumb2__) && defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M' && !defined(__ARM_BIG_ENDIAN)
#define MARRAM_ARMV7M 1
#endif

/* What the assembly of this family does to an accumulator a, in C. record: half, multiplier, right with
 * half = 2^(right - 1) + zero point * 2^right and right >= 1. The generator has proven that 2 * a and the sums fit. In one go:
 *   (2 a m + 2^31 + 2^32 (half - (a < 0))) >> (32 + right)
 * which is the high product with halves up, then the shift with halves away from zero, then the zero point. */
MARRAM_INLINE int8_t marram_armv7m_requantise(int32_t a, const int32_t *record)
{
    const int64_t product = (int64_t)(2 * a) * record[1] + (INT64_C(1) << 31);
    const int32_t value = ((int32_t)(product >> 32) + record[0] + (a >> 31)) >> record[2];
    return (int8_t)(value < -128 ? -128 : value > 127 ? 127 : value);
}
#endif
