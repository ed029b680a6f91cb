#ifndef MARRAM_MVE_PRODUCT_H
#define MARRAM_MVE_PRODUCT_H
#include "mve/output.h"

/* Products of `pixels` vectors of `depth` bytes, `stride` bytes apart, with all rows of the weights: (pixels, outputs) to y.
 *
 * weights: for each 4 outputs two halves, outputs 0 and 2, outputs 1 and 3; in a half for each 16 of depth 16 bytes of the one
 * and 16 of the other; zeros after the end. The vectors are read up to the next multiple of 16 of depth.
 * 3 vectors x 2 outputs at a time: 5 loads for 6 VMLADAV of 16 products each, in the 6 even registers that it can sum in.
 * Vectors missing in the last block are stood in for by its first one, which makes the same bytes again. */
#if MARRAM_MVE
/* What the loop over the outputs keeps in memory, as the even registers are sums and r7 may be a frame pointer. The offsets
 * stand in the assembly. */
typedef struct {
    const int8_t *x[3];
    const int8_t *weights;
    int32_t more, back;
    const int32_t *channels;
    int8_t *y[3];
    int32_t left, zero, low, high;
} marram_mve_block;
_Static_assert(sizeof(marram_mve_block) == 56, "offsets in the assembly");

#define MARRAM_MVE_STEP(SUM)         \
    "vldrb.8 q0, [r1], #16\n\t"      \
    "vldrb.8 q3, [r9], #16\n\t"      \
    SUM " r0, q0, q3\n\t"            \
    "vldrb.8 q1, [r3], #16\n\t"      \
    SUM " r4, q1, q3\n\t"            \
    "vldrb.8 q2, [r5], #16\n\t"      \
    SUM " r8, q2, q3\n\t"            \
    "vldrb.8 q3, [r9], #16\n\t"      \
    SUM " r2, q0, q3\n\t"            \
    SUM " r6, q1, q3\n\t"            \
    SUM " r10, q2, q3\n\t"

#define MARRAM_MVE_HALF(HIGH, LOW)                   \
    "ldr lr, [r11, #16]\n\t"                         \
    MARRAM_MVE_STEP("vmladav.s8")                    \
    "wls lr, lr, 2f\n\t"                             \
    "1:\n\t"                                         \
    MARRAM_MVE_STEP("vmladava.s8")                   \
    "le lr, 1b\n\t"                                  \
    "2:\n\t"                                         \
    "vmov q4[" HIGH "], q4[" LOW "], r0, r2\n\t"     \
    "vmov q5[" HIGH "], q5[" LOW "], r4, r6\n\t"     \
    "vmov q6[" HIGH "], q6[" LOW "], r8, r10\n\t"    \
    "sub r1, r1, r12\n\t"                            \
    "sub r3, r3, r12\n\t"                            \
    "sub r5, r5, r12\n\t"

/* The constants of 4 outputs are at r0. */
#define MARRAM_MVE_HIGH                  \
    "vldrw.32 q0, [r0], #16\n\t"         \
    "vldrw.32 q1, [r0], #16\n\t"         \
    "vldrw.32 q2, [r0], #16\n\t"         \
    "vadd.i32 q4, q4, q0\n\t"            \
    "vadd.i32 q5, q5, q0\n\t"            \
    "vadd.i32 q6, q6, q0\n\t"            \
    "vqrdmulh.s32 q4, q4, q1\n\t"        \
    "vqrdmulh.s32 q5, q5, q1\n\t"        \
    "vqrdmulh.s32 q6, q6, q1\n\t"

#define MARRAM_MVE_AWAY                  \
    "vshr.s32 q0, q4, #31\n\t"           \
    "vshr.s32 q1, q5, #31\n\t"           \
    "vshr.s32 q3, q6, #31\n\t"           \
    "vadd.i32 q4, q4, q0\n\t"            \
    "vadd.i32 q5, q5, q1\n\t"            \
    "vadd.i32 q6, q6, q3\n\t"

#define MARRAM_MVE_LOW                   \
    "vrshl.s32 q4, q4, q2\n\t"           \
    "vrshl.s32 q5, q5, q2\n\t"           \
    "vrshl.s32 q6, q6, q2\n\t"           \
    "vadd.i32 q4, q4, r2\n\t"            \
    "vadd.i32 q5, q5, r2\n\t"            \
    "vadd.i32 q6, q6, r2\n\t"

#define MARRAM_MVE_CLAMP                 \
    "ldrd r4, r6, [r11, #48]\n\t"        \
    "vdup.32 q0, r4\n\t"                 \
    "vdup.32 q1, r6\n\t"                 \
    "vmax.s32 q4, q4, q0\n\t"            \
    "vmax.s32 q5, q5, q0\n\t"            \
    "vmax.s32 q6, q6, q0\n\t"            \
    "vmin.s32 q4, q4, q1\n\t"            \
    "vmin.s32 q5, q5, q1\n\t"            \
    "vmin.s32 q6, q6, q1\n\t"

