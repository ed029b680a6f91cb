#ifndef MARRAM_ARMV6M_PRODUCTS_H
#define MARRAM_ARMV6M_PRODUCTS_H
#include "armv6m/requantise.h"

/* One row of bytes at r4 times four rows at r0 to r3, r12 bytes each, added to r8 to r11. Changes r5 to r7. r6 is where to enter:
 * unrolled by eight, entered where what is left divides by eight; every step is 28 bytes. For convolution the four rows are
 * pixels and the one a channel's weights, for dense layers the four are weights and the one is the input. */
#define MARRAM_ARMV6M_PRODUCTS                                                                                         \
    "    movs r5, #0\n"                                                                                                \
    "    bx r6\n"                                                                                                      \
    "    .balign 4\n"                                                                                                  \
    "0:\n"                                                                                                             \
    "    .rept 8\n"                                                                                                    \
    "    ldrsb r6, [r4, r5]\n"                                                                                         \
    "    ldrsb r7, [r0, r5]\n"                                                                                         \
    "    muls r7, r6, r7\n"                                                                                            \
    "    add r8, r8, r7\n"                                                                                             \
    "    ldrsb r7, [r1, r5]\n"                                                                                         \
    "    muls r7, r6, r7\n"                                                                                            \
    "    add r9, r9, r7\n"                                                                                             \
    "    ldrsb r7, [r2, r5]\n"                                                                                         \
    "    muls r7, r6, r7\n"                                                                                            \
    "    add r10, r10, r7\n"                                                                                           \
    "    ldrsb r7, [r3, r5]\n"                                                                                         \
    "    muls r7, r6, r7\n"                                                                                            \
    "    add r11, r11, r7\n"                                                                                           \
    "    adds r5, r5, #1\n"                                                                                            \
    "    .endr\n"                                                                                                      \
    "    cmp r5, r12\n"                                                                                                \
    "    bne 0b\n"

/* r6 becomes the place to enter for r5 bytes; changes r5 and r7. */
#define MARRAM_ARMV6M_ENTRY                                                                                            \
    "    rsbs r5, r5, #0\n"                                                                                            \
    "    movs r7, #7\n"                                                                                                \
    "    ands r5, r7\n"                                                                                                \
    "    movs r7, #28\n"                                                                                               \
    "    muls r5, r7, r5\n"                                                                                            \
    "    adr r6, 0f\n"                                                                                                 \
    "    adds r6, r6, r5\n"                                                                                            \
    "    adds r6, r6, #1\n" /* Thumb */

#define MARRAM_ARMV6M_PUSH                                                                                             \
    "    push {r4-r7, lr}\n"                                                                                           \
    "    mov r4, r8\n"                                                                                                 \
    "    mov r5, r9\n"                                                                                                 \
    "    mov r6, r10\n"                                                                                                \
    "    mov r7, r11\n"                                                                                                \
    "    push {r4-r7}\n"

#define MARRAM_ARMV6M_POP                                                                                              \
    "    pop {r4-r7}\n"                                                                                                \
    "    mov r8, r4\n"                                                                                                 \
    "    mov r9, r5\n"                                                                                                 \
    "    mov r10, r6\n"                                                                                                \
    "    mov r11, r7\n"                                                                                                \
    "    pop {r4-r7, pc}\n"
#endif
