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

/* Offsets and shifts of the instructions below are constants where the compiler has folded the sizes; else plain C does. */
#if MARRAM_DSP
#define MARRAM_DSP_FOLDED(value) __builtin_constant_p(value)
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
#define MARRAM_DSP_DEPTHWISE_SINGLE_ROW(at, p, q, sum)                                                  \
    "ldrd %[a], %[b], " at "\n\t"                                                                       \
    "smlad %[s], %[a], %[" p "], %[" sum "]\n\t"                                                       \
    "smlabt %[s], %[b], %[" q "], %[s]\n\t"
#define MARRAM_DSP_DEPTHWISE_SINGLE_SUM                                                                 \
    MARRAM_DSP_DEPTHWISE_SINGLE_ROW("[%[x], %[row2]]", "p2", "q2", "bias")                              \
    MARRAM_DSP_DEPTHWISE_SINGLE_ROW("[%[x], %[row1]]", "p1", "q1", "s")                                 \
    MARRAM_DSP_DEPTHWISE_SINGLE_ROW("[%[x]]", "p0", "q0", "s")
#endif

/* Of each kernel row the pairs (w0, w1), p, and (w1, w2), q. Multiplier and addend are kept apart from them, in memory. */
typedef struct {
    uint32_t p0, p1, p2, q0, q1, q2;
    int32_t bias, nudge;
} marram_dsp_taps;

MARRAM_INLINE marram_dsp_taps marram_dsp_taps_of(const int32_t *record)
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
    t.nudge = 2 * marram_low(lower);
    return t;
}

/* How a layer's sums become outputs: constants. */
typedef struct {
    int shift, away, low, high;
} marram_dsp_ending;

MARRAM_INLINE int8_t marram_dsp_limit(int32_t value, const marram_dsp_ending e)
{
    const int32_t floored = e.low > -128 && value < e.low ? e.low : value;
    return (int8_t)(e.high < 127 && floored > e.high ? e.high : floored);
}

MARRAM_INLINE int8_t marram_dsp_taps_end(int32_t acc, const int32_t *by, int32_t nudge, const marram_dsp_ending e)
{
    const int32_t product = marram_smmla(acc, by[0], 0);
    return marram_dsp_limit(marram_narrow(product + by[1] - (e.away ? (product >> 31) & nudge : 0), e.shift), e);
}

/* Sums of two neighbouring outputs of stride 1 from x on; the place two columns further. */
MARRAM_INLINE const int16_t *marram_dsp_depthwise_sums(const int16_t *x, int pitch, const marram_dsp_taps k, int32_t *first,
                                                       int32_t *second)
{
#if MARRAM_DSP
    if (MARRAM_DSP_FOLDED(pitch)) {
        uint32_t a, b;
        int32_t s, t;
        __asm__ volatile(MARRAM_DSP_DEPTHWISE_PAIR_SUMS
                         : [x] "+&r"(x), [a] "=&r"(a), [b] "=&r"(b), [s] "=&r"(s), [t] "=&r"(t)
                         : [p0] "r"(k.p0), [p1] "r"(k.p1), [p2] "r"(k.p2), [q0] "r"(k.q0), [q1] "r"(k.q1), [q2] "r"(k.q2),
                           [bias] "r"(k.bias), [row1] "i"(2 * pitch), [row2] "i"(4 * pitch)
                         : "memory");
        *first = s;
        *second = t;
        return x;
    }
#endif
    const uint32_t left[3] = {k.p0, k.p1, k.p2};
    const uint32_t right[3] = {k.q0, k.q1, k.q2};
    *first = *second = k.bias;
    for (int row = 0; row < 3; row++) {
        const uint32_t a = marram_load32(x + row * pitch);
        const uint32_t b = marram_load32(x + row * pitch + 2);
        *first = marram_smlabt(b, right[row], marram_smlad(a, left[row], *first));
        *second = marram_smlatb(a, left[row], marram_smlad(b, right[row], *second));
    }
    return x + 2;
}

MARRAM_INLINE const int16_t *marram_dsp_depthwise_pair(const int16_t *x, int pitch, const marram_dsp_taps k, const int32_t by[2],
                                                       int8_t *y, int channels, const marram_dsp_ending e)
{
    int32_t s, t;
    x = marram_dsp_depthwise_sums(x, pitch, k, &s, &t);
#if MARRAM_DSP
    if (!e.away && MARRAM_DSP_FOLDED(e.shift)) {
        uint32_t a, b;
        __asm__(MARRAM_DSP_DEPTHWISE_PAIR_NARROW
                : [s] "+&r"(s), [t] "+&r"(t), [a] "=&r"(a), [b] "=&r"(b)
                : [by] "m"(*(const int32_t(*)[2])by), [shift] "i"(e.shift));
        y[0] = marram_dsp_limit(s, e);
        y[channels] = marram_dsp_limit(t, e);
        return x;
    }
#endif
    y[0] = marram_dsp_taps_end(s, by, k.nudge, e);
    y[channels] = marram_dsp_taps_end(t, by, k.nudge, e);
    return x;
}