/* To int8 in the low byte of each lane. */
#define MARRAM_MVE_NARROW                \
    "vqmovnb.s32 q4, q4\n\t"             \
    "vqmovnb.s32 q5, q5\n\t"             \
    "vqmovnb.s32 q6, q6\n\t"             \
    "vqmovnb.s16 q4, q4\n\t"             \
    "vqmovnb.s16 q5, q5\n\t"             \
    "vqmovnb.s16 q6, q6\n\t"

#define MARRAM_MVE_OUTPUTS(AWAY, LIMIT)                                                                        \
    __asm volatile("ldrd r1, r3, [r11]\n\t"                                                                    \
                   "ldrd r5, r9, [r11, #8]\n\t"                                                                \
                   "ldr r12, [r11, #20]\n\t"                                                                   \
                   "3:\n\t" MARRAM_MVE_HALF("2", "0") MARRAM_MVE_HALF("3", "1")                                \
                   "ldr r0, [r11, #24]\n\t"                                                                    \
                   "ldrd r8, r2, [r11, #40]\n\t" MARRAM_MVE_HIGH AWAY MARRAM_MVE_LOW LIMIT                     \
                   "str r0, [r11, #24]\n\t"                                                                    \
                   "ldrd r0, r2, [r11, #28]\n\t"                                                               \
                   "ldr r4, [r11, #36]\n\t"                                                                    \
                   "vctp.32 r8\n\t"                                                                            \
                   "vpsttt\n\t"                                                                                \
                   "vstrbt.32 q4, [r0], #4\n\t"                                                                \
                   "vstrbt.32 q5, [r2], #4\n\t"                                                                \
                   "vstrbt.32 q6, [r4], #4\n\t"                                                                \
                   "subs r8, r8, #4\n\t"                                                                       \
                   "strd r0, r2, [r11, #28]\n\t"                                                               \
                   "strd r4, r8, [r11, #36]\n\t"                                                               \
                   "bgt 3b\n\t"                                                                                \
                   :                                                                                           \
                   : "r"(at)                                                                                   \
                   : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r12", "lr", "cc", "memory", \
                     "q0", "q1", "q2", "q3", "q4", "q5", "q6")

MARRAM_INLINE void marram_mve_product(const marram_mve_layer *layer, const int8_t *x, int stride, int8_t *y, int pixels,
                                      int mode)
{
    marram_mve_block block;
    block.x[0] = x;
    block.back = (layer->depth + 15) & ~15;
    block.more = (block.back >> 4) - 1;
    block.zero = layer->zero;
    block.low = layer->low;
    block.high = layer->high;
    for (; pixels > 0; pixels -= 3) {
        const int outputs = layer->outputs;
        block.weights = layer->weights;
        block.channels = layer->channels;
        block.left = outputs;
        block.x[1] = block.x[2] = block.x[0];
        block.y[0] = block.y[1] = block.y[2] = y;
        if (pixels > 1) {
            block.x[1] += stride;
            block.y[1] += outputs;
        }
        if (pixels > 2) {
            block.x[2] += 2 * stride;
            block.y[2] += 2 * outputs;
        }
        y += 3 * outputs;
        register marram_mve_block *at __asm("r11") = &block;
        if (mode == 0) {
            MARRAM_MVE_OUTPUTS("", MARRAM_MVE_NARROW);
        } else if (mode == MARRAM_MVE_SIGNED) {
            MARRAM_MVE_OUTPUTS(MARRAM_MVE_AWAY, MARRAM_MVE_NARROW);
        } else if (mode == MARRAM_MVE_CLAMPED) {
            MARRAM_MVE_OUTPUTS("", MARRAM_MVE_CLAMP);
        } else {
            MARRAM_MVE_OUTPUTS(MARRAM_MVE_AWAY, MARRAM_MVE_CLAMP);
        }
        block.x[0] += 3 * stride;
    }
}
#else
MARRAM_INLINE void marram_mve_product(const marram_mve_layer *layer, const int8_t *x, int stride, int8_t *y, int pixels,
                                      int mode)
{
    (void)mode;
    const int steps = (layer->depth + 15) >> 4;
    for (; pixels > 0; pixels--, x += stride) {
        for (int o = 0; o < layer->outputs; o++) {
            const int8_t *weights = layer->weights + (o & ~3) * 16 * steps + (o & 1) * 32 * steps + (o & 2) * 8;
            int32_t sum = 0;
            for (int k = 0; k < layer->depth; k++) {
                sum += x[k] * weights[(k >> 4) * 32 + (k & 15)];
            }
            *y++ = marram_mve_requantise_one(sum, layer->channels + (o >> 2) * 12, o & 3, layer->zero, layer->low,
                                             layer->high);
        }
    }
}
#endif

#define MARRAM_MVE_PRODUCT(MODE)                                                                                     \
    MARRAM_MVE_SHARED void marram_mve_product_##MODE(const marram_mve_layer *layer, const int8_t *x, int stride,     \
                                                     int8_t *y, int pixels)                                          \
    {                                                                                                                \
        marram_mve_product(layer, x, stride, y, pixels, MODE);                                                       \
    }
MARRAM_MVE_PRODUCT(0)
MARRAM_MVE_PRODUCT(1)
MARRAM_MVE_PRODUCT(2)
MARRAM_MVE_PRODUCT(3)
#endif
