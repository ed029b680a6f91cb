#ifndef MARRAM_DSP_DEPTHWISE_KERNELS_H
#define MARRAM_DSP_DEPTHWISE_KERNELS_H
#include "dsp/requantise.h"

/* Output rows of one channel from its plane: int16 rows of `pitch` (even) with their padding around. `y` is the channel's
 * first output, the next stand `channels` bytes apart.
 *
 * 3x3 record, 7 words: for each kernel row the pair (w0, w1); the pairs (w2 of row 0, w2 of row 1), (rounding, w2 of row 2);
 * bias; multiplier. Weights and bias are scaled by a power of two such that all channels of the layer share one shift:
 * with acc' = acc * 2^k and k = shift + 1 - s the doubly rounded result of a channel with right shift s is
 *     floor((acc' * multiplier + 2^32 * ((zero_point << shift) + 2^(shift - 1) + 2^(shift - s - 1))) / 2^(32 + shift))
 * (a floor of floors is one floor), less one unit of the first rounding, 2^(shift - s), where acc is negative and the
 * clamp does not cut that anyway (`away`). `base` holds the first two terms in brackets, `rounding` of the record the third. */

#if MARRAM_DSP
#define MARRAM_DSP_DEPTHWISE_PAIR_ROW(at, p, q, first, second)                                          \
    "ldrd %[a], %[b], " at "\n\t"                                                                       \
    "smlad %[s], %[a], %[" p "], %[" first "]\n\t"                                                      \
    "smlatb %[t], %[a], %[" p "], %[" second "]\n\t"                                                    \
    "smlabt %[s], %[b], %[" q "], %[s]\n\t"                                                             \
    "smlad %[t], %[b], %[" q "], %[t]\n\t"
#define MARRAM_DSP_DEPTHWISE_PAIR_SUMS                                                                  \
    MARRAM_DSP_DEPTHWISE_PAIR_ROW("[%[x], %[row2]]", "p2", "q2", "bias", "bias")                        \
    MARRAM_DSP_DEPTHWISE_PAIR_ROW("[%[x], %[row1]]", "p1", "q1", "s", "t")                              \
    MARRAM_DSP_DEPTHWISE_PAIR_ROW("[%[x]], #4", "p0", "q0", "s", "t")
#define MARRAM_DSP_DEPTHWISE_PAIR_NARROW                                                                \
    "ldrd %[a], %[b], %[by]\n\t"                                                                        \
    "smmla %[s], %[s], %[a], %[b]\n\t"                                                                  \
    "smmla %[t], %[t], %[a], %[b]\n\t"                                                                  \
    "ssat %[s], #8, %[s], asr %[shift]\n\t"                                                             \
    "ssat %[t], #8, %[t], asr %[shift]\n\t"
#endif

/* Of three pairs of a kernel's rows the left ones, p, and the right ones, q. */
typedef struct {
    uint32_t p0, p1, p2, q0, q1, q2;
    int32_t bias;
    int32_t by[3]; /* multiplier, addend, what is taken off negative products */
} marram_dsp_taps;

MARRAM_INLINE marram_dsp_taps marram_dsp_taps_of(const int32_t *record, int32_t base)
{
    marram_dsp_taps t;
    const uint32_t upper = (uint32_t)record[3];
    const uint32_t lower = (uint32_t)record[4];
    t.p0 = (uint32_t)record[0];
    t.p1 = (uint32_t)record[1];
    t.p2 = (uint32_t)record[2];
    t.q0 = marram_pack_low(t.p0 >> 16, upper);
    t.q1 = marram_pack_high(t.p1, upper);
    t.q2 = marram_pack_high(t.p2, lower);
    t.bias = record[5];
    t.by[0] = record[6];
    t.by[1] = base + marram_low(lower);
    t.by[2] = 2 * marram_low(lower);
    return t;
}

/* Two neighbouring outputs of stride 1; x moves on by two columns. */
MARRAM_INLINE const int16_t *marram_dsp_depthwise_pair(const int16_t *x, int pitch, const marram_dsp_taps *k, int8_t *y,
                                                       int channels, int shift, int away)
{
#if MARRAM_DSP
    if (!away) {
        uint32_t a, b;
        int32_t s, t;
        __asm__ volatile(MARRAM_DSP_DEPTHWISE_PAIR_SUMS MARRAM_DSP_DEPTHWISE_PAIR_NARROW
                         : [x] "+&r"(x), [a] "=&r"(a), [b] "=&r"(b), [s] "=&r"(s), [t] "=&r"(t)
                         : [p0] "r"(k->p0), [p1] "r"(k->p1), [p2] "r"(k->p2), [q0] "r"(k->q0), [q1] "r"(k->q1),
                           [q2] "r"(k->q2), [bias] "r"(k->bias), [by] "m"(k->by), [row1] "i"(2 * pitch),
                           [row2] "i"(4 * pitch), [shift] "i"(shift)
                         : "memory");
        y[0] = (int8_t)s;
        y[channels] = (int8_t)t;
        return x;
    }
#endif
    int32_t s = k->bias;
    int32_t t = k->bias;
    const uint32_t left[3] = {k->p0, k->p1, k->p2};
    const uint32_t right[3] = {k->q0, k->q1, k->q2};
    for (int row = 0; row < 3; row++) {
        const uint32_t a = marram_load32(x + row * pitch);
        const uint32_t b = marram_load32(x + row * pitch + 2);
        s = marram_smlabt(b, right[row], marram_smlad(a, left[row], s));
        t = marram_smlatb(a, left[row], marram_smlad(b, right[row], t));
    }
    const int32_t low = marram_smmla(s, k->by[0], 0);
    const int32_t high = marram_smmla(t, k->by[0], 0);
    y[0] = (int8_t)marram_narrow(low + k->by[1] - (away ? (low >> 31) & k->by[2] : 0), shift);
    y[channels] = (int8_t)marram_narrow(high + k->by[1] - (away ? (high >> 31) & k->by[2] : 0), shift);
    return x + 2;
}

