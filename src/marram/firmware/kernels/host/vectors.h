#ifndef MARRAM_HOST_VECTORS_H
#define MARRAM_HOST_VECTORS_H
#include "common/requantise.h"
#include <string.h>

/* The vectors of the machine that this file is compiled for. All paths read the same packed constants and give the same bytes.
 *
 * marram_v32   MARRAM_LANES sums of 32 bits
 * marram_sums  MARRAM_LANES sums under way, maybe in parts
 * marram_quad  four bytes of input, ready to be multiplied with four weights of each of MARRAM_LANES channels
 * marram_slice 4 * MARRAM_LANES bytes
 *
 * Inputs are prepared: each byte is XORed with MARRAM_FLIP, which makes it unsigned, plus 128, where the machine multiplies
 * unsigned bytes with signed ones. Folded biases come for both. Sums wrap at 32 bits on the way; the ends are proven to fit. */
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__) && defined(__AVX512VNNI__)
#define MARRAM_X86_512 1
#elif defined(__AVX2__) && defined(__FMA__)
#define MARRAM_X86_256 1
#if defined(__AVXVNNI__)
#define MARRAM_X86_256_DOT 1
#endif
#elif defined(__aarch64__) && defined(__ARM_NEON) && !defined(__AARCH64EB__)
#define MARRAM_NEON 1
#endif

#if defined(__clang__)
#define MARRAM_UNROLL _Pragma("clang loop unroll(full)")
#else
#define MARRAM_UNROLL _Pragma("GCC unroll 32")
#endif

/* Shared by all layers of a model. */
#if defined(__GNUC__)
#define MARRAM_SHARED static __attribute__((noinline, unused))
#else
#define MARRAM_SHARED static
#endif

/* One-sided and two-sided float scaling or none: see marram_scale. */
#define MARRAM_SCALE_INTEGER (-1)
#define MARRAM_SCALE_TWO_SIDED 256

/* Rows of a record of 16 channels. */
enum { MARRAM_BIAS, MARRAM_BIAS_FLIPPED, MARRAM_MULTIPLIER, MARRAM_SHIFT, MARRAM_FACTOR, MARRAM_ADDEND, MARRAM_EXCEPTIONS };

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

#elif defined(MARRAM_X86_256)
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

#elif defined(MARRAM_NEON)
#include <arm_neon.h>
#define MARRAM_LANES 4
#define MARRAM_FLIP 0
#define MARRAM_TILE 24
#define MARRAM_TILE_VECTORS 4
typedef int32x4_t marram_v32;
typedef int32x4_t marram_sums;
typedef int8x16_t marram_quad;
typedef int8x16_t marram_slice;

MARRAM_INLINE marram_sums marram_begin(const int32_t *record)
{
    return vld1q_s32(record + 16 * MARRAM_BIAS);
}

MARRAM_INLINE marram_v32 marram_end(marram_sums sums, const int32_t *record)
{
    (void)record;
    return sums;
}

MARRAM_INLINE marram_sums marram_more(void)
{
    return vdupq_n_s32(0);
}

MARRAM_INLINE marram_sums marram_joined(marram_sums a, marram_sums b)
{
    return vaddq_s32(a, b);
}

MARRAM_INLINE marram_quad marram_quad_at(const uint8_t *x)
{
    int32_t four;
    memcpy(&four, x, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

MARRAM_INLINE marram_sums marram_dot(marram_sums sums, marram_quad x, const int8_t *weights)
{
    const int8x16_t w = vld1q_s8(weights);
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(sums, w, x);
#else
    const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(w), vget_low_s8(x)));
    const int32x4_t high = vpaddlq_s16(vmull_high_s8(w, x));
    return vaddq_s32(sums, vpaddq_s32(low, high));
#endif
}

MARRAM_INLINE marram_sums marram_dot_slice(marram_sums sums, marram_slice x, const int8_t *weights)
{
    return marram_dot(sums, x, weights);
}

MARRAM_INLINE marram_slice marram_slice_at(const uint8_t *x)
{
    return vreinterpretq_s8_u8(vld1q_u8(x));
}

