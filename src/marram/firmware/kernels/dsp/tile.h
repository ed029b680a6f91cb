#ifndef MARRAM_DSP_TILE_H
#define MARRAM_DSP_TILE_H
#include "dsp/intrinsics.h"

/* Three pixels by two output channels at a time, the inputs of the three pixels gathered beforehand.
 *
 * Weights are words of four int8 along the depth, with the even ones (0 and 2) moved by 128 to be unsigned: a half
 * of such a word is h = 256 * o + (e + 128) for weights e and o. Inputs become two pairs of int16 for each four: a =
 * (x0, x2) and b = (x1, x3) - 128 - 256 * a. Then a * h + b * o = x_even * e + x_odd * o + 128 * x_even - 128 * o,
 * so the raw word serves as one operand and only the other is unpacked. The sum of -128 * x_even is gathered with
 * the pixels and begins the accumulators; the sum of 128 * o is in the bias. Sums may wrap round on the way: all is
 * modulo 2^32, and the final sum fits.
 *
 * Gathered: 6 words of beginnings (three pixels, twice), then for each 4 inputs a of three pixels and b of three
 * pixels. Stream of a pair of channels: for each 4 inputs a word of each channel; then a word of shifts and, for
 * each channel, twice its bias and its multiplier. Shifts are one less than they are; the first in bits 0-7, the
 * second in bits 16-23; bit 15 is set in the last pair. */

#define MARRAM_DSP_BEGINNINGS 6 /* words before the gathered inputs */

typedef const uint32_t *marram_dsp_tile(const uint32_t *gathered, const uint32_t *stream, int8_t *y, int groups,
                                        int second, int third, int zero);

#if MARRAM_DSP
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter" /* assembly finds them in registers */
#define MARRAM_DSP_GATHER_GROUP   \
    "ldr r7, [r1], #4\n"          \
    "ldr r8, [r2], #4\n"          \
    "ldr r9, [r3], #4\n"          \
    "sxtb16 r4, r7\n"             \
    "sxtb16 r5, r8\n"             \
    "sxtb16 r6, r9\n"             \
    "rev16 r7, r7\n"              \
    "rev16 r8, r8\n"              \
    "rev16 r9, r9\n"              \
    "smlad r10, r4, r12, r10\n"   \
    "smlad r11, r5, r12, r11\n"   \
    "smlad lr, r6, r12, lr\n"     \
    "eor r7, r7, r12\n"           \
    "eor r8, r8, r12\n"           \
    "eor r9, r9, r12\n"           \
    "stmia r0!, {r4-r9}\n"

/* Appends 4 * groups inputs of each of three pixels at `to`, adds to the beginnings, returns where the next ones go.
 * The pair (-128, -128) happens to be what flips the bytes of x0 x1 into b. */
MARRAM_OPAQUE __attribute__((naked)) static uint32_t *marram_dsp_gather(uint32_t *to, const int8_t *first,
                                                                            const int8_t *second, const int8_t *third,
                                                                            int groups, uint32_t *beginnings)
{
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r11, lr}\n"
                     "ldrd r4, r5, [sp, #36]\n"
                     "add r6, r1, r4, lsl #2\n"
                     "str r6, [sp, #36]\n"
                     "mvn r12, #0x007f007f\n"
                     "ldm r5, {r10, r11, lr}\n"
                     "lsls r4, r4, #31\n"
                     "bne 2f\n"
                     "1:\n" MARRAM_DSP_GATHER_GROUP "2:\n" MARRAM_DSP_GATHER_GROUP "ldr r4, [sp, #36]\n"
                     "cmp r1, r4\n"
                     "bne 1b\n"
                     "ldr r5, [sp, #40]\n"
                     "stmia r5!, {r10, r11, lr}\n"
                     "stmia r5, {r10, r11, lr}\n"
                     "pop {r4-r11, pc}\n");
}