MARRAM_INLINE void marram_dsp_depthwise_single(const int16_t *x, int pitch, const marram_dsp_taps k, const int32_t by[2],
                                               int8_t *y, const marram_dsp_ending e)
{
#if MARRAM_DSP
    if (!e.away && MARRAM_DSP_FOLDED(pitch) && MARRAM_DSP_FOLDED(e.shift)) {
        uint32_t a, b;
        int32_t s;
        __asm__ volatile(MARRAM_DSP_DEPTHWISE_SINGLE_SUM
                         "ldrd %[a], %[b], %[by]\n\t"
                         "smmla %[s], %[s], %[a], %[b]\n\t"
                         "ssat %[s], #8, %[s], asr %[shift]"
                         : [a] "=&r"(a), [b] "=&r"(b), [s] "=&r"(s)
                         : [x] "r"(x), [p0] "r"(k.p0), [p1] "r"(k.p1), [p2] "r"(k.p2), [q0] "r"(k.q0), [q1] "r"(k.q1),
                           [q2] "r"(k.q2), [bias] "r"(k.bias), [row1] "i"(2 * pitch), [row2] "i"(4 * pitch),
                           [by] "m"(*(const int32_t(*)[2])by), [shift] "i"(e.shift)
                         : "memory");
        y[0] = marram_dsp_limit(s, e);
        return;
    }
#endif
    int32_t s = marram_smlad(marram_load32(x), k.p0, k.bias);
    s = marram_smlabt(marram_load32(x + 2), k.q0, s);
    s = marram_smlad(marram_load32(x + pitch), k.p1, s);
    s = marram_smlabt(marram_load32(x + pitch + 2), k.q1, s);
    s = marram_smlad(marram_load32(x + 2 * pitch), k.p2, s);
    s = marram_smlabt(marram_load32(x + 2 * pitch + 2), k.q2, s);
    y[0] = marram_dsp_taps_end(s, by, k.nudge, e);
}

/* Stride 1, in pairs of outputs. */
MARRAM_INLINE void marram_dsp_depthwise_3x3(const int16_t *plane, int pitch, int8_t *y, int rows, int width, int channels,
                                            const int32_t *record, int32_t base, const marram_dsp_ending e)
{
    const marram_dsp_taps taps = marram_dsp_taps_of(record);
    const int32_t by[2] = {record[6], base + marram_low((uint32_t)record[4])};
    const int pairs = width / 2;
    for (const int16_t *past = plane + rows * pitch; plane != past; plane += pitch - 2 * pairs) {
        if (pairs & 1) {
            plane = marram_dsp_depthwise_pair(plane, pitch, taps, by, y, channels, e);
            y += 2 * channels;
        }
        for (const int16_t *end = plane + 4 * (pairs / 2); plane != end;) {
            plane = marram_dsp_depthwise_pair(plane, pitch, taps, by, y, channels, e);
            plane = marram_dsp_depthwise_pair(plane, pitch, taps, by, y + 2 * channels, channels, e);
            y += 4 * channels;
            if (pairs < 4) {
                break;
            }
        }
        if (width & 1) {
            marram_dsp_depthwise_single(plane, pitch, taps, by, y, e);
            y += channels;
        }
    }
}

/* Stride 2 across; `step` is the int16 from one output row's plane row to the next one's. The record's pairs serve as they
 * are: of three columns the first two make a pair. */
