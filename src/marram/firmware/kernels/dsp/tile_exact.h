#ifndef MARRAM_DSP_TILE_EXACT_H
#define MARRAM_DSP_TILE_EXACT_H
#include "common/requantise.h"
#include "dsp/requantise.h"
#include "dsp/tile.h"

/* Tiles for any multiplier, shift and clamp. The pair's weights are followed by a word of low (bits 0-7), high
 * (8-15), whether it is the last pair (16) and whether both channels fit marram_dsp_scale (17), and by bias,
 * multiplier and shift of each channel. */
#if MARRAM_DSP
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter" /* assembly finds them in registers */
/* Six sums: three pixels of the first channel, three of the second. */
MARRAM_OPAQUE __attribute__((naked)) static void marram_dsp_sums(const uint32_t *gathered, const uint32_t *stream,
                                                                     uint32_t *sums, int groups)
{
    __asm__ volatile(".syntax unified\n"
                     "push {r2, r4-r11, lr}\n"
                     "mov r4, r1\n"
                     "add lr, r3, r3, lsl #1\n"
                     "add lr, r0, lr, lsl #3\n"
                     "add lr, lr, #24\n"
                     "mov r3, r0\n"
                     "ldmia r3!, {r7-r12}\n"
                     "1:\n" MARRAM_DSP_TILE_GROUP
                     "cmp r3, lr\n"
                     "bne 1b\n"
                     "pop {r0}\n"
                     "stmia r0, {r7-r12}\n"
                     "pop {r4-r11, pc}\n");
}
#pragma GCC diagnostic pop
#else
MARRAM_OPAQUE static void marram_dsp_sums(const uint32_t *gathered, const uint32_t *stream, uint32_t *sums,
                                              int groups)
{
    for (int index = 0; index < 6; index++) {
        sums[index] = gathered[index];
        for (int group = 0; group < groups; group++) {
            const uint32_t *x = gathered + MARRAM_DSP_BEGINNINGS + 6 * group + index % 3;
            sums[index] = marram_dsp_term(sums[index], x[0], x[3], stream[2 * group + index / 3]);
        }
    }
}
#endif

/* One channel of three pixels. by: bias, multiplier, shift. Apart from its caller for the sake of the stack. */
MARRAM_OPAQUE static void marram_dsp_exactly(const uint32_t *sums, const uint32_t *by, uint32_t clamp, int8_t *y,
                                                 int second, int third, int zero)
{
    const int right = -(int32_t)by[2];
    for (int pixel = 2; pixel >= 0; pixel--) {
        const int32_t sum = (int32_t)(sums[pixel] + by[0]);
        int32_t value;
        if (clamp & 0x20000u) {
            value = marram_dsp_scale(sum, (int32_t)by[1], right, (int32_t)((uint32_t)zero << (right - 1)), 1);
        } else {
            value = marram_multiply(sum, (int32_t)by[1], -right) + (zero >> 1);
        }
        const int32_t place = pixel == 2 ? third : pixel == 1 ? second : 0;
        y[place] = (int8_t)marram_clamp(value, (int8_t)(uint8_t)clamp, (int8_t)(uint8_t)(clamp >> 8));
    }
}

MARRAM_OPAQUE static const uint32_t *marram_dsp_tile_exact(const uint32_t *gathered, const uint32_t *stream,
                                                               int8_t *y,
                                                              int groups, int second, int third, int zero)
{
    for (;;) {
        uint32_t sums[6];
        const uint32_t *const ending = stream + 2 * groups;
        marram_dsp_sums(gathered, stream, sums, groups);
        marram_dsp_exactly(sums, ending + 1, ending[0], y, second, third, zero);
        marram_dsp_exactly(sums + 3, ending + 4, ending[0], y + 1, second, third, zero);
        y += 2;
        stream = ending + 7;
        if (ending[0] & 0x10000u) {
            return stream;
        }
    }
}
#endif
