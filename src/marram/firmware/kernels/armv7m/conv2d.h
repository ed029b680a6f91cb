#ifndef MARRAM_ARMV7M_CONV2D_H
#define MARRAM_ARMV7M_CONV2D_H
#include "armv7m/requantise.h"
#include "portable/blocks.h"

/* Two pixels by four channels. weights: (O / 4, K, 4) int8. channels: for each four, four biases and four records of
 * three (see armv7m/requantise.h). */
#if defined(MARRAM_ARMV7M)
/* All fourteen registers are in use: r4 to r7 and r8 to r11 are the sums of the two pixels. The stretch is unrolled by eight
 * and entered where what is left divides by eight; every step is 56 bytes. On the stack: the end of the stretch's weights,
 * the next tap, taps, taps_end, bytes of weights of a stretch, entry, where the two pixels' results go, channels, their end. */
MARRAM_OPAQUE __attribute__((naked)) static void marram_armv7m_pairs(const marram_block *block MARRAM_UNUSED)
{
    __asm__ volatile(".syntax unified\n"
                     "    push {r4-r11, lr}\n"
                     "    ldm r0, {r1-r8}\n"
                     "    mov r0, r5\n"
                     "    add r8, r8, r7\n"
                     "    add r10, r6, r4, lsl #6\n" /* sixteen words of channels for each group */
                     "    mov r9, r6\n"
                     "    rsb r6, r3, #0\n"
                     "    and r6, r6, #7\n"
                     "    rsb r6, r6, r6, lsl #3\n"
                     "    adr lr, 0f\n"
                     "    add r6, lr, r6, lsl #3\n"
                     "    add r6, r6, #1\n" /* Thumb */
                     "    lsl r5, r3, #2\n"
                     "    mov r3, r1\n"
                     "    mov r4, r2\n"
                     "    push {r1-r10}\n"
                     "1:  ldr r1, [sp, #32]\n" /* the next four channels */
                     "    ldr r3, [sp, #8]\n"
                     "    ldm r1!, {r4-r7}\n"
                     "    mov r8, r4\n"
                     "    mov r9, r5\n"
                     "    mov r10, r6\n"
                     "    mov r11, r7\n"
                     "    str r1, [sp, #32]\n"
                     "2:  ldr lr, [sp, #16]\n" /* the next stretch */
                     "    ldm r3!, {r1, r2}\n"
                     "    add lr, lr, r0\n"
                     "    str r3, [sp, #4]\n"
                     "    str lr, [sp]\n"
                     "    ldr r12, [sp, #20]\n"
                     "    bx r12\n"
                     "    .balign 4\n"
                     "0:\n"
                     "    .rept 8\n"
                     "    ldrsb r3, [r1], #1\n"
                     "    ldrsb r12, [r2], #1\n"
                     "    ldrsb lr, [r0], #1\n"
                     "    mla r4, r3, lr, r4\n"
                     "    mla r8, r12, lr, r8\n"
                     "    ldrsb lr, [r0], #1\n"
                     "    mla r5, r3, lr, r5\n"
                     "    mla r9, r12, lr, r9\n"
                     "    ldrsb lr, [r0], #1\n"
                     "    mla r6, r3, lr, r6\n"
                     "    mla r10, r12, lr, r10\n"
                     "    ldrsb lr, [r0], #1\n"
                     "    mla r7, r3, lr, r7\n"
                     "    mla r11, r12, lr, r11\n"
                     "    .endr\n"
                     "    ldr lr, [sp]\n"
                     "    cmp r0, lr\n"
                     "    bne.w 0b\n"
                     "    ldr r3, [sp, #4]\n"
                     "    ldr lr, [sp, #12]\n"
                     "    cmp r3, lr\n"
                     "    bne.w 2b\n"
                     "    str r0, [sp, #4]\n"
                     "    ldr r1, [sp, #32]\n"
                     "    .macro marram_requantise a\n"
                     "    lsls.w \\a, \\a, #1\n"
                     "    mov r0, #0x80000000\n"
                     "    add lr, r2, \\a, asr #31\n"
                     "    smlal r0, lr, \\a, r3\n"
                     "    asr lr, lr, r12\n"
                     "    ssat \\a, #8, lr\n"
                     "    .endm\n"
                     "    .irp pair, 4, 5, 6, 7\n"
                     "    ldm r1!, {r2, r3, r12}\n"
                     "    marram_requantise r\\pair\n"
                     "    .if \\pair == 4\n    marram_requantise r8\n    .endif\n"
                     "    .if \\pair == 5\n    marram_requantise r9\n    .endif\n"
                     "    .if \\pair == 6\n    marram_requantise r10\n    .endif\n"
                     "    .if \\pair == 7\n    marram_requantise r11\n    .endif\n"
                     "    .endr\n"
                     "    .purgem marram_requantise\n"
                     "    ldrd r2, r3, [sp, #24]\n"
                     "    bfi r4, r5, #8, #8\n"
                     "    bfi r4, r6, #16, #8\n"
                     "    bfi r4, r7, #24, #8\n"
                     "    bfi r8, r9, #8, #8\n"
                     "    bfi r8, r10, #16, #8\n"
                     "    bfi r8, r11, #24, #8\n"
                     "    str r4, [r2], #4\n"
                     "    str r8, [r3], #4\n"
                     "    strd r2, r3, [sp, #24]\n"
                     "    ldr r0, [sp, #4]\n"
                     "    str r1, [sp, #32]\n"
                     "    ldr r2, [sp, #36]\n"
                     "    cmp r1, r2\n"
                     "    bne.w 1b\n"
                     "    add sp, sp, #40\n"
                     "    pop {r4-r11, pc}\n");
}

#else
static void marram_armv7m_pairs(const marram_block *b)
{
    const int8_t *k = b->weights;
    const int32_t *channels = b->channels;
    for (int g = 0; g < b->groups; g++, channels += 16) {
        int32_t sums[2][4];
        for (int c = 0; c < 4; c++) {
            sums[0][c] = sums[1][c] = channels[c];
        }
        for (const int8_t *const *tap = b->taps; tap != b->taps_end; tap += 2) {
            for (int i = 0; i < b->length; i++, k += 4) {
                for (int c = 0; c < 4; c++) {
                    sums[0][c] += tap[0][i] * k[c];
                    sums[1][c] += tap[1][i] * k[c];
                }
            }
        }
        for (int p = 0; p < 2; p++) {
            for (int c = 0; c < 4; c++) {
                b->out[p * b->out_stride + 4 * g + c] = marram_armv7m_requantise(sums[p][c], channels + 4 + 3 * c);
            }
        }
    }
}
#endif

MARRAM_NOINLINE static void marram_armv7m_conv2d(const marram_blocks *b, const int8_t *x, int8_t *y,
                                                                         int row_begin, int row_end, void *scratch)
{
    marram_blocks_run(b, x, y, row_begin, row_end, scratch, 2, marram_armv7m_pairs);
}

MARRAM_NOINLINE static void marram_armv7m_conv2d_flat(const marram_blocks *b, const int8_t *x,
                                                                              int8_t *y, int pixels, void *scratch)
{
    marram_blocks_run_flat(b, x, y, pixels, scratch, 2, marram_armv7m_pairs);
}
#endif