MARRAM_INLINE void marram_dsp_depthwise_3x3s2(const int16_t *plane, int pitch, int step, int8_t *y, int rows, int width,
                                              int channels, const int32_t *record, int32_t base, const marram_dsp_ending e)
{
    const uint32_t p0 = (uint32_t)record[0];
    const uint32_t p1 = (uint32_t)record[1];
    const uint32_t p2 = (uint32_t)record[2];
    const uint32_t upper = (uint32_t)record[3];
    const uint32_t lower = (uint32_t)record[4];
    const int32_t bias = record[5];
    const int32_t by[2] = {record[6], base + marram_low(lower)};
    for (const int16_t *past = plane + rows * step; plane != past; plane += step - 2 * width) {
        for (const int16_t *end = plane + 2 * width; plane != end; y += channels) {
            int32_t s = bias;
#if MARRAM_DSP
            if (MARRAM_DSP_FOLDED(pitch)) {
                uint32_t a, b;
                __asm__ volatile("ldrd %[a], %[b], [%[x], %[row2]]\n\t"
                                 "smlad %[s], %[a], %[p2], %[bias]\n\t"
                                 "smlabt %[s], %[b], %[lower], %[s]\n\t"
                                 "ldrd %[a], %[b], [%[x], %[row1]]\n\t"
                                 "smlad %[s], %[a], %[p1], %[s]\n\t"
                                 "smlabt %[s], %[b], %[upper], %[s]\n\t"
                                 "ldrd %[a], %[b], [%[x]], #4\n\t"
                                 "smlad %[s], %[a], %[p0], %[s]\n\t"
                                 "smlabb %[s], %[b], %[upper], %[s]"
                                 : [x] "+&r"(plane), [a] "=&r"(a), [b] "=&r"(b), [s] "=&r"(s)
                                 : [p0] "r"(p0), [p1] "r"(p1), [p2] "r"(p2), [upper] "r"(upper), [lower] "r"(lower),
                                   [bias] "r"(bias), [row1] "i"(2 * pitch), [row2] "i"(4 * pitch)
                                 : "memory");
            } else
#endif
            {
                s = marram_smlad(marram_load32(plane + 2 * pitch), p2, s);
                s = marram_smlabt(marram_load32(plane + 2 * pitch + 2), lower, s);
                s = marram_smlad(marram_load32(plane + pitch), p1, s);
                s = marram_smlabt(marram_load32(plane + pitch + 2), upper, s);
                s = marram_smlad(marram_load32(plane), p0, s);
                s = marram_smlabb(marram_load32(plane + 2), upper, s);
                plane += 2;
            }
            if (e.away) {
                y[0] = marram_dsp_taps_end(s, by, 2 * marram_low(lower), e);
            } else {
                y[0] = marram_dsp_limit(marram_narrow(marram_smmla(s, by[0], by[1]), e.shift), e);
            }
        }
    }
}

/* Two columns of a kernel's row for two outputs. */
MARRAM_INLINE void marram_dsp_depthwise_step(const int16_t **at, const int32_t **weights, int32_t *s, int32_t *t)
{
#if MARRAM_DSP
    const int16_t *x = *at;
    const int32_t *w = *weights;
    int32_t first = *s, second = *t;
    uint32_t values, a, b;
    __asm__ volatile("ldr %[v], [%[x]], #4\n\t"
                     "ldrd %[a], %[b], [%[w]], #8\n\t"
                     "smlad %[s], %[v], %[a], %[s]\n\t"
                     "smlad %[t], %[v], %[b], %[t]"
                     : [x] "+&r"(x), [w] "+&r"(w), [s] "+&r"(first), [t] "+&r"(second), [v] "=&r"(values), [a] "=&r"(a),
                       [b] "=&r"(b)
                     :
                     : "memory");
    *at = x;
    *weights = w;
    *s = first;
    *t = second;
#else
    const uint32_t values = marram_load32(*at);
    *s = marram_smlad(values, (uint32_t)(*weights)[0], *s);
    *t = marram_smlad(values, (uint32_t)(*weights)[1], *t);
    *at += 2;
    *weights += 2;
#endif
}

/* Any kernel and stride, two outputs at a time. Record: bias, multiplier, shift, addend (see requantise.h), then for each
 * kernel row and each pair of its columns the weights of the first output and those of the second, which stands stride_x
 * columns further on; places that an output does not read have weight 0. */
MARRAM_INLINE void marram_dsp_depthwise_any(const int16_t *plane, int pitch, int kernel_rows, int stride_y, int dilation_y,
                                            int stride_x, int words, int8_t *y, int rows, int width, int channels,
                                            const int32_t *record, const marram_dsp_ending e)
{
    for (; rows > 0; rows--) {
        const int16_t *x = plane;
        for (int left = width; left > 0; left -= 2) {
            const int32_t *weights = record + 4;
            int32_t s = record[0];
            int32_t t = record[0];
            for (int row = 0; row < kernel_rows; row++) {
                const int16_t *at = x + row * dilation_y * pitch;
                if (words == 1) {
                    marram_dsp_depthwise_step(&at, &weights, &s, &t);
                } else if (words == 2) {
                    marram_dsp_depthwise_step(&at, &weights, &s, &t);
                    marram_dsp_depthwise_step(&at, &weights, &s, &t);
                } else if (words == 3) {
                    marram_dsp_depthwise_step(&at, &weights, &s, &t);
                    marram_dsp_depthwise_step(&at, &weights, &s, &t);
                    marram_dsp_depthwise_step(&at, &weights, &s, &t);
                } else {
                    for (const int16_t *end = at + 2 * words; at != end;) {
                        marram_dsp_depthwise_step(&at, &weights, &s, &t);
                    }
                }
            }
            y[0] = (int8_t)marram_dsp_requantise(s, record[1], record[2], record[3], e.away, e.low, e.high);
            if (left > 1) {
                y[channels] = (int8_t)marram_dsp_requantise(t, record[1], record[2], record[3], e.away, e.low, e.high);
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
