#ifndef MARRAM_MVE_DENSE_H
#define MARRAM_MVE_DENSE_H
#include "mve/output.h"

/* Fully connected layer on `rows` vectors of layer->depth bytes.
 *
 * weights: for each 4 outputs, for each 16 of depth, 16 bytes of each of the 4, zeros after the end. 4 outputs at a time: 5
 * loads for 4 VMLADAVA of 16 products each; the tail of the depth is predicated, so nothing is read after the vector. */
#if MARRAM_MVE
/* The offsets stand in the assembly. */
typedef struct {
    const int8_t *x;
    const int8_t *weights;
    const int32_t *channels;
    int8_t *y;
    int32_t depth, outputs, zero, low, high;
} marram_mve_vector;
_Static_assert(sizeof(marram_mve_vector) == 36, "offsets in the assembly");

#define MARRAM_MVE_DENSE_AWAY "vshr.s32 q1, q0, #31\n\tvadd.i32 q0, q0, q1\n\t"
#define MARRAM_MVE_DENSE_NARROW "vqmovnb.s32 q0, q0\n\tvqmovnb.s16 q0, q0\n\t"
#define MARRAM_MVE_DENSE_CLAMP           \
    "ldrd r2, r4, [r11, #28]\n\t"        \
    "vdup.32 q1, r2\n\t"                 \
    "vdup.32 q2, r4\n\t"                 \
    "vmax.s32 q0, q0, q1\n\t"            \
    "vmin.s32 q0, q0, q2\n\t"

#define MARRAM_MVE_DENSE(AWAY, LIMIT)                                                                    \
    __asm volatile("ldrd r9, r3, [r11]\n\t"                                                              \
                   "ldrd r10, r5, [r11, #8]\n\t"                                                         \
                   "ldrd r8, r12, [r11, #16]\n\t"                                                        \
                   "2:\n\t"                                                                              \
                   "mov r1, r9\n\t"                                                                      \
                   "movs r0, #0\n\t"                                                                     \
                   "movs r2, #0\n\t"                                                                     \
                   "movs r4, #0\n\t"                                                                     \
                   "movs r6, #0\n\t"                                                                     \
                   "dlstp.8 lr, r8\n\t"                                                                  \
                   "1:\n\t"                                                                              \
                   "vldrb.8 q0, [r1], #16\n\t"                                                           \
                   "vldrb.8 q1, [r3], #16\n\t"                                                           \
                   "vmladava.s8 r0, q0, q1\n\t"                                                          \
                   "vldrb.8 q2, [r3], #16\n\t"                                                           \
                   "vmladava.s8 r2, q0, q2\n\t"                                                          \
                   "vldrb.8 q1, [r3], #16\n\t"                                                           \
                   "vmladava.s8 r4, q0, q1\n\t"                                                          \
                   "vldrb.8 q2, [r3], #16\n\t"                                                           \
                   "vmladava.s8 r6, q0, q2\n\t"                                                          \
                   "letp lr, 1b\n\t"                                                                     \
                   "vmov q0[2], q0[0], r0, r4\n\t"                                                       \
                   "vmov q0[3], q0[1], r2, r6\n\t"                                                       \
                   "vldrw.32 q1, [r10], #16\n\t"                                                         \
                   "vldrw.32 q2, [r10], #16\n\t"                                                         \
                   "vldrw.32 q3, [r10], #16\n\t"                                                         \
                   "ldr r0, [r11, #24]\n\t"                                                              \
                   "vadd.i32 q0, q0, q1\n\t"                                                             \
                   "vqrdmulh.s32 q0, q0, q2\n\t" AWAY                                                    \
                   "vrshl.s32 q0, q0, q3\n\t"                                                            \
                   "vctp.32 r12\n\t"                                                                     \
                   "vadd.i32 q0, q0, r0\n\t" LIMIT                                                       \
                   "vpst\n\t"                                                                            \
                   "vstrbt.32 q0, [r5], #4\n\t"                                                          \
                   "subs r12, r12, #4\n\t"                                                               \
                   "bgt 2b\n\t"                                                                          \
                   :                                                                                     \
                   : "r"(at)                                                                             \
                   : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r12", "lr", "cc",     \
                     "memory", "q0", "q1", "q2", "q3")
#endif

MARRAM_INLINE void marram_mve_dense(const marram_mve_layer *layer, const int8_t *x, int8_t *y, int rows, int mode)
{
    for (; rows > 0; rows--, x += layer->depth, y += layer->outputs) {
#if MARRAM_MVE
        marram_mve_vector vector = {x,           layer->weights, layer->channels, y,          layer->depth, layer->outputs,
                                    layer->zero, layer->low,     layer->high};
        register marram_mve_vector *at __asm("r11") = &vector;
        if (mode == 0) {
            MARRAM_MVE_DENSE("", MARRAM_MVE_DENSE_NARROW);
        } else if (mode == MARRAM_MVE_SIGNED) {
            MARRAM_MVE_DENSE(MARRAM_MVE_DENSE_AWAY, MARRAM_MVE_DENSE_NARROW);
        } else if (mode == MARRAM_MVE_CLAMPED) {
            MARRAM_MVE_DENSE("", MARRAM_MVE_DENSE_CLAMP);
        } else {
            MARRAM_MVE_DENSE(MARRAM_MVE_DENSE_AWAY, MARRAM_MVE_DENSE_CLAMP);
        }
#else
        (void)mode;
        const int steps = (layer->depth + 15) >> 4;
        for (int o = 0; o < layer->outputs; o++) {
            const int8_t *weights = layer->weights + (o >> 2) * 64 * steps + (o & 3) * 16;
            int32_t sum = 0;
            for (int k = 0; k < layer->depth; k++) {
                sum += x[k] * weights[(k >> 4) * 64 + (k & 15)];
            }
            y[o] = marram_mve_requantise_one(sum, layer->channels + (o >> 2) * 12, o & 3, layer->zero, layer->low,
                                             layer->high);
        }
#endif
    }
}

#define MARRAM_MVE_DENSE_OF(MODE)                                                                                  \
    MARRAM_MVE_SHARED void marram_mve_dense_##MODE(const marram_mve_layer *layer, const int8_t *x, int8_t *y, int rows) \
    {                                                                                                              \
        marram_mve_dense(layer, x, y, rows, MODE);                                                                 \
    }
MARRAM_MVE_DENSE_OF(0)
MARRAM_MVE_DENSE_OF(1)
MARRAM_MVE_DENSE_OF(2)
MARRAM_MVE_DENSE_OF(3)
#endif