/* Four inputs of three pixels with the weights of two channels, 62 bytes of code. */
#define MARRAM_DSP_TILE_GROUP        \
    "ldmia.n r4!, {r5, r6}\n"        \
    "ldmia.n r3!, {r0, r1, r2}\n"    \
    "smlad r7, r0, r5, r7\n"         \
    "smlad r8, r1, r5, r8\n"         \
    "smlad r9, r2, r5, r9\n"         \
    "smlad r10, r0, r6, r10\n"       \
    "smlad r11, r1, r6, r11\n"       \
    "smlad r12, r2, r6, r12\n"       \
    "ldmia.n r3!, {r0, r1, r2}\n"    \
    "sxtb16 r5, r5, ror #8\n"        \
    "sxtb16 r6, r6, ror #8\n"        \
    "smlad r7, r0, r5, r7\n"         \
    "smlad r8, r1, r5, r8\n"         \
    "smlad r9, r2, r5, r9\n"         \
    "smlad r10, r0, r6, r10\n"       \
    "smlad r11, r1, r6, r11\n"       \
    "smlad r12, r2, r6, r12\n"

#define MARRAM_DSP_TILE_FOUR MARRAM_DSP_TILE_GROUP MARRAM_DSP_TILE_GROUP MARRAM_DSP_TILE_GROUP MARRAM_DSP_TILE_GROUP

/* On the stack: 0 zero, 4 second, 8 third, 12 y, 16 gathered, 20 its end, 24 where the unrolled loop is entered, so
 * that any number of groups runs through it. */
#define MARRAM_DSP_TILE_BEGIN        \
    ".syntax unified\n"              \
    "push {r4-r11, lr}\n"            \
    "ldrd r5, r6, [sp, #36]\n"       \
    "ldr r7, [sp, #44]\n"            \
    "sub sp, #28\n"                  \
    "strd r7, r5, [sp]\n"            \
    "strd r6, r2, [sp, #8]\n"        \
    "mov r4, r1\n"                   \
    "add r5, r3, r3, lsl #1\n"       \
    "add r5, r0, r5, lsl #3\n"       \
    "add lr, r5, #24\n"              \
    "strd r0, lr, [sp, #16]\n"       \
    "rsb r6, r3, #0\n"               \
    "and r6, r6, #7\n"               \
    "movs r7, #62\n"                 \
    "muls r6, r7, r6\n"              \
    "adr.w r7, 1f\n"                 \
    "adds r6, r6, #1\n"              \
    "add r6, r6, r7\n"               \
    "str r6, [sp, #24]\n"            \
    "mov r3, r0\n"                   \
    "2:\n"                           \
    "ldmia r3!, {r7-r12}\n"          \
    "ldr pc, [sp, #24]\n"            \
    ".balign 4\n"                    \
    "1:\n" MARRAM_DSP_TILE_FOUR MARRAM_DSP_TILE_FOUR \
    "cmp r3, lr\n"                   \
    "bne 1b\n"

/* r0 shift - 1, r1 twice the bias, r2 multiplier, r3 rounding and zero point: (2 * zero_point + 1) << (shift - 1). */
#define MARRAM_DSP_TILE_STORE(sum, to)   \
    "add " sum ", r1, " sum ", lsl #1\n" \
    "smmlar " sum ", " sum ", r2, r3\n"  \
    "asr " sum ", " sum ", r0\n"         \
    "ssat " sum ", #8, " sum ", asr #1\n" \
    "strb " sum ", " to "\n"

/* Halves away from zero: one less where the sum is negative. */
#define MARRAM_DSP_TILE_STORE_AWAY(sum, with, to) \
    "add " sum ", r1, " sum ", lsl #1\n"          \
    "smmlar " with ", " sum ", r2, r3\n"          \
    "add " with ", " with ", " sum ", asr #31\n"  \
    "asr " with ", " with ", r0\n"                \
    "ssat " with ", #8, " with ", asr #1\n"       \
    "strb " with ", " to "\n"

#define MARRAM_DSP_TILE_FIRST         \
    "ldmia r4!, {r0, r1, r2}\n"       \
    "ldm sp, {r3, r5, r6, lr}\n"      \
    "lsl r3, r3, r0\n"

