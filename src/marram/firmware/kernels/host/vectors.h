#ifndef MARRAM_HOST_VECTORS_H
#define MARRAM_HOST_VECTORS_H
#include "host/vectors_avx512.h"
#include "host/vectors_avx2.h"
#include "host/vectors_neon.h"
#include "host/vectors_plain.h"

/* The vectors of the machine that this file is compiled for. All paths read the same packed constants and give the same bytes.
 *
 * marram_v32   MARRAM_LANES sums of 32 bits
 * marram_sums  MARRAM_LANES sums under way, maybe in parts
 * marram_quad  four bytes of input, ready to be multiplied with four weights of each of MARRAM_LANES channels
 * marram_slice 4 * MARRAM_LANES bytes
 *
 * Inputs are prepared: each byte is XORed with MARRAM_FLIP, which makes it unsigned, plus 128, where the machine multiplies
 * unsigned bytes with signed ones. Folded biases come for both. Sums wrap at 32 bits on the way; the ends are proven to fit. */

#define MARRAM_SLICE (4 * MARRAM_LANES)

#if !defined(MARRAM_PLAIN)
/* What `form` of scaling a layer's outputs take: MARRAM_SCALE_INTEGER, or the number of exceptions in a channel, plus
 * MARRAM_SCALE_TWO_SIDED where the zero point is not in the addends. */
MARRAM_INLINE marram_v32 marram_scale(marram_v32 sums, const int32_t *record, int form)
{
#if defined(MARRAM_X86_512) || defined(MARRAM_X86_256)
    if (form != MARRAM_SCALE_INTEGER) {
        return marram_scale_float(sums, record, form >= MARRAM_SCALE_TWO_SIDED, form % MARRAM_SCALE_TWO_SIDED);
    }
#endif
    (void)form;
    return marram_scale_integer(sums, record);
}

/* The zero point that is left to add after marram_scale. */
MARRAM_INLINE int marram_zero_left(int zero, int form)
{
#if defined(MARRAM_X86_512) || defined(MARRAM_X86_256)
    return form >= 0 && form < MARRAM_SCALE_TWO_SIDED ? 0 : zero;
#else
    (void)form;
    return zero;
#endif
}
#endif

/* Copies bytes, prepared. */
MARRAM_INLINE void marram_prepare(uint8_t *restrict to, const int8_t *restrict from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        to[i] = (uint8_t)((uint8_t)from[i] ^ MARRAM_FLIP);
    }
}

/* The record of vector n of the channels in a row, of records of `rows` rows. */
MARRAM_INLINE const int32_t *marram_record(const int32_t *records, int rows, int n)
{
    return records + n * MARRAM_LANES / 16 * rows * 16 + n * MARRAM_LANES % 16;
}
#endif
