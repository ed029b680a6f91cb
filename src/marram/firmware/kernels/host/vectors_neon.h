#ifndef MARRAM_HOST_VECTORS_NEON_H
#define MARRAM_HOST_VECTORS_NEON_H
#include "host/instructions.h"

#if defined(MARRAM_NEON)
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
#endif
#endif
