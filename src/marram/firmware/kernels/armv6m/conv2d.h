#ifndef MARRAM_ARMV6M_CONV2D_H
#define MARRAM_ARMV6M_CONV2D_H
#include "armv6m/products.h"
#include "portable/blocks.h"

/* Four pixels by one channel. weights: (O, K) int8. channels: for each channel its bias and a record of four (see
 * armv6m/requantise.h). */
#if defined(MARRAM_ARMV6M)
/* On the stack: weights, taps, taps_end, entry, channels, their end, out, out_stride, length. */
MARRAM_OPAQUE __attribute__((naked)) static void marram_armv6m_fours(const marram_block *block MARRAM_UNUSED)
{
    __asm__ volatile(".syntax unified\n"
                     MARRAM_ARMV6M_PUSH
                     "    sub sp, sp, #36\n"
                     "    ldmia r0!, {r1-r7}\n"
                     "    str r5, [sp]\n"
                     "    str r1, [sp, #4]\n"
                     "    str r2, [sp, #8]\n"
                     "    str r6, [sp, #16]\n"
                     "    movs r1, #20\n" /* five words of channels each */
                     "    muls r4, r1, r4\n"
                     "    adds r4, r4, r6\n"
                     "    str r4, [sp, #20]\n"
                     "    str r7, [sp, #24]\n"
                     "    ldr r0, [r0]\n"
                     "    str r0, [sp, #28]\n"
                     "    str r3, [sp, #32]\n"
                     "    movs r5, r3\n"
                     MARRAM_ARMV6M_ENTRY
                     "    str r6, [sp, #12]\n"
                     "1:  ldr r7, [sp, #16]\n" /* the next channel */
                     "    ldr r6, [r7]\n"
                     "    mov r8, r6\n"
                     "    mov r9, r6\n"
                     "    mov r10, r6\n"
                     "    mov r11, r6\n"
                     "    ldr r5, [sp, #32]\n"
                     "    mov r12, r5\n"
                     "    ldr r4, [sp]\n"
                     "    ldr r7, [sp, #4]\n"
                     "2:  ldmia r7!, {r0-r3}\n" /* the next stretch */
                     "    mov lr, r7\n"
                     "    ldr r6, [sp, #12]\n"
                     MARRAM_ARMV6M_PRODUCTS
                     "    add r4, r4, r12\n"
                     "    mov r7, lr\n"
                     "    ldr r6, [sp, #8]\n"
                     "    cmp r7, r6\n"
                     "    beq 3f\n"
                     "    b 2b\n"
                     "3:  str r4, [sp]\n"
                     "    ldr r4, [sp, #16]\n"
                     "    adds r4, r4, #4\n"
                     "    ldmia r4!, {r0-r3}\n"
                     "    str r4, [sp, #16]\n"
                     "    ldr r4, [sp, #24]\n"
                     "    mov r12, r4\n"
                     "    adds r4, r4, #1\n"
                     "    str r4, [sp, #24]\n"
                     "    .irp sum, r8, r9, r10, r11\n"
                     "    mov r7, \\sum\n"
                     MARRAM_ARMV6M_REQUANTISE
                     "    mov r4, r12\n"
                     "    strb r6, [r4]\n"
                     "    ldr r5, [sp, #28]\n"
                     "    add r12, r12, r5\n"
                     "    .endr\n"
                     "    ldr r4, [sp, #16]\n"
                     "    ldr r5, [sp, #20]\n"
                     "    cmp r4, r5\n"
                     "    beq 4f\n"
                     "    b 1b\n"
                     "4:  add sp, sp, #36\n"
                     MARRAM_ARMV6M_POP);
}
#else
static void marram_armv6m_fours(const marram_block *b)
{
    const int8_t *k = b->weights;
    for (int o = 0; o < b->groups; o++) {
        const int32_t *channel = b->channels + 5 * o;
        int32_t sums[4] = {channel[0], channel[0], channel[0], channel[0]};
        for (const int8_t *const *tap = b->taps; tap != b->taps_end; tap += 4, k += b->length) {
            for (int i = 0; i < b->length; i++) {
                for (int p = 0; p < 4; p++) {
                    sums[p] += tap[p][i] * k[i];
                }
            }
        }
        for (int p = 0; p < 4; p++) {
            b->out[p * b->out_stride + o] = marram_armv6m_requantise(sums[p], channel + 1);
        }
    }
}
#endif

MARRAM_NOINLINE static void marram_armv6m_conv2d(const marram_blocks *b, const int8_t *x, int8_t *y, int row_begin,
                                                 int row_end, void *scratch)
{
    marram_blocks_run(b, x, y, row_begin, row_end, scratch, 4, marram_armv6m_fours);
}

MARRAM_NOINLINE static void marram_armv6m_conv2d_flat(const marram_blocks *b, const int8_t *x, int8_t *y, int pixels,
                                                      void *scratch)
{
    marram_blocks_run_flat(b, x, y, pixels, scratch, 4, marram_armv6m_fours);
}
#endif
