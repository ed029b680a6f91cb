#ifndef MARRAM_PORTABLE_LAYER_NORM_H
#define MARRAM_PORTABLE_LAYER_NORM_H
#include "portable/rescale.h"

/* floor(sqrt(value)) of value < 2^62, bit by bit. */
MARRAM_NOINLINE static uint32_t marram_square_root(uint64_t value)
{
    uint64_t root = 0;
    for (uint64_t bit = UINT64_C(1) << 60; bit != 0; bit >>= 2) {
        const uint64_t tried = root + bit;
        root >>= 1;
        if (value >= tried) {
            value -= tried;
            root += bit;
        }
    }
    return (uint32_t)root;
}

/* floor(2^61 / divisor) of divisor >= 2^30, at most INT32_MAX: a division of 64 bits that needs no library. */
MARRAM_INLINE int32_t marram_reciprocal_61(uint32_t divisor)
{
    uint64_t rest = UINT64_C(1) << 30;
    uint32_t quotient = 0;
    for (int bit = 0; bit < 31; bit++) {
        rest <<= 1;
        quotient <<= 1;
        if (rest >= divisor) {
            rest -= divisor;
            quotient |= 1u;
        }
    }
    return (int32_t)(quotient > INT32_MAX ? INT32_MAX : quotient);
}

/* How many bits a double takes for a value in [1, 2^62): those of the value, and one more where rounding to 53 carries. */
MARRAM_INLINE int marram_bits_of(uint64_t value)
{
    int bits = 0;
    while (bits < 62 && (value >> bits) != 0) {
        bits++;
    }
    if (bits >= 54 && (value >> (bits - 54)) == (UINT64_C(1) << 54) - 1) {
        bits++;
    }
    return bits;
}

/* Layer norm of `rows` vectors; the steps are numbered in model/reference/normalisation.py. gamma: (C) int16, beta: (C). */
MARRAM_INLINE void marram_portable_layer_norm(const int8_t *x, int8_t *y, int rows, int channels, const int16_t *gamma,
                                              const int32_t *beta, int fraction, int64_t floor, int32_t multiplier, int shift,
                                              int zero_out, int low, int high)
{
    for (int row = 0; row < rows; row++, x += channels, y += channels) {
        int32_t total = 0;
        int64_t squares = 0;
        for (int c = 0; c < channels; c++) {
            total += x[c];
            squares += x[c] * x[c];
        }
        const uint64_t spread = (uint64_t)(channels * squares - (int64_t)total * total);
        const uint64_t variance = (spread << (2 * fraction)) + (uint64_t)floor;
        const int bits = marram_bits_of(variance);
        const int power = bits > 62 ? 0 : (62 - bits) / 2;
        const int32_t inverse = marram_reciprocal_61(marram_square_root(variance << (2 * power)));
        const int by = power - 30 + fraction + 10;
        for (int c = 0; c < channels; c++) {
            const int32_t normalised = marram_multiply(channels * x[c] - total, inverse, by);
            const int32_t sum = normalised * gamma[c] + beta[c];
            y[c] = marram_portable_rescale(sum, multiplier, shift, zero_out, low, high);
        }
    }
}
#endif
