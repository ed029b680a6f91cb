#ifndef MARRAM_HOST_VECTORS_AVX512_H
#define MARRAM_HOST_VECTORS_AVX512_H
#include "host/instructions.h"

#if defined(MARRAM_X86_512)
#include <immintrin.h>
#define MARRAM_LANES 16
#define MARRAM_FLIP 0x80
#define MARRAM_TILE 24
#define MARRAM_TILE_VECTORS 4
typedef __m512i marram_v32;
typedef __m512i marram_sums;
typedef __m512i marram_quad;
typedef __m512i marram_slice;

MARRAM_INLINE marram_sums marram_begin(const int32_t *record)
{
    return _mm512_loadu_si512(record + 16 * MARRAM_BIAS_FLIPPED);
}

MARRAM_INLINE marram_v32 marram_end(marram_sums sums, const int32_t *record)
{
    (void)record;
    return sums;
}

MARRAM_INLINE marram_sums marram_more(void)
{
    return _mm512_setzero_si512();
}

MARRAM_INLINE marram_sums marram_joined(marram_sums a, marram_sums b)
{
    return _mm512_add_epi32(a, b);
}

MARRAM_INLINE marram_quad marram_quad_at(const uint8_t *x)
{
    int32_t four;
    memcpy(&four, x, 4);
    return _mm512_set1_epi32(four);
}

MARRAM_INLINE marram_sums marram_dot(marram_sums sums, marram_quad x, const int8_t *weights)
{
#if defined(__clang__)
    return _mm512_dpbusd_epi32(sums, x, _mm512_loadu_si512(weights));
#else /* GCC 12 copies the sums of the intrinsic back and forth, past the registers and through the stack */
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(x), "v"(_mm512_loadu_si512(weights)));
    return sums;
#endif
}

MARRAM_INLINE marram_sums marram_dot_slice(marram_sums sums, marram_slice x, const int8_t *weights)
{
    return marram_dot(sums, x, weights);
}

MARRAM_INLINE marram_slice marram_slice_at(const uint8_t *x)
{
    return _mm512_loadu_si512(x);
}

/* Four slices -> four slices of quads: byte t of quad j of lane l of the i-th is byte 16 l + 4 i + j of slice t. */
MARRAM_INLINE void marram_interleave(const marram_slice in[4], marram_slice out[4])
{
    const __m512i ab_low = _mm512_unpacklo_epi8(in[0], in[1]), ab_high = _mm512_unpackhi_epi8(in[0], in[1]);
    const __m512i cd_low = _mm512_unpacklo_epi8(in[2], in[3]), cd_high = _mm512_unpackhi_epi8(in[2], in[3]);
    out[0] = _mm512_unpacklo_epi16(ab_low, cd_low);
    out[1] = _mm512_unpackhi_epi16(ab_low, cd_low);
    out[2] = _mm512_unpacklo_epi16(ab_high, cd_high);
    out[3] = _mm512_unpackhi_epi16(ab_high, cd_high);
}

MARRAM_INLINE marram_v32 marram_scale_integer(marram_v32 sums, const int32_t *record)
{
    MARRAM_ALIGNED(64) int32_t lanes[16];
    _mm512_store_si512(lanes, sums);
    for (int i = 0; i < 16; i++) {
        lanes[i] = marram_multiply(lanes[i], record[16 * MARRAM_MULTIPLIER + i], record[16 * MARRAM_SHIFT + i]);
    }
    return _mm512_load_si512(lanes);
}

MARRAM_INLINE marram_v32 marram_scale_float(marram_v32 sums, const int32_t *record, int two_sided, int exceptions)
{
    const __m512 value = _mm512_cvt_roundepi32_ps(sums, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 factor = _mm512_loadu_ps((const void *)(record + 16 * MARRAM_FACTOR));
    __m512i addend = _mm512_loadu_si512(record + 16 * MARRAM_ADDEND);
    if (two_sided) { /* the sign of the sum, the rest of the addend, which is positive */
        addend = _mm512_ternarylogic_epi32(addend, sums, _mm512_set1_epi32(INT32_MIN), 0xf8);
    }
    const __m512 scaled =
        _mm512_fmadd_round_ps(value, factor, _mm512_castsi512_ps(addend), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512i result = _mm512_cvt_roundps_epi32(scaled, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    for (int e = 0; e < exceptions; e++) {
        const int32_t *place = record + 16 * (MARRAM_EXCEPTIONS + 2 * e);
        const __mmask16 met = _mm512_cmpeq_epi32_mask(sums, _mm512_loadu_si512(place));
        result = _mm512_mask_add_epi32(result, met, result, _mm512_loadu_si512(place + 16));
    }
    return result;
}

MARRAM_INLINE marram_v32 marram_signed_at(const int8_t *x)
{
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)x));
}

MARRAM_INLINE marram_v32 marram_added(marram_v32 a, marram_v32 b)
{
    return _mm512_add_epi32(a, b);
}

#define MARRAM_FLOATS 1
/* round(fma(b, factor_b, fma(a, factor_a, addend))) */
MARRAM_INLINE marram_v32 marram_mixed(marram_v32 a, marram_v32 b, float factor_a, float factor_b, float addend)
{
    const __m512 first = _mm512_fmadd_round_ps(_mm512_cvtepi32_ps(a), _mm512_set1_ps(factor_a), _mm512_set1_ps(addend),
                                               _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 both = _mm512_fmadd_round_ps(_mm512_cvtepi32_ps(b), _mm512_set1_ps(factor_b), first,
                                              _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    return _mm512_cvt_roundps_epi32(both, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* Saturate, add the zero point, clamp. Lane by lane, so the bytes come back in the order of marram_interleave. */
MARRAM_INLINE marram_slice marram_packed(const marram_v32 v[4], int zero, int low, int high)
{
    __m512i front = _mm512_packs_epi32(v[0], v[1]), back = _mm512_packs_epi32(v[2], v[3]);
    if (zero != 0) {
        front = _mm512_adds_epi16(front, _mm512_set1_epi16((int16_t)zero));
        back = _mm512_adds_epi16(back, _mm512_set1_epi16((int16_t)zero));
    }
    __m512i bytes = _mm512_packs_epi16(front, back);
    if (low > -128) {
        bytes = _mm512_max_epi8(bytes, _mm512_set1_epi8((int8_t)low));
    }
    return high < 127 ? _mm512_min_epi8(bytes, _mm512_set1_epi8((int8_t)high)) : bytes;
}

/* The bytes of four vectors of channels in a row, from the order in which marram_packed leaves them. */
MARRAM_INLINE marram_slice marram_in_a_row(marram_slice packed)
{
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), packed);
}

MARRAM_INLINE void marram_put(int8_t *y, marram_slice bytes, int count)
{
    if (count >= 64) {
        _mm512_storeu_si512(y, bytes);
    } else {
        _mm512_mask_storeu_epi8(y, (__mmask64)((UINT64_C(1) << count) - 1), bytes);
    }
}
#endif
#endif
