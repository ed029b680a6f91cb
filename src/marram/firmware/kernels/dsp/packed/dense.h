#ifndef MARRAM_DSP_PACKED_DENSE_H
#define MARRAM_DSP_PACKED_DENSE_H
#include "common/requantise.h"
#include "dsp/intrinsics.h"

/* One vector by weights of 4 or 2 bits. A word has 8 or 16 weights of a channel, in pairs 16 bits apart: the lowest
 * bits are (w0, w2), the next ones (w1, w3), then (w4, w6) and so on, each stored without sign, 2^(bits - 1) more than it is;
 * what that adds is taken off by the sum of the inputs. Inputs are expanded into such pairs of int16 once, what is missing
 * of the last word as zeros. Records of a channel: bias, multiplier and shift. scratch: 2 bytes for each input. */
MARRAM_INLINE int32_t marram_dsp_packed_expand(const int8_t *x, int depth, int padded, uint32_t *to)
{
    int32_t sum = 0;
    for (int i = 0; i < padded; i += 4, to += 2) {
        uint32_t word = 0;
        if (i + 4 <= depth) {
            word = marram_load32(x + i);
        } else if (i < depth) {
            memcpy(&word, x + i, (size_t)(depth - i));
        }
        to[0] = marram_even(word);
        to[1] = marram_odd(word);
        sum = marram_smlad(to[0], 0x00010001u, sum);
        sum = marram_smlad(to[1], 0x00010001u, sum);
    }
    return sum;
}

MARRAM_INLINE int8_t marram_dsp_packed_output(int32_t sum, const int32_t *record, int zero_out, int low, int high)
{
    return (int8_t)marram_clamp(marram_multiply(record[0] + sum, record[1], record[2]) + zero_out, low, high);
}

/* A pair of inputs with two channels' weights at some bit of their words. */
#define MARRAM_DSP_PACKED_STEP(at, shift, mask)                    \
    do {                                                           \
        const uint32_t pair = pairs[at];                           \
        first = marram_smlad(pair, (one >> (shift)) & (mask), first);   \
        second = marram_smlad(pair, (two >> (shift)) & (mask), second); \
    } while (0)

#define MARRAM_DSP_PACKED_WORD_4                     \
    MARRAM_DSP_PACKED_STEP(0, 0, 0x000f000fu);       \
    MARRAM_DSP_PACKED_STEP(1, 4, 0x000f000fu);       \
    MARRAM_DSP_PACKED_STEP(2, 8, 0x000f000fu);       \
    MARRAM_DSP_PACKED_STEP(3, 12, 0x000f000fu)

#define MARRAM_DSP_PACKED_WORD_2                     \
    MARRAM_DSP_PACKED_STEP(0, 0, 0x00030003u);       \
    MARRAM_DSP_PACKED_STEP(1, 2, 0x00030003u);       \
    MARRAM_DSP_PACKED_STEP(2, 4, 0x00030003u);       \
    MARRAM_DSP_PACKED_STEP(3, 6, 0x00030003u);       \
    MARRAM_DSP_PACKED_STEP(4, 8, 0x00030003u);       \
    MARRAM_DSP_PACKED_STEP(5, 10, 0x00030003u);      \
    MARRAM_DSP_PACKED_STEP(6, 12, 0x00030003u);      \
    MARRAM_DSP_PACKED_STEP(7, 14, 0x00030003u)

/* Rows of `depth` inputs, padded to whole words; a function for each width. Of an odd number of channels the last is made
 * with itself. */
#define MARRAM_DSP_PACKED_DENSE(bits, per_word)                                                                       \
    MARRAM_OPAQUE __attribute__((unused)) static void marram_dsp_packed_dense_##bits(                                 \
        const int8_t *x, int8_t *y, int rows, int depth, int outputs, const uint32_t *weights,                        \
        const int32_t *records, int zero_out, int low, int high, uint32_t *scratch)                                   \
    {                                                                                                                 \
        const int words = (depth + (per_word)-1) / (per_word);                                                        \
        for (; rows > 0; rows--, x += depth, y += outputs) {                                                          \
            const int32_t sum = marram_dsp_packed_expand(x, depth, words * (per_word), scratch);                      \
            const int32_t begin = -sum * (1 << ((bits)-1));                                                           \
            const uint32_t *from = weights;                                                                           \
            for (int channel = 0; channel < outputs; channel += 2) {                                                  \
                const int more = channel + 1 < outputs ? words : 0;                                                   \
                const uint32_t *pairs = scratch;                                                                      \
                int32_t first = begin;                                                                                \
                int32_t second = begin;                                                                               \
                for (const uint32_t *const past = from + words; from != past; from++, pairs += (per_word) / 2) {      \
                    const uint32_t one = from[0];                                                                     \
                    const uint32_t two = from[more];                                                                  \
                    MARRAM_DSP_PACKED_WORD_##bits;                                                                    \
                }                                                                                                     \
                from += more;                                                                                         \
                const int32_t *const record = records + 3 * channel;                                                  \
                y[channel] = marram_dsp_packed_output(first, record, zero_out, low, high);                            \
                if (more) {                                                                                           \
                    y[channel + 1] = marram_dsp_packed_output(second, record + 3, zero_out, low, high);               \
                }                                                                                                     \
            }                                                                                                         \
        }                                                                                                             \
    }
MARRAM_DSP_PACKED_DENSE(4, 8)
MARRAM_DSP_PACKED_DENSE(2, 16)
#endif