MARRAM_INLINE void marram_interleave(const marram_slice in[4], marram_slice out[4])
{
    const int16x8_t ab_low = vreinterpretq_s16_s8(vzip1q_s8(in[0], in[1]));
    const int16x8_t ab_high = vreinterpretq_s16_s8(vzip2q_s8(in[0], in[1]));
    const int16x8_t cd_low = vreinterpretq_s16_s8(vzip1q_s8(in[2], in[3]));
    const int16x8_t cd_high = vreinterpretq_s16_s8(vzip2q_s8(in[2], in[3]));
    out[0] = vreinterpretq_s8_s16(vzip1q_s16(ab_low, cd_low));
    out[1] = vreinterpretq_s8_s16(vzip2q_s16(ab_low, cd_low));
    out[2] = vreinterpretq_s8_s16(vzip1q_s16(ab_high, cd_high));
    out[3] = vreinterpretq_s8_s16(vzip2q_s16(ab_high, cd_high));
}

/* The integer form takes four instructions here, so it is the only one. */
MARRAM_INLINE marram_v32 marram_scale_integer(marram_v32 sums, const int32_t *record)
{
    const int32x4_t shift = vld1q_s32(record + 16 * MARRAM_SHIFT), none = vdupq_n_s32(0);
    const int32x4_t right = vminq_s32(shift, none);
    const int32x4_t high =
        vqrdmulhq_s32(vshlq_s32(sums, vmaxq_s32(shift, none)), vld1q_s32(record + 16 * MARRAM_MULTIPLIER));
    return vrshlq_s32(vqaddq_s32(high, vshrq_n_s32(vandq_s32(high, right), 31)), right);
}

MARRAM_INLINE marram_v32 marram_signed_at(const int8_t *x)
{
    int32_t four;
    memcpy(&four, x, 4);
    return vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)))));
}

MARRAM_INLINE marram_v32 marram_added(marram_v32 a, marram_v32 b)
{
    return vaddq_s32(a, b);
}

#define MARRAM_FLOATS 1
MARRAM_INLINE marram_v32 marram_mixed(marram_v32 a, marram_v32 b, float factor_a, float factor_b, float addend)
{
    const float32x4_t first = vfmaq_f32(vdupq_n_f32(addend), vcvtq_f32_s32(a), vdupq_n_f32(factor_a));
    return vcvtnq_s32_f32(vfmaq_f32(first, vcvtq_f32_s32(b), vdupq_n_f32(factor_b)));
}

MARRAM_INLINE marram_slice marram_packed(const marram_v32 v[4], int zero, int low, int high)
{
    const int16x8_t zeros = vdupq_n_s16((int16_t)zero);
    const int16x8_t front = vqaddq_s16(vcombine_s16(vqmovn_s32(v[0]), vqmovn_s32(v[1])), zeros);
    const int16x8_t back = vqaddq_s16(vcombine_s16(vqmovn_s32(v[2]), vqmovn_s32(v[3])), zeros);
    const int8x16_t bytes = vcombine_s8(vqmovn_s16(front), vqmovn_s16(back));
    return vminq_s8(vmaxq_s8(bytes, vdupq_n_s8((int8_t)low)), vdupq_n_s8((int8_t)high));
}

MARRAM_INLINE marram_slice marram_in_a_row(marram_slice packed)
{
    return packed;
}

MARRAM_INLINE void marram_put(int8_t *y, marram_slice bytes, int count)
{
    if (count >= 16) {
        vst1q_s8(y, bytes);
    } else {
        int8_t all[16];
        vst1q_s8(all, bytes);
        memcpy(y, all, (size_t)count);
    }
}

#else
/* Plain C: products and depthwise convolutions have loops of their own (host/plain.h), shared by all layers. */
#define MARRAM_PLAIN 1
#define MARRAM_LANES 4
#define MARRAM_FLIP 0
typedef struct {
    int32_t lane[4];
} marram_v32;

MARRAM_INLINE marram_v32 marram_signed_at(const int8_t *x)
{
    return (marram_v32){{x[0], x[1], x[2], x[3]}};
}

MARRAM_INLINE marram_v32 marram_added(marram_v32 a, marram_v32 b)
{
    for (int i = 0; i < 4; i++) {
        a.lane[i] += b.lane[i];
    }
    return a;
}
#endif

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
