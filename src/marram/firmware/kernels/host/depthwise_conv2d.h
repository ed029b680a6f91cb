#ifndef MARRAM_HOST_DEPTHWISE_CONV2D_H
#define MARRAM_HOST_DEPTHWISE_CONV2D_H
#include "host/conv2d.h"

/* Depthwise convolution on prepared input, MARRAM_SLICE outputs at a time: the taps are taken in groups of four, and the four
 * bytes of each channel brought side by side.
 *
 * Weights: for each period (64 bytes of a row of output; after `periods` they come again), for each group of taps: in the
 * order of marram_interleave on 64 bytes, (channel, 4 taps). Records in the same order. A channel of a period and its record
 * are found by the byte of the row; a row is `row_bytes` bytes. */
typedef struct {
    int rows, row_bytes, periods, groups;
    int in_row; /* bytes from the input of an output row to that of the next */
} marram_depthwise;

#if defined(MARRAM_PLAIN)
MARRAM_SHARED void marram_depthwise_all(const marram_depthwise d, const uint8_t *x, int8_t *y, const int8_t *weights,
                                        const int *taps, const marram_scaling s)
{
    for (int i = 0; i < d.rows * d.row_bytes; i++) {
        const int at = i % d.row_bytes, period = at / 64 % d.periods;
        const int place = at % 16 / 4 * 16 + at % 64 / 16 * 4 + at % 4; /* in the order of marram_interleave */
        const uint8_t *in = x + i / d.row_bytes * d.in_row + at;
        const int32_t *record = s.records + (period * 4 + place / 16) * s.rows * 16 + place % 16;
        int32_t sum = record[16 * MARRAM_BIAS];
        for (int t = 0; t < 4 * d.groups; t++) {
            sum += (int8_t)in[taps[t]] * weights[(period * d.groups + t / 4) * 256 + place * 4 + t % 4];
        }
        y[i] = marram_byte(sum, record, s);
    }
}
#else
MARRAM_INLINE void marram_depthwise_slice(const marram_depthwise d, const uint8_t *x, int8_t *y, int count, int at,
                                          const int8_t *weights, const int *taps, const marram_scaling s)
{
    const int half = at % 64 / MARRAM_SLICE * MARRAM_LANES, period = at / 64 % d.periods;
    const int8_t *w = weights + (period * d.groups * 64 + half) * 4;
    const int32_t *records[4];
    marram_sums sums[4];
    MARRAM_UNROLL
    for (int i = 0; i < 4; i++) {
        records[i] = s.records + (period * 4 + i) * s.rows * 16 + half;
        sums[i] = marram_begin(records[i]);
    }
    MARRAM_UNROLL
    for (int g = 0; g < d.groups; g++) {
        marram_slice in[4], quads[4];
        MARRAM_UNROLL
        for (int t = 0; t < 4; t++) {
            in[t] = marram_slice_at(x + taps[4 * g + t]);
        }
        marram_interleave(in, quads);
        MARRAM_UNROLL
        for (int i = 0; i < 4; i++) {
            sums[i] = marram_dot_slice(sums[i], quads[i], w + g * 256 + i * 64);
        }
    }
    marram_put(y, marram_scaled(sums, records, s), count);
}

MARRAM_INLINE void marram_depthwise_all(const marram_depthwise d, const uint8_t *x, int8_t *y, const int8_t *weights,
                                        const int *taps, const marram_scaling s)
{
    const int rest = d.row_bytes % MARRAM_SLICE;
    for (int row = 0; row < d.rows; row++) {
        const uint8_t *in = x + row * d.in_row;
        int8_t *out = y + row * d.row_bytes;
        for (int at = 0; at + MARRAM_SLICE <= d.row_bytes; at += MARRAM_SLICE) {
            marram_depthwise_slice(d, in + at, out + at, MARRAM_SLICE, at, weights, taps, s);
        }
        if (rest > 0) {
            const int at = d.row_bytes - rest;
            marram_depthwise_slice(d, in + at, out + at, rest, at, weights, taps, s);
        }
    }
}
#endif

MARRAM_INLINE void marram_host_depthwise_conv2d(const marram_picture p, const marram_depthwise d, const int8_t *x, int8_t *y,
                                                const int8_t *weights, const int *taps, const marram_scaling s, int zero_in,
                                                uint8_t *scratch)
{
    marram_prepare_picture(p, x, scratch, zero_in);
    marram_depthwise_all(d, scratch, y, weights, taps, s);
}
#endif
