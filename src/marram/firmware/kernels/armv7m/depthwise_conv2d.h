#ifndef MARRAM_ARMV7M_DEPTHWISE_CONV2D_H
#define MARRAM_ARMV7M_DEPTHWISE_CONV2D_H
#include "armv7m/requantise.h"
#include "scalar/depthwise_conv2d.h"

/* Depthwise convolution, one to six columns at a time: each byte of the band is read once for the up to three sums that need
 * it. A channel's record is its bias and the three of armv7m/requantise.h. */
#if defined(MARRAM_ARMV7M)
/* r4 to r9 are the sums, r10 to r12 a row of weights, r3 the bias. On the stack: y, y_end, y_row, y_step, pitch, half,
 * multiplier, right. Column j of the band meets sum j / stride and, where the windows overlap, the one or two before it. */
#define MARRAM_ARMV7M_DEPTHWISE(WIDE, STRIDE)                                                                          \
    MARRAM_OPAQUE __attribute__((naked)) static void marram_armv7m_columns_##WIDE##_##STRIDE(                    \
        const int8_t *weights MARRAM_UNUSED, const int8_t *band MARRAM_UNUSED,                                         \
        const int32_t *channel MARRAM_UNUSED, const marram_strip *strip MARRAM_UNUSED)                                 \
    {                                                                                                                  \
        __asm__ volatile(".syntax unified\n"                                                                           \
                         "    .altmacro\n"                                                                             \
                         "    .macro marram_add sum, weight, from\n"                                                   \
                         "    mla r\\sum, lr, r\\weight, r\\from\n"                                                    \
                         "    .endm\n"                                                                                 \
                         "    .macro marram_column j, row\n"                                                           \
                         "    ldrsb.w lr, [r1, #\\j]\n"                                                                \
                         "    .set marram_k, 2\n"                                                                      \
                         "    .rept 3\n" /* a sum is first met by the weight of column 0 */                            \
                         "    .if (\\j - marram_k) >= 0\n"                                                             \
                         "    .if (\\j - marram_k) % " #STRIDE " == 0\n"                                               \
                         "    .if (\\j - marram_k) / " #STRIDE " < " #WIDE "\n"                                        \
                         "    .set marram_s, 4 + (\\j - marram_k) / " #STRIDE "\n"                                     \
                         "    .if marram_k + \\row == 0\n"                                                             \
                         "    marram_add %marram_s, %(10 + marram_k), 3\n"                                             \
                         "    .else\n"                                                                                 \
                         "    marram_add %marram_s, %(10 + marram_k), %marram_s\n"                                     \
                         "    .endif\n    .endif\n    .endif\n    .endif\n"                                            \
                         "    .set marram_k, marram_k - 1\n"                                                           \
                         "    .endr\n"                                                                                 \
                         "    .endm\n"                                                                                 \
                         "    push {r4-r11, lr}\n"                                                                     \
                         "    ldm r3, {r4-r8}\n"                                                                       \
                         "    ldm r2, {r3, r9, r10, r11}\n"                                                            \
                         "    push {r4-r11}\n"                                                                         \
                         "1:  ldr r2, [sp, #16]\n"                                                                     \
                         "    .irp row, 0, 1, 2\n"                                                                     \
                         "    ldrsb.w r10, [r0, #3 * \\row]\n"                                                         \
                         "    ldrsb.w r11, [r0, #3 * \\row + 1]\n"                                                     \
                         "    ldrsb.w r12, [r0, #3 * \\row + 2]\n"                                                     \
                         "    .set marram_j, 0\n"                                                                      \
                         "    .rept (" #WIDE " - 1) * " #STRIDE " + 3\n"                                               \
                         "    marram_column %marram_j, \\row\n"                                                        \
                         "    .set marram_j, marram_j + 1\n"                                                           \
                         "    .endr\n"                                                                                 \
                         "    .if \\row < 2\n    add r1, r1, r2\n    .endif\n"                                         \
                         "    .endr\n"                                                                                 \
                         "    .if " #STRIDE " == 1\n    sub r1, r1, r2\n    .endif\n"                                  \
                         "    ldrd r10, r11, [sp, #20]\n"                                                              \
                         "    ldr r12, [sp, #28]\n"                                                                    \
                         "    .macro marram_requantise sum\n"                                                          \
                         "    lsls.w r\\sum, r\\sum, #1\n"                                                             \
                         "    mov lr, #0x80000000\n"                                                                   \
                         "    add r2, r10, r\\sum, asr #31\n"                                                          \
                         "    smlal lr, r2, r\\sum, r11\n"                                                             \
                         "    asr r2, r2, r12\n"                                                                       \
                         "    ssat r\\sum, #8, r2\n"                                                                   \
                         "    .endm\n"                                                                                 \
                         "    .set marram_s, 4\n"                                                                      \
                         "    .rept " #WIDE "\n"                                                                       \
                         "    marram_requantise %marram_s\n"                                                           \
                         "    .set marram_s, marram_s + 1\n"                                                           \
                         "    .endr\n"                                                                                 \
                         "    ldr r2, [sp]\n"                                                                          \
                         "    ldrd r10, r11, [sp, #8]\n" /* y_row, y_step */                                           \
                         "    strb.w r4, [r2]\n"                                                                       \
                         "    .if " #WIDE " > 1\n    strb.w r5, [r2, r11]\n    .endif\n"                               \
                         "    .if " #WIDE " > 2\n    strb.w r6, [r2, r11, lsl #1]\n    .endif\n"                       \
                         "    .if " #WIDE " > 3\n    add lr, r2, r11\n    strb.w r7, [lr, r11, lsl #1]\n    .endif\n"  \
                         "    .if " #WIDE " > 4\n    strb.w r8, [r2, r11, lsl #2]\n    .endif\n"                       \
                         "    .if " #WIDE " > 5\n    strb.w r9, [lr, r11, lsl #2]\n    .endif\n"                       \
                         "    ldr lr, [sp, #4]\n"                                                                      \
                         "    add r2, r2, r10\n"                                                                       \
                         "    str r2, [sp]\n"                                                                          \
                         "    cmp r2, lr\n"                                                                            \
                         "    bne.w 1b\n"                                                                              \
                         "    add sp, sp, #32\n"                                                                       \
                         "    pop {r4-r11, pc}\n"                                                                      \
                         "    .purgem marram_add\n    .purgem marram_column\n    .purgem marram_requantise\n"          \
                         "    .noaltmacro\n");                                                                         \
    }
#else
#define MARRAM_ARMV7M_DEPTHWISE(WIDE, STRIDE)                                                                          \
    MARRAM_COLUMNS_PLAIN(marram_armv7m_columns_##WIDE##_##STRIDE, WIDE, STRIDE, marram_armv7m_requantise)
#endif
#endif
