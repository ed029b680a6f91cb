#ifndef MARRAM_HOST_VECTORS_AVX2_H
#define MARRAM_HOST_VECTORS_AVX2_H
#include "host/instructions.h"

#if defined(MARRAM_X86_256)
#include <immintrin.h>
#define MARRAM_LANES 8
typedef __m256i marram_v32;
typedef __m256i marram_quad;
typedef __m256i marram_slice;

#if defined(MARRAM_X86_256_DOT)
#define MARRAM_FLIP 0x80
#define MARRAM_TILE 12
#define MARRAM_TILE_VECTORS 4
typedef __m256i marram_sums;

MARRAM_INLINE marram_sums marram_begin(const int32_t *record)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)(record + 16 * MARRAM_BIAS_FLIPPED));
}

MARRAM_INLINE marram_v32 marram_end(marram_sums sums, const int32_t *record)
{
    (void)record;
    return sums;
}

MARRAM_INLINE marram_sums marram_more(void)
{
    return _mm256_setzero_si256();
}

MARRAM_INLINE marram_sums marram_joined(marram_sums a, marram_sums b)
{
    return _mm256_add_epi32(a, b);
}

MARRAM_INLINE marram_quad marram_quad_at(const uint8_t *x)
{
    int32_t four;
    memcpy(&four, x, 4);
    return _mm256_set1_epi32(four);
}

MARRAM_INLINE marram_sums marram_dot_slice(marram_sums sums, marram_slice x, const int8_t *weights)
{
    return _mm256_dpbusd_avx_epi32(sums, x, _mm256_loadu_si256((const __m256i *)(const void *)weights));
}

MARRAM_INLINE marram_sums marram_dot(marram_sums sums, marram_quad x, const int8_t *weights)
{
    return marram_dot_slice(sums, x, weights);
}
#else
/* Bytes are widened to 16 bits and multiplied in pairs: vpmaddubsw would saturate. Each channel's sum is in two parts, those
 * of the first four channels in `first`. */
#define MARRAM_FLIP 0
#define MARRAM_TILE 6
#define MARRAM_TILE_VECTORS 2
typedef struct {
    __m256i first, second;
} marram_sums;

MARRAM_INLINE marram_sums marram_more(void)
{
    return (marram_sums){_mm256_setzero_si256(), _mm256_setzero_si256()};
}

MARRAM_INLINE marram_sums marram_begin(const int32_t *record)
{
    (void)record;
    return marram_more();
}

MARRAM_INLINE marram_v32 marram_end(marram_sums sums, const int32_t *record)
{
    const __m256i mixed = _mm256_permute4x64_epi64(_mm256_hadd_epi32(sums.first, sums.second), 0xd8);
    return _mm256_add_epi32(mixed, _mm256_loadu_si256((const __m256i *)(const void *)(record + 16 * MARRAM_BIAS)));
}

MARRAM_INLINE marram_sums marram_joined(marram_sums a, marram_sums b)
{
    return (marram_sums){_mm256_add_epi32(a.first, b.first), _mm256_add_epi32(a.second, b.second)};
}

MARRAM_INLINE marram_quad marram_quad_at(const uint8_t *x)
{
    int32_t four;
    memcpy(&four, x, 4);
    return _mm256_cvtepi8_epi16(_mm_set1_epi32(four));
}

MARRAM_INLINE __m256i marram_widened(const int8_t *bytes)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)bytes));
}

MARRAM_INLINE marram_sums marram_dot(marram_sums sums, marram_quad x, const int8_t *weights)
{
    sums.first = _mm256_add_epi32(sums.first, _mm256_madd_epi16(x, marram_widened(weights)));
    sums.second = _mm256_add_epi32(sums.second, _mm256_madd_epi16(x, marram_widened(weights + 16)));
    return sums;
}

MARRAM_INLINE marram_sums marram_dot_slice(marram_sums sums, marram_slice x, const int8_t *weights)
{
    const __m256i low = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(x));
    const __m256i high = _mm256_cvtepi8_epi16(_mm256_extracti128_si256(x, 1));
    sums.first = _mm256_add_epi32(sums.first, _mm256_madd_epi16(low, marram_widened(weights)));
    sums.second = _mm256_add_epi32(sums.second, _mm256_madd_epi16(high, marram_widened(weights + 16)));
    return sums;
}
#endif

MARRAM_INLINE marram_slice marram_slice_at(const uint8_t *x)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)x);
}