#define MARRAM_DSP_TILE_SECOND        \
    "ldmia r4!, {r1, r2}\n"           \
    "ldr r3, [sp]\n"                  \
    "lsrs r0, r0, #16\n"              \
    "lsl.w r3, r3, r0\n"

#define MARRAM_DSP_TILE_END           \
    "str lr, [sp, #12]\n"             \
    "ldrd r3, lr, [sp, #16]\n"        \
    "bcc 2b\n"                        \
    "add sp, #28\n"                   \
    "mov r0, r4\n"                    \
    "pop {r4-r11, pc}\n"

/* The outputs of three pixels: at y, y + second and y + third, written from the last to the first, so that a pixel
 * that is not there may stand at the place of the first. Returns the end of the stream. For layers that clamp at the
 * zero point. */
MARRAM_OPAQUE __attribute__((naked)) static const uint32_t *marram_dsp_tile_floored(const uint32_t *gathered,
                                                                                       const uint32_t *stream,
                                                                                       int8_t *y,
                                                                                       int groups, int second,
                                                                                       int third, int zero)
{
    __asm__ volatile(MARRAM_DSP_TILE_BEGIN MARRAM_DSP_TILE_FIRST
                     MARRAM_DSP_TILE_STORE("r9", "[lr, r6]") MARRAM_DSP_TILE_STORE("r8", "[lr, r5]")
                     MARRAM_DSP_TILE_STORE("r7", "[lr], #1") MARRAM_DSP_TILE_SECOND
                     MARRAM_DSP_TILE_STORE("r12", "[lr, r6]") MARRAM_DSP_TILE_STORE("r11", "[lr, r5]")
                     MARRAM_DSP_TILE_STORE("r10", "[lr], #1") MARRAM_DSP_TILE_END);
}

/* The same for layers with outputs below the zero point. */
MARRAM_OPAQUE __attribute__((naked)) static const uint32_t *marram_dsp_tile_away(const uint32_t *gathered,
                                                                                    const uint32_t *stream, int8_t *y,
                                                                                    int groups, int second,
                                                                                    int third, int zero)
{
    __asm__ volatile(MARRAM_DSP_TILE_BEGIN MARRAM_DSP_TILE_FIRST
                     MARRAM_DSP_TILE_STORE_AWAY("r9", "r5", "[lr, r6]")
                     "ldr r5, [sp, #4]\n" MARRAM_DSP_TILE_STORE_AWAY("r8", "r9", "[lr, r5]")
                     MARRAM_DSP_TILE_STORE_AWAY("r7", "r9", "[lr], #1") MARRAM_DSP_TILE_SECOND
                     MARRAM_DSP_TILE_STORE_AWAY("r12", "r9", "[lr, r6]") MARRAM_DSP_TILE_STORE_AWAY("r11", "r9",
                                                                                                    "[lr, r5]")
                     MARRAM_DSP_TILE_STORE_AWAY("r10", "r9", "[lr], #1") MARRAM_DSP_TILE_END);
}
#pragma GCC diagnostic pop
#else
MARRAM_OPAQUE static uint32_t *marram_dsp_gather(uint32_t *to, const int8_t *first, const int8_t *second,
                                                     const int8_t *third, int groups, uint32_t *beginnings)
{
    const int8_t *const pixels[3] = {first, second, third};
    for (int group = 0; group < groups; group++, to += 6) {
        for (int pixel = 0; pixel < 3; pixel++) {
            const int8_t *x = pixels[pixel] + 4 * group;
            to[pixel] = marram_pair(x[0], x[2]);
            to[3 + pixel] = marram_pair(x[1] - 128 - 256 * x[0], x[3] - 128 - 256 * x[2]);
            beginnings[pixel] -= (uint32_t)(128 * (x[0] + x[2]));
            beginnings[3 + pixel] = beginnings[pixel];
        }
    }
    return to;
}

