#ifndef MARRAM_DSP_DENSE_H
#define MARRAM_DSP_DENSE_H
#include "dsp/tile.h"

/* One vector by four output channels at a time. Weights and inputs are as in dsp/tile.h, the pairs a and b of four
 * inputs beside each other. A vector is expanded once into scratch, or, without scratch, again for every four
 * channels: `raw`. Stream of four channels: for each 4 inputs a word of each; then a word of their shifts less one,
 * the first in bits 0-7, and for each channel twice its bias and its multiplier. `beginning` is -128 times the sum
 * of the even inputs. */
typedef void marram_dsp_quads(const void *x, const uint32_t *stream, int8_t *y, int groups, int channels,
                              int32_t beginning, int zero);

#define MARRAM_DSP_FLIP 0xff80ff80u /* x1 x0 -> x1 - 128 - 256 * x0; as a pair, (-128, -128) */

#if MARRAM_DSP
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter" /* assembly finds them in registers */
#define MARRAM_DSP_QUAD_SUM(sum, w)              \
    "smlad " sum ", r1, " w ", " sum "\n"        \
    "sxtb16 " w ", " w ", ror #8\n"              \
    "smlad " sum ", r0, " w ", " sum "\n"
#define MARRAM_DSP_QUAD_SUMS                                                       \
    "ldmia.n r3!, {r4-r7}\n" MARRAM_DSP_QUAD_SUM("r8", "r4") MARRAM_DSP_QUAD_SUM("r9", "r5") \
    MARRAM_DSP_QUAD_SUM("r10", "r6") MARRAM_DSP_QUAD_SUM("r11", "r7")

/* Four inputs with four channels: 64 and 52 bytes of code. */
#define MARRAM_DSP_QUAD_RAW     \
    "ldr r0, [r2], #4\n"        \
    "sxtb16 r1, r0\n"           \
    "rev16.n r0, r0\n"          \
    "eor.w r0, r0, r12\n" MARRAM_DSP_QUAD_SUMS
#define MARRAM_DSP_QUAD_EXPANDED "ldmia.n r2!, {r0, r1}\n" MARRAM_DSP_QUAD_SUMS

/* On the stack: 0 beginning, four times, 16 zero, 20 y, 24 x, 28 its end, 32 entry of the unrolled loop, 36 end of
 * y. */
#define MARRAM_DSP_QUAD_BEGIN(group, bytes, shift) \
    ".syntax unified\n"                     \
    "push {r4-r11, lr}\n"                   \
    "ldr r4, [sp, #36]\n"                   \
    "ldrd r8, r5, [sp, #40]\n"              \
    "sub sp, #40\n"                         \
    "mov r9, r8\n"                          \
    "strd r8, r9, [sp]\n"                   \
    "strd r8, r9, [sp, #8]\n"               \
    "strd r5, r2, [sp, #16]\n"              \
    "add r4, r4, r2\n"                      \
    "add lr, r0, r3, lsl #" shift "\n"      \
    "strd r0, lr, [sp, #24]\n"              \
    "rsb r6, r3, #0\n"                      \
    "and r6, r6, #3\n"                      \
    "movs r7, #" bytes "\n"                 \
    "muls r6, r7, r6\n"                     \
    "adr.w r7, 1f\n"                        \
    "adds r6, r6, #1\n"                     \
    "add r6, r6, r7\n"                      \
    "strd r6, r4, [sp, #32]\n"              \
    "mov r2, r0\n"                          \
    "mov r3, r1\n"                          \
    "mvn r12, #0x007f007f\n"                \
    "2:\n"                                  \
    "ldm sp, {r8-r11}\n"                    \
    "ldr pc, [sp, #32]\n"                   \
    ".balign 4\n"                           \
    "1:\n" group group group group          \
    "cmp r2, lr\n"                          \
    "bne 1b\n"

/* r0 shift less one in its lowest byte, r1 twice the bias, r4 multiplier, r5 zero, r6 y. */
#define MARRAM_DSP_QUAD_STORE(sum)         \
    "ldmia.n r3!, {r1, r4}\n"              \
    "lsl.w r7, r5, r0\n"                   \
    "add " sum ", r1, " sum ", lsl #1\n"   \
    "smmlar " sum ", " sum ", r4, r7\n"    \
    "asr " sum ", " sum ", r0\n"           \
    "ssat " sum ", #8, " sum ", asr #1\n"  \
    "strb " sum ", [r6], #1\n"
#define MARRAM_DSP_QUAD_STORE_AWAY(sum)    \
    "ldmia.n r3!, {r1, r4}\n"              \
    "lsl.w r7, r5, r0\n"                   \
    "add " sum ", r1, " sum ", lsl #1\n"   \
    "smmlar r2, " sum ", r4, r7\n"         \
    "add r2, r2, " sum ", asr #31\n"       \
    "asr r2, r2, r0\n"                     \
    "ssat r2, #8, r2, asr #1\n"            \
    "strb r2, [r6], #1\n"