MARRAM_INLINE void marram_interleave(const marram_slice in[4], marram_slice out[4])
{
    const __m256i ab_low = _mm256_unpacklo_epi8(in[0], in[1]), ab_high = _mm256_unpackhi_epi8(in[0], in[1]);
    const __m256i cd_low = _mm256_unpacklo_epi8(in[2], in[3]), cd_high = _mm256_unpackhi_epi8(in[2], in[3]);
    out[0] = _mm256_unpacklo_epi16(ab_low, cd_low);
    out[1] = _mm256_unpackhi_epi16(ab_low, cd_low);
    out[2] = _mm256_unpacklo_epi16(ab_high, cd_high);
    out[3] = _mm256_unpackhi_epi16(ab_high, cd_high);
}

MARRAM_INLINE marram_v32 marram_scale_integer(marram_v32 sums, const int32_t *record)
{
    MARRAM_ALIGNED(32) int32_t lanes[8];
    _mm256_store_si256((__m256i *)(void *)lanes, sums);
    for (int i = 0; i < 8; i++) {
        lanes[i] = marram_multiply(lanes[i], record[16 * MARRAM_MULTIPLIER + i], record[16 * MARRAM_SHIFT + i]);
    }
    return _mm256_load_si256((const __m256i *)(const void *)lanes);
}

/* The rounding mode of the thread is to nearest even, as the ABI has it. */
MARRAM_INLINE marram_v32 marram_scale_float(marram_v32 sums, const int32_t *record, int two_sided, int exceptions)
{
    const __m256 factor = _mm256_loadu_ps((const void *)(record + 16 * MARRAM_FACTOR));
    __m256i addend = _mm256_loadu_si256((const __m256i *)(const void *)(record + 16 * MARRAM_ADDEND));
    if (two_sided) {
        addend = _mm256_or_si256(addend, _mm256_and_si256(sums, _mm256_set1_epi32(INT32_MIN)));
    }
    __m256i result = _mm256_cvtps_epi32(_mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), factor, _mm256_castsi256_ps(addend)));
    for (int e = 0; e < exceptions; e++) {
        const __m256i *place = (const __m256i *)(const void *)(record + 16 * (MARRAM_EXCEPTIONS + 2 * e));
        const __m256i met = _mm256_cmpeq_epi32(sums, _mm256_loadu_si256(place));
        result = _mm256_add_epi32(result, _mm256_and_si256(met, _mm256_loadu_si256(place + 2)));
    }
    return result;
}

MARRAM_INLINE marram_v32 marram_signed_at(const int8_t *x)
{
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)x));
}

MARRAM_INLINE marram_v32 marram_added(marram_v32 a, marram_v32 b)
{
    return _mm256_add_epi32(a, b);
}

#define MARRAM_FLOATS 1
MARRAM_INLINE marram_v32 marram_mixed(marram_v32 a, marram_v32 b, float factor_a, float factor_b, float addend)
{
    const __m256 first = _mm256_fmadd_ps(_mm256_cvtepi32_ps(a), _mm256_set1_ps(factor_a), _mm256_set1_ps(addend));
    return _mm256_cvtps_epi32(_mm256_fmadd_ps(_mm256_cvtepi32_ps(b), _mm256_set1_ps(factor_b), first));
}

MARRAM_INLINE marram_slice marram_packed(const marram_v32 v[4], int zero, int low, int high)
{
    __m256i front = _mm256_packs_epi32(v[0], v[1]), back = _mm256_packs_epi32(v[2], v[3]);
    if (zero != 0) {
        front = _mm256_adds_epi16(front, _mm256_set1_epi16((int16_t)zero));
        back = _mm256_adds_epi16(back, _mm256_set1_epi16((int16_t)zero));
    }
    __m256i bytes = _mm256_packs_epi16(front, back);
    if (low > -128) {
        bytes = _mm256_max_epi8(bytes, _mm256_set1_epi8((int8_t)low));
    }
    return high < 127 ? _mm256_min_epi8(bytes, _mm256_set1_epi8((int8_t)high)) : bytes;
}

MARRAM_INLINE marram_slice marram_in_a_row(marram_slice packed)
{
    return _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

MARRAM_INLINE void marram_put(int8_t *y, marram_slice bytes, int count)
{
    if (count >= 32) {
        _mm256_storeu_si256((__m256i *)(void *)y, bytes);
    } else {
        MARRAM_ALIGNED(32) int8_t all[32];
        _mm256_store_si256((__m256i *)(void *)all, bytes);
        memcpy(y, all, (size_t)count);
    }
}
#endif
#endif