MARRAM_INLINE uint32_t marram_dsp_term(uint32_t sum, uint32_t a, uint32_t b, uint32_t word)
{
    const uint32_t odd = marram_odd(word);
    return sum + (uint32_t)(marram_low(a) * marram_low(word)) + (uint32_t)(marram_high(a) * marram_high(word)) +
           (uint32_t)(marram_low(b) * marram_low(odd)) + (uint32_t)(marram_high(b) * marram_high(odd));
}

MARRAM_INLINE int8_t marram_dsp_output(uint32_t sum, const uint32_t *channel, uint32_t shift, int zero, int away)
{
    const int32_t twice = (int32_t)(channel[0] + 2u * sum);
    const int32_t product = marram_smmlar(twice, (int32_t)channel[1], (int32_t)((uint32_t)zero << shift));
    return (int8_t)marram_narrow((product + (away ? twice >> 31 : 0)) >> shift, 1);
}

MARRAM_OPAQUE static const uint32_t *marram_dsp_tile_plain(const uint32_t *gathered, const uint32_t *stream,
                                                               int8_t *y,
                                                              int groups, int second, int third, int zero, int away)
{
    const int places[3] = {0, second, third};
    for (;;) {
        const uint32_t *const ending = stream + 2 * groups;
        for (int channel = 0; channel < 2; channel++, y++) {
            for (int pixel = 2; pixel >= 0; pixel--) {
                uint32_t sum = gathered[pixel];
                for (int group = 0; group < groups; group++) {
                    const uint32_t *x = gathered + MARRAM_DSP_BEGINNINGS + 6 * group + pixel;
                    sum = marram_dsp_term(sum, x[0], x[3], stream[2 * group + channel]);
                }
                const uint32_t shift = (ending[0] >> (16 * channel)) & 0xffu;
                y[places[pixel]] = marram_dsp_output(sum, ending + 1 + 2 * channel, channel ? shift : shift & 0x7fu,
                                                     zero, away);
            }
        }
        stream = ending + 5;
        if (ending[0] & 0x8000u) {
            return stream;
        }
    }
}

MARRAM_OPAQUE static const uint32_t *marram_dsp_tile_floored(const uint32_t *gathered, const uint32_t *stream,
                                                                 int8_t *y,
                                                                int groups, int second, int third, int zero)
{
    return marram_dsp_tile_plain(gathered, stream, y, groups, second, third, zero, 0);
}

MARRAM_OPAQUE static const uint32_t *marram_dsp_tile_away(const uint32_t *gathered, const uint32_t *stream,
                                                              int8_t *y,
                                                             int groups, int second, int third, int zero)
{
    return marram_dsp_tile_plain(gathered, stream, y, groups, second, third, zero, 1);
}
#endif

#ifdef MARRAM_DSP_ODD_CHANNELS /* a layer of this model has an odd number of channels */
/* All outputs of a tile with an odd number of channels: the last two are made again by a pair of their own; a single
 * channel is a pair of itself. */
MARRAM_OPAQUE static void marram_dsp_outputs_odd(marram_dsp_tile *tile, const uint32_t *gathered,
                                                     const uint32_t *stream,
                                                     int8_t *y, int channels, int groups, int second, int third,
                                                     int zero)
{
    if (channels == 1) {
        int8_t twice[6];
        (void)tile(gathered, stream, twice, groups, 2, 4, zero);
        y[third] = twice[4];
        y[second] = twice[2];
        y[0] = twice[0];
        return;
    }
    stream = tile(gathered, stream, y, groups, second, third, zero);
    (void)tile(gathered, stream, y + channels - 2, groups, second, third, zero);
}

#endif

/* All outputs of a tile. */
MARRAM_INLINE void marram_dsp_outputs(marram_dsp_tile *tile, const uint32_t *gathered, const uint32_t *stream,
                                      int8_t *y, int channels, int groups, int second, int third, int zero)
{
#ifdef MARRAM_DSP_ODD_CHANNELS
    if (channels & 1) {
        marram_dsp_outputs_odd(tile, gathered, stream, y, channels, groups, second, third, zero);
        return;
    }
#else
    (void)channels;
#endif
    (void)tile(gathered, stream, y, groups, second, third, zero);
}
#endif
