#ifndef MARRAM_MVE_OUTPUT_H
#define MARRAM_MVE_OUTPUT_H
#include "common/requantise.h"
#if defined(__ARM_FEATURE_MVE) && defined(__GNUC__)
#define MARRAM_MVE 1
#include <arm_mve.h>
#else
#define MARRAM_MVE 0
#endif

#if defined(__GNUC__)
#define MARRAM_MVE_SHARED __attribute__((noinline, unused)) static
#define MARRAM_MVE_IN_SCRATCH __attribute__((may_alias))
#else
#define MARRAM_MVE_SHARED static
#define MARRAM_MVE_IN_SCRATCH
#endif

/* The scratch of a layer begins with a pointer to its constants and the state of its loops: the arena shares these bytes with
 * other layers, the stack would not. A layer's own function only notes the pointer and jumps. */
typedef struct {
    const void *layer;
} MARRAM_MVE_IN_SCRATCH marram_mve_head;
#define MARRAM_MVE_STATE 16
#define MARRAM_MVE_DATA 128

MARRAM_INLINE void marram_mve_begin(void *scratch, const void *layer)
{
    ((marram_mve_head *)scratch)->layer = layer;
}

/* What a layer of products gives out. channels: for each 4 outputs 4 biases, 4 multipliers, 4 shifts, the last group filled
 * up with zeros. outputs is not filled up. */
typedef struct {
    const int8_t *weights;
    const int32_t *channels;
    int32_t depth, outputs, zero, low, high;
} marram_mve_layer;

/* Steps of requantisation that a layer may leave out, known when the code is generated.
 *
 * MARRAM_MVE_SIGNED: outputs below the zero point can be told apart, so the halves of negative values must go away from zero;
 * VRSHL rounds halves up. Where everything below the zero point is clamped (ReLU) both give the same.
 * MARRAM_MVE_CLAMPED: the range of the activation is narrower than int8, to which the narrowing moves saturate anyway. */
#define MARRAM_MVE_SIGNED 1
#define MARRAM_MVE_CLAMPED 2

#if MARRAM_MVE
/* An accumulator without its bias -> an int32 in [-128, 127] in the low byte of each lane. */
MARRAM_INLINE int32x4_t marram_mve_finish(int32x4_t high, int32x4_t shift, int32_t zero, int32_t least, int32_t greatest,
                                          int mode)
{
    if (mode & MARRAM_MVE_SIGNED) {
        high = vaddq_s32(high, vshrq_n_s32(high, 31));
    }
    int32x4_t value = vaddq_n_s32(vrshlq_s32(high, shift), zero);
    if (mode & MARRAM_MVE_CLAMPED) {
        return vminq_s32(vmaxq_s32(value, vdupq_n_s32(least)), vdupq_n_s32(greatest));
    }
    int16x8_t half = vreinterpretq_s16_s32(value);
    half = vqmovnbq_s32(half, value);
    int8x16_t quarter = vreinterpretq_s8_s16(half);
    return vreinterpretq_s32_s8(vqmovnbq_s16(quarter, half));
}

MARRAM_INLINE int32x4_t marram_mve_requantise(int32x4_t sum, int32x4_t bias, int32x4_t multiplier, int32x4_t shift,
                                              int32_t zero, int32_t least, int32_t greatest, int mode)
{
    const int32x4_t high = vqrdmulhq_s32(vaddq_s32(sum, bias), multiplier);
    return marram_mve_finish(high, shift, zero, least, greatest, mode);
}
#else
/* The same of one output: lane `lane` of the group whose constants start at `channels`. */
MARRAM_INLINE int8_t marram_mve_requantise_one(int32_t sum, const int32_t *channels, int lane, int32_t zero, int32_t least,
                                               int32_t greatest)
{
    const int32_t value = marram_multiply(sum + channels[lane], channels[4 + lane], channels[8 + lane]) + zero;
    return (int8_t)marram_clamp(value, least, greatest);
}
#endif
#endif
