#ifndef MARRAM_ARMV6M_DEPTHWISE_CONV2D_H
#define MARRAM_ARMV6M_DEPTHWISE_CONV2D_H
#include "armv6m/requantise.h"
#include "scalar/depthwise_conv2d.h"

/* Depthwise convolution, one to six columns at a time: each byte of the band is read once for the up to three sums that need
 * it. A channel's record is its bias and the four of armv6m/requantise.h. */
#if defined(MARRAM_ARMV6M)
/* r8 to r12 and lr are the sums, r2 to r4 a row of weights. On the stack: y, y_end, y_row, y_step, pitch, the channel's five
 * words, weights, the band. Column j of the band meets sum j / stride and, where the windows overlap, those before it. */
#define MARRAM_ARMV6M_DEPTHWISE(WIDE, STRIDE)                                                                          \
    MARRAM_OPAQUE __attribute__((naked)) static void marram_armv6m_columns_##WIDE##_##STRIDE(                        \
        const int8_t *weights MARRAM_UNUSED, const int8_t *band MARRAM_UNUSED,                                         \
        const int32_t *channel MARRAM_UNUSED, const marram_strip *strip MARRAM_UNUSED)                                 \
    {                                                                                                                  \
        __asm__ volatile("    .syntax unified\n"                                                                       \
                         "    .altmacro\n"                                                                             \
                         "    .macro marram_add k, sum\n"                                                              \
                         "    movs r7, r6\n"                                                                           \
                         "    muls r7, r\\k, r7\n"                                                                     \
                         "    .if \\sum == 14\n"                                                                       \
                         "    add lr, lr, r7\n"                                                                        \
                         "    .else\n"                                                                                 \
                         "    add r\\sum, r\\sum, r7\n"                                                                \
                         "    .endif\n"                                                                                \
                         "    .endm\n"                                                                                 \
                         "    .macro marram_column j\n"                                                                \
                         "    ldrsb r6, [r1, r5]\n"                                                                    \
                         "    adds r5, r5, #1\n"                                                                       \
                         "    .set marram_k, 2\n"                                                                      \
                         "    .rept 3\n"                                                                               \
                         "    .if (\\j - marram_k) >= 0\n"                                                             \
                         "    .if (\\j - marram_k) % " #STRIDE " == 0\n"                                               \
                         "    .if (\\j - marram_k) / " #STRIDE " < " #WIDE "\n"                                        \
                         "    .set marram_s, 8 + (\\j - marram_k) / " #STRIDE "\n"                                     \
                         "    .if marram_s == 13\n"                                                                    \
                         "    .set marram_s, 14\n"                                                                     \
                         "    .endif\n"                                                                                \
                         "    marram_add %(2 + marram_k), %marram_s\n"                                                 \
                         "    .endif\n"                                                                                \
                         "    .endif\n"                                                                                \
                         "    .endif\n"                                                                                \
                         "    .set marram_k, marram_k - 1\n"                                                           \
                         "    .endr\n"                                                                                 \
                         "    .endm\n"                                                                                 \
                         "    push {r4-r7, lr}\n"                                                                      \
                         "    mov r4, r8\n"                                                                            \
                         "    mov r5, r9\n"                                                                            \
                         "    mov r6, r10\n"                                                                           \
                         "    mov r7, r11\n"                                                                           \
                         "    push {r4-r7}\n"                                                                          \
                         "    sub sp, sp, #48\n"                                                                       \
                         "    str r0, [sp, #40]\n"                                                                     \
                         "    str r1, [sp, #44]\n"                                                                     \
                         "    ldmia r3!, {r0, r1, r4, r5, r6}\n"                                                       \
                         "    str r0, [sp, #0]\n"                                                                      \
                         "    str r1, [sp, #4]\n"                                                                      \
                         "    str r4, [sp, #8]\n"                                                                      \
                         "    str r5, [sp, #12]\n"                                                                     \
                         "    str r6, [sp, #16]\n"                                                                     \
                         "    ldmia r2!, {r0, r1, r4, r5, r6}\n"                                                       \
                         "    str r0, [sp, #20]\n"                                                                     \
                         "    str r1, [sp, #24]\n"                                                                     \
                         "    str r4, [sp, #28]\n"                                                                     \
                         "    str r5, [sp, #32]\n"                                                                     \
                         "    str r6, [sp, #36]\n"                                                                     \
                         "1:\n"                                                                                        \
                         "    ldr r6, [sp, #20]\n"                                                                     \
                         "    .irp sum, r8, r9, r10, r11, r12, lr\n"                                                   \
                         "    mov \\sum, r6\n"                                                                         \
                         "    .endr\n"                                                                                 \
                         "    ldr r0, [sp, #40]\n"                                                                     \
                         "    ldr r1, [sp, #44]\n"                                                                     \
                         "    .irp row, 0, 1, 2\n"                                                                     \
                         "    movs r5, #3 * \\row\n"                                                                   \
                         "    ldrsb r2, [r0, r5]\n"                                                                    \
                         "    adds r5, r5, #1\n"                                                                       \
                         "    ldrsb r3, [r0, r5]\n"                                                                    \
                         "    adds r5, r5, #1\n"                                                                       \
                         "    ldrsb r4, [r0, r5]\n"                                                                    \
                         "    movs r5, #0\n"                                                                           \
                         "    .set marram_j, 0\n"                                                                      \
                         "    .rept (" #WIDE " - 1) * " #STRIDE " + 3\n"                                               \
                         "    marram_column %marram_j\n"                                                               \
                         "    .set marram_j, marram_j + 1\n"                                                           \
                         "    .endr\n"                                                                                 \
                         "    .if \\row < 2\n"                                                                         \
                         "    ldr r5, [sp, #16]\n"                                                                     \
                         "    adds r1, r1, r5\n"                                                                       \
                         "    .endif\n"                                                                                \
                         "    .if \\row + 1 == " #STRIDE "\n"                                                          \
                         "    str r1, [sp, #44]\n"                                                                     \
                         "    .endif\n"                                                                                \
                         "    .endr\n"                                                                                 \
                         "    add r3, sp, #24\n"                                                                       \
                         "    ldmia r3!, {r0-r2}\n"                                                                    \
                         "    ldr r3, [r3]\n"                                                                          \
                         "    ldr r4, [sp]\n"                                                                          \
                         "    ldr r5, [sp, #8]\n"                                                                      \
                         "    adds r5, r4, r5\n"                                                                       \
                         "    str r5, [sp]\n"                                                                          \
                         "    .if " #WIDE " > 0\n"                                                                     \
                         "    mov r7, r8\n"                                                                            \
                         MARRAM_ARMV6M_REQUANTISE                                                                      \
                         "    ldr r4, [sp]\n"                                                                          \
                         "    ldr r5, [sp, #8]\n"                                                                      \
                         "    subs r4, r4, r5\n"                                                                       \
                         "    strb r6, [r4]\n"                                                                         \
                         "    .if " #WIDE " > 1\n"                                                                     \
                         "    ldr r5, [sp, #12]\n"                                                                     \
                         "    adds r4, r4, r5\n"                                                                       \
                         "    mov r8, r4\n"                                                                            \
                         "    .endif\n"                                                                                \
                         "    .endif\n"                                                                                \
                         "    .if " #WIDE " > 1\n"                                                                     \
                         "    mov r7, r9\n"                                                                            \
                         MARRAM_ARMV6M_REQUANTISE                                                                      \
                         "    mov r4, r8\n"                                                                            \
                         "    strb r6, [r4]\n"                                                                         \
                         "    .if " #WIDE " > 2\n"                                                                     \
                         "    ldr r5, [sp, #12]\n"                                                                     \
                         "    add r8, r8, r5\n"                                                                        \
                         "    .endif\n"                                                                                \
                         "    .endif\n"                                                                                \
                         "    .if " #WIDE " > 2\n"                                                                     \
                         "    mov r7, r10\n"                                                                           \
                         MARRAM_ARMV6M_REQUANTISE                                                                      \
                         "    mov r4, r8\n"                                                                            \
                         "    strb r6, [r4]\n"                                                                         \
                         "    .if " #WIDE " > 3\n"                                                                     \
                         "    ldr r5, [sp, #12]\n"                                                                     \
                         "    add r8, r8, r5\n"                                                                        \
                         "    .endif\n"                                                                                \
                         "    .endif\n"                                                                                \
                         "    .if " #WIDE " > 3\n"                                                                     \
                         "    mov r7, r11\n"                                                                           \
                         MARRAM_ARMV6M_REQUANTISE                                                                      \
                         "    mov r4, r8\n"                                                                            \
                         "    strb r6, [r4]\n"                                                                         \
                         "    .if " #WIDE " > 4\n"                                                                     \
                         "    ldr r5, [sp, #12]\n"                                                                     \
                         "    add r8, r8, r5\n"                                                                        \
                         "    .endif\n"                                                                                \
                         "    .endif\n"                                                                                \
                         "    .if " #WIDE " > 4\n"                                                                     \
                         "    mov r7, r12\n"                                                                           \
                         MARRAM_ARMV6M_REQUANTISE                                                                      \
                         "    mov r4, r8\n"                                                                            \
                         "    strb r6, [r4]\n"                                                                         \
                         "    .if " #WIDE " > 5\n"                                                                     \
                         "    ldr r5, [sp, #12]\n"                                                                     \
                         "    add r8, r8, r5\n"                                                                        \
                         "    .endif\n"                                                                                \
                         "    .endif\n"                                                                                \
                         "    .if " #WIDE " > 5\n"                                                                     \
                         "    mov r7, lr\n"                                                                            \
                         MARRAM_ARMV6M_REQUANTISE                                                                      \
                         "    mov r4, r8\n"                                                                            \
                         "    strb r6, [r4]\n"                                                                         \
                         "    .endif\n"                                                                                \
                         "    ldr r4, [sp]\n"                                                                          \
                         "    ldr r5, [sp, #4]\n"                                                                      \
                         "    cmp r4, r5\n"                                                                            \
                         "    beq 2f\n"                                                                                \
                         "    b 1b\n"                                                                                  \
                         "2:\n"                                                                                        \
                         "    add sp, sp, #48\n"                                                                       \
                         "    pop {r4-r7}\n"                                                                           \
                         "    mov r8, r4\n"                                                                            \
                         "    mov r9, r5\n"                                                                            \
                         "    mov r10, r6\n"                                                                           \
                         "    mov r11, r7\n"                                                                           \
                         "    pop {r4-r7, pc}\n"                                                                       \
                         "    .purgem marram_add\n"                                                                    \
                         "    .purgem marram_column\n"                                                                 \
                         "    .noaltmacro\n");                                                                         \
    }
#else
#define MARRAM_ARMV6M_DEPTHWISE(WIDE, STRIDE)                                                                          \
    MARRAM_COLUMNS_PLAIN(marram_armv6m_columns_##WIDE##_##STRIDE, WIDE, STRIDE, marram_armv6m_requantise)
#endif
#endif