MARRAM_INLINE void marram_dsp_depthwise_single(const int16_t *x, int pitch, const marram_dsp_taps *k, int8_t *y, int shift,
                                               int away)
{
    int32_t s = k->bias;
    const uint32_t left[3] = {k->p0, k->p1, k->p2};
    const uint32_t right[3] = {k->q0, k->q1, k->q2};
    for (int row = 0; row < 3; row++) {
        const uint32_t a = marram_load32(x + row * pitch);
        const uint32_t b = marram_load32(x + row * pitch + 2);
        s = marram_smlabt(b, right[row], marram_smlad(a, left[row], s));
    }
    const int32_t low = marram_smmla(s, k->by[0], 0);
    y[0] = (int8_t)marram_narrow(low + k->by[1] - (away ? (low >> 31) & k->by[2] : 0), shift);
}

/* Stride 1, in pairs of outputs. */
MARRAM_INLINE void marram_dsp_depthwise_3x3(const int16_t *plane, int pitch, int8_t *y, int rows, int width, int channels,
                                            const int32_t *record, int32_t base, int shift, int away)
{
    const marram_dsp_taps taps = marram_dsp_taps_of(record, base);
    const int pairs = width / 2;
    for (; rows > 0; rows--) {
        const int16_t *x = plane;
        const int16_t *end = plane + 2 * pairs;
        if (pairs & 1) {
            x = marram_dsp_depthwise_pair(x, pitch, &taps, y, channels, shift, away);
            y += 2 * channels;
        }
        while (x != end) {
            x = marram_dsp_depthwise_pair(x, pitch, &taps, y, channels, shift, away);
            y += 2 * channels;
            x = marram_dsp_depthwise_pair(x, pitch, &taps, y, channels, shift, away);
            y += 2 * channels;
        }
        if (width & 1) {
            marram_dsp_depthwise_single(x, pitch, &taps, y, shift, away);
            y += channels;
        }
        plane += pitch;
    }
}

/* Stride 2 across; `step` is the int16 from one output row's plane row to the next one's. */
MARRAM_INLINE void marram_dsp_depthwise_3x3s2(const int16_t *plane, int pitch, int step, int8_t *y, int rows, int width,
                                              int channels, const int32_t *record, int32_t base, int shift, int away)
{
    const uint32_t p0 = (uint32_t)record[0];
    const uint32_t p1 = (uint32_t)record[1];
    const uint32_t p2 = (uint32_t)record[2];
    const uint32_t upper = (uint32_t)record[3];
    const uint32_t lower = (uint32_t)record[4];
    const int32_t bias = record[5];
    const int32_t multiplier = record[6];
    const int32_t addend = base + marram_low(lower);
    for (; rows > 0; rows--) {
        const int16_t *x = plane;
        for (const int16_t *end = plane + 2 * width; x != end; x += 2) {
            int32_t s = marram_smlad(marram_load32(x + 2 * pitch), p2, bias);
            s = marram_smlabt(marram_load32(x + 2 * pitch + 2), lower, s);
            s = marram_smlad(marram_load32(x + pitch), p1, s);
            s = marram_smlabt(marram_load32(x + pitch + 2), upper, s);
            s = marram_smlad(marram_load32(x), p0, s);
            s = marram_smlabb(marram_load32(x + 2), upper, s);
            if (away) {
                const int32_t high = marram_smmla(s, multiplier, 0);
                s = high + addend - ((high >> 31) & (2 * marram_low(lower)));
            } else {
                s = marram_smmla(s, multiplier, addend);
            }
            y[0] = (int8_t)marram_narrow(s, shift);
            y += channels;
        }
        plane += step;
    }
}

/* Any kernel and stride, two outputs at a time. Record: bias, multiplier, shift, addend (see requantise.h), then for each
 * kernel row and each pair of its columns the weights of the first output and those of the second, which stands stride_x
 * columns further on; places that an output does not read have weight 0. */
MARRAM_INLINE void marram_dsp_depthwise_any(const int16_t *plane, int pitch, int kernel_rows, int stride_y, int dilation_y,
                                            int stride_x, int words, int8_t *y, int rows, int width, int channels,
                                            const int32_t *record, int away, int low, int high)
{
    for (; rows > 0; rows--) {
        const int16_t *x = plane;
        for (int left = width; left > 0; left -= 2) {
            const int32_t *weights = record + 4;
            int32_t s = record[0];
            int32_t t = record[0];
            for (int row = 0; row < kernel_rows; row++) {
                const int16_t *at = x + row * dilation_y * pitch;
                for (int word = 0; word < words; word++) {
                    const uint32_t values = marram_load32(at + 2 * word);
                    s = marram_smlad(values, (uint32_t)weights[0], s);
                    t = marram_smlad(values, (uint32_t)weights[1], t);
                    weights += 2;
                }
            }
            y[0] = (int8_t)marram_dsp_requantise(s, record[1], record[2], record[3], away, low, high);
            if (left > 1) {
                y[channels] = (int8_t)marram_dsp_requantise(t, record[1], record[2], record[3], away, low, high);
                y += 2 * channels;
            } else {
                y += channels;
            }
            x += 2 * stride_x;
        }
        plane += stride_y * pitch;
    }
}
#endif
