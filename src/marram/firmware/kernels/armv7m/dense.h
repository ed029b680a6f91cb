#ifndef MARRAM_ARMV7M_DENSE_H
#define MARRAM_ARMV7M_DENSE_H
#include "armv7m/requantise.h"
#include "scalar/dense.h"

/* A fully connected layer, eight channels at a time. weights: (O / 8, depth, 8) int8. channels: for each eight, eight biases
 * and eight records of three (see armv7m/requantise.h). */
#if defined(MARRAM_ARMV7M)
/* r4 to r11 are the sums. Unrolled by eight and entered where what is left divides by eight; every step is 68 bytes. On the
 * stack: x, y, bytes of weights of a group, entry, channels, their end. */
MARRAM_OPAQUE __attribute__((naked)) static void
marram_armv7m_dense_eights(const int8_t *x MARRAM_UNUSED, int8_t *y MARRAM_UNUSED, const marram_dense_part *part MARRAM_UNUSED)
{
    __asm__ volatile(".syntax unified\n"
                     "    push {r4-r11, lr}\n"
                     "    ldm r2, {r6-r9}\n"
                     "    lsl r2, r6, #3\n"
                     "    rsb r3, r6, #0\n"
                     "    and r3, r3, #7\n"
                     "    add r3, r3, r3, lsl #4\n"
                     "    adr lr, 0f\n"
                     "    add r3, lr, r3, lsl #2\n"
                     "    add r3, r3, #1\n" /* Thumb */
                     "    mov r4, r9\n"
                     "    add r5, r9, r7, lsl #7\n" /* thirty-two words of channels for each group */
                     "    push {r0-r5}\n"
                     "    mov r0, r8\n"
                     "1:  ldr r2, [sp, #16]\n" /* the next eight channels */
                     "    ldr r1, [sp]\n"
                     "    ldm r2!, {r4-r11}\n"
                     "    str r2, [sp, #16]\n"
                     "    ldrd r2, r3, [sp, #8]\n"
                     "    add lr, r0, r2\n"
                     "    bx r3\n"
                     "    .balign 4\n"
                     "0:\n"
                     "    .rept 8\n"
                     "    ldrsb r2, [r1], #1\n"
                     "    .irp sum, r4, r5, r6, r7, r8, r9, r10, r11\n"
                     "    ldrsb r3, [r0], #1\n"
                     "    mla \\sum, r2, r3, \\sum\n"
                     "    .endr\n"
                     "    .endr\n"
                     "    cmp r0, lr\n"
                     "    bne.w 0b\n"
                     "    ldr r12, [sp, #16]\n"
                     "    .irp sum, r4, r5, r6, r7, r8, r9, r10, r11\n"
                     "    ldm r12!, {r1, r2, r3}\n"
                     "    lsls.w \\sum, \\sum, #1\n"
                     "    mov lr, #0x80000000\n"
                     "    add r1, r1, \\sum, asr #31\n"
                     "    smlal lr, r1, \\sum, r2\n"
                     "    asr r1, r1, r3\n"
                     "    ssat \\sum, #8, r1\n"
                     "    .endr\n"
                     "    ldr r1, [sp, #4]\n"
                     "    .irp sum, r4, r5, r6, r7, r8, r9, r10, r11\n"
                     "    strb \\sum, [r1], #1\n"
                     "    .endr\n"
                     "    str r1, [sp, #4]\n"
                     "    str r12, [sp, #16]\n"
                     "    ldr r2, [sp, #20]\n"
                     "    cmp r12, r2\n"
                     "    bne.w 1b\n"
                     "    add sp, sp, #24\n"
                     "    pop {r4-r11, pc}\n");
}
#else
static void marram_armv7m_dense_eights(const int8_t *x, int8_t *y, const marram_dense_part *part)
{
    const int8_t *k = part->weights;
    const int32_t *channels = part->channels;
    for (int g = 0; g < part->groups; g++, channels += 32) {
        int32_t sums[8];
        for (int c = 0; c < 8; c++) {
            sums[c] = channels[c];
        }
        for (int i = 0; i < part->depth; i++, k += 8) {
            for (int c = 0; c < 8; c++) {
                sums[c] += x[i] * k[c];
            }
        }
        for (int c = 0; c < 8; c++) {
            *y++ = marram_armv7m_requantise(sums[c], channels + 8 + 3 * c);
        }
    }
}
#endif

MARRAM_NOINLINE static void marram_armv7m_dense(const marram_dense_part *full, const marram_dense_part *rest, const int8_t *x,
                                                int8_t *y, int rows, int outputs, int low, int high)
{
    marram_dense_run(full, rest, x, y, rows, outputs, low, high, 8, marram_armv7m_dense_eights);
}
#endif
