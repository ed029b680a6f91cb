#ifndef MARRAM_ARMV6M_DENSE_H
#define MARRAM_ARMV6M_DENSE_H
#include "armv6m/products.h"
#include "scalar/dense.h"

/* A fully connected layer, four channels at a time. weights: (O rounded up to four, depth) int8. channels: for each four, four
 * biases and four records of four (see armv6m/requantise.h). */
#if defined(MARRAM_ARMV6M)
/* On the stack: x, y, depth, entry, channels, their end, weights. */
MARRAM_OPAQUE __attribute__((naked)) static void
marram_armv6m_dense_fours(const int8_t *x MARRAM_UNUSED, int8_t *y MARRAM_UNUSED, const marram_dense_part *part MARRAM_UNUSED)
{
    __asm__ volatile(".syntax unified\n"
                     MARRAM_ARMV6M_PUSH
                     "    sub sp, sp, #28\n"
                     "    ldmia r2!, {r3-r6}\n"
                     "    str r0, [sp]\n"
                     "    str r1, [sp, #4]\n"
                     "    str r3, [sp, #8]\n"
                     "    str r6, [sp, #16]\n"
                     "    movs r0, #80\n" /* twenty words of channels each */
                     "    muls r4, r0, r4\n"
                     "    adds r4, r4, r6\n"
                     "    str r4, [sp, #20]\n"
                     "    str r5, [sp, #24]\n"
                     "    mov r12, r3\n"
                     "    movs r5, r3\n"
                     MARRAM_ARMV6M_ENTRY
                     "    str r6, [sp, #12]\n"
                     "1:  ldr r7, [sp, #16]\n" /* the next four channels */
                     "    ldmia r7!, {r0-r3}\n"
                     "    str r7, [sp, #16]\n"
                     "    mov r8, r0\n"
                     "    mov r9, r1\n"
                     "    mov r10, r2\n"
                     "    mov r11, r3\n"
                     "    ldr r0, [sp, #24]\n"
                     "    ldr r5, [sp, #8]\n"
                     "    adds r1, r0, r5\n"
                     "    adds r2, r1, r5\n"
                     "    adds r3, r2, r5\n"
                     "    adds r6, r3, r5\n"
                     "    str r6, [sp, #24]\n"
                     "    ldr r4, [sp]\n"
                     "    ldr r6, [sp, #12]\n"
                     MARRAM_ARMV6M_PRODUCTS
                     "    .irp sum, r8, r9, r10, r11\n"
                     "    ldr r4, [sp, #16]\n"
                     "    ldmia r4!, {r0-r3}\n"
                     "    str r4, [sp, #16]\n"
                     "    mov r7, \\sum\n"
                     MARRAM_ARMV6M_REQUANTISE
                     "    ldr r4, [sp, #4]\n"
                     "    strb r6, [r4]\n"
                     "    adds r4, r4, #1\n"
                     "    str r4, [sp, #4]\n"
                     "    .endr\n"
                     "    ldr r4, [sp, #16]\n"
                     "    ldr r5, [sp, #20]\n"
                     "    cmp r4, r5\n"
                     "    beq 4f\n"
                     "    b 1b\n"
                     "4:  add sp, sp, #28\n"
                     MARRAM_ARMV6M_POP);
}
#else
static void marram_armv6m_dense_fours(const int8_t *x, int8_t *y, const marram_dense_part *part)
{
    for (int o = 0; o < 4 * part->groups; o++) {
        const int32_t *group = part->channels + 20 * (o / 4);
        int32_t sum = group[o % 4];
        for (int i = 0; i < part->depth; i++) {
            sum += x[i] * part->weights[o * part->depth + i];
        }
        y[o] = marram_armv6m_requantise(sum, group + 4 + 4 * (o % 4));
    }
}
#endif

MARRAM_NOINLINE static void marram_armv6m_dense(const marram_dense_part *full, const marram_dense_part *rest, const int8_t *x,
                                                int8_t *y, int rows, int outputs, int low, int high)
{
    marram_dense_run(full, rest, x, y, rows, outputs, low, high, 4, marram_armv6m_dense_fours);
}
#endif