#define MARRAM_DSP_QUAD_END(store)         \
    "ldmia.n r3!, {r0}\n"                  \
    "ldrd r5, r6, [sp, #16]\n"             \
    store("r8") "lsrs r0, r0, #8\n"        \
    store("r9") "lsrs r0, r0, #8\n"        \
    store("r10") "lsrs r0, r0, #8\n"       \
    store("r11")                           \
    "ldr r7, [sp, #36]\n"                  \
    "str r6, [sp, #20]\n"                  \
    "ldrd r2, lr, [sp, #24]\n"             \
    "cmp r6, r7\n"                         \
    "bne 2b\n"                             \
    "add sp, #40\n"                        \
    "pop {r4-r11, pc}\n"

#define MARRAM_DSP_QUADS(name, group, bytes, shift, store)                                                \
    MARRAM_OPAQUE __attribute__((naked)) static void name(const void *x, const uint32_t *stream,       \
                                                              int8_t *y, int groups, int channels,         \
                                                              int32_t beginning, int zero)                 \
    {                                                                                                      \
        __asm__ volatile(MARRAM_DSP_QUAD_BEGIN(group, bytes, shift) MARRAM_DSP_QUAD_END(store));           \
    }
MARRAM_DSP_QUADS(marram_dsp_quads_raw_floored, MARRAM_DSP_QUAD_RAW, "64", "2", MARRAM_DSP_QUAD_STORE)
MARRAM_DSP_QUADS(marram_dsp_quads_raw_away, MARRAM_DSP_QUAD_RAW, "64", "2", MARRAM_DSP_QUAD_STORE_AWAY)
MARRAM_DSP_QUADS(marram_dsp_quads_expanded_floored, MARRAM_DSP_QUAD_EXPANDED, "52", "3", MARRAM_DSP_QUAD_STORE)
MARRAM_DSP_QUADS(marram_dsp_quads_expanded_away, MARRAM_DSP_QUAD_EXPANDED, "52", "3", MARRAM_DSP_QUAD_STORE_AWAY)
#pragma GCC diagnostic pop
#else
MARRAM_INLINE uint32_t marram_dsp_flipped(uint32_t word)
{
    return (((word & 0x00ff00ffu) << 8) | ((word >> 8) & 0x00ff00ffu)) ^ MARRAM_DSP_FLIP;
}

MARRAM_OPAQUE static void marram_dsp_quads_plain(const void *x, int raw, const uint32_t *stream, int8_t *y,
                                                     int groups, int channels, int32_t beginning, int zero, int away)
{
    for (int channel = 0; channel < channels; channel++) {
        const uint32_t *const quad = stream + (channel & ~3) / 4 * (4 * groups + 9);
        uint32_t sum = (uint32_t)beginning;
        for (int group = 0; group < groups; group++) {
            const uint32_t first = marram_load32((const int8_t *)x + (raw ? 4 : 8) * group);
            const uint32_t a = raw ? marram_even(first) : marram_load32((const int8_t *)x + 8 * group + 4);
            sum = marram_dsp_term(sum, a, raw ? marram_dsp_flipped(first) : first, quad[4 * group + (channel & 3)]);
        }
        const uint32_t *const ending = quad + 4 * groups;
        const uint32_t shift = (ending[0] >> (8 * (channel & 3))) & 0xffu;
        y[channel] = marram_dsp_output(sum, ending + 1 + 2 * (channel & 3), shift, zero, away);
    }
}

#define MARRAM_DSP_QUADS(name, raw, away)                                                                             \
    MARRAM_OPAQUE static void name(const void *x, const uint32_t *stream, int8_t *y, int groups, int channels,    \
                                       int32_t beginning, int zero)                                                   \
    {                                                                                                                 \
        marram_dsp_quads_plain(x, raw, stream, y, groups, channels, beginning, zero, away);                           \
    }
MARRAM_DSP_QUADS(marram_dsp_quads_raw_floored, 1, 0)
MARRAM_DSP_QUADS(marram_dsp_quads_raw_away, 1, 1)
MARRAM_DSP_QUADS(marram_dsp_quads_expanded_floored, 0, 0)
MARRAM_DSP_QUADS(marram_dsp_quads_expanded_away, 0, 1)
#endif

/* -128 times the sum of the even inputs of 4 * groups. */
MARRAM_OPAQUE static int32_t marram_dsp_beginning(const int8_t *x, int groups)
{
    int32_t sum = 0;
    for (; groups > 0; groups--, x += 4) {
        sum = marram_smlad(marram_even(marram_load32(x)), MARRAM_DSP_FLIP, sum);
    }
    return sum;
}

/* Expands depth inputs into 8 bytes for each 4, what is missing of the last 4 as zeros. Returns the beginning. */
MARRAM_OPAQUE static int32_t marram_dsp_expand(const int8_t *x, int depth, uint32_t *to)
{
    int32_t sum = 0;
    for (; depth > 0; depth -= 4, x += 4, to += 2) {
        uint32_t word = 0;
        if (depth >= 4) {
            word = marram_load32(x);
        } else {
            memcpy(&word, x, (size_t)depth);
        }
#if MARRAM_DSP
        __asm__("rev16 %0, %1" : "=r"(to[0]) : "r"(word));
        to[0] ^= MARRAM_DSP_FLIP;
#else
        to[0] = marram_dsp_flipped(word);
#endif
        to[1] = marram_even(word);
        sum = marram_smlad(to[1], MARRAM_DSP_FLIP, sum);
    }
    return sum;
}
#endif
