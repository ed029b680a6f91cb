#ifndef MARRAM_MVE_PRODUCT_H
#define MARRAM_MVE_PRODUCT_H
#include "mve/output.h"

/* Products of vectors of bytes with all rows of the weights: work that is handed over in memory, as the even registers are
 * sums, r7 may be a frame pointer, and copies would be stack. The offsets of what comes before `layer` stand in the assembly.
 *
 * Given: x[0], the first vector; `stride` bytes further the next one; `pixels` of them; y[0], to which (pixels, outputs) go.
 * Nothing of it is kept. */
typedef struct {
    const int8_t *x[3];
    const int8_t *weights;
    int32_t more, back;
    const int32_t *channels;
    int8_t *y[3];
    int32_t left, zero, low, high;
    const marram_mve_layer *layer;
    int32_t stride, pixels;
} MARRAM_MVE_IN_SCRATCH marram_mve_products;

_Static_assert(MARRAM_MVE_STATE + sizeof(marram_mve_products) <= MARRAM_MVE_DATA, "the state's room");

/* weights: for each 4 outputs two halves, outputs 0 and 2, outputs 1 and 3; in a half for each 16 of depth 16 bytes of the one
 * and 16 of the other; zeros after the end. The vectors are read up to the next multiple of 16 of depth.
 * 3 vectors x 2 outputs at a time: 5 loads for 6 VMLADAV of 16 products each, in the 6 even registers that it can sum in.
 * Vectors missing in the last block are stood in for by its first one, which makes the same bytes again. */
#if MARRAM_MVE
_Static_assert(offsetof(marram_mve_products, layer) == 56, "offsets in the assembly");

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

MARRAM_INLINE void marram_mve_product(marram_mve_products *work, int mode)
{
    work->back = (work->layer->depth + 15) & ~15;
    work->more = (work->back >> 4) - 1;
    work->zero = work->layer->zero;
    work->low = work->layer->low;
    work->high = work->layer->high;
    for (int8_t *y = work->y[0]; work->pixels > 0; work->pixels -= 3) {
        const int32_t outputs = work->layer->outputs, stride = work->stride, pixels = work->pixels;
        work->weights = work->layer->weights;
        work->channels = work->layer->channels;
        work->left = outputs;
        work->x[1] = work->x[0] + (pixels > 1 ? stride : 0);
        work->x[2] = work->x[0] + (pixels > 2 ? 2 * stride : 0);
        work->y[0] = y;
        work->y[1] = y + (pixels > 1 ? outputs : 0);
        work->y[2] = y + (pixels > 2 ? 2 * outputs : 0);
        y += 3 * outputs;
        register marram_mve_products *at __asm("r11") = work;
        if (mode == 0) {
            MARRAM_MVE_OUTPUTS("", MARRAM_MVE_NARROW);
        } else if (mode == MARRAM_MVE_SIGNED) {
            MARRAM_MVE_OUTPUTS(MARRAM_MVE_AWAY, MARRAM_MVE_NARROW);
        } else if (mode == MARRAM_MVE_CLAMPED) {
            MARRAM_MVE_OUTPUTS("", MARRAM_MVE_CLAMP);
        } else {
            MARRAM_MVE_OUTPUTS(MARRAM_MVE_AWAY, MARRAM_MVE_CLAMP);
        }
        work->x[0] += 3 * work->stride;
    }
}
#else
MARRAM_INLINE void marram_mve_product(marram_mve_products *work, int mode)
{
    (void)mode;
    const marram_mve_layer *layer = work->layer;
    const int steps = (layer->depth + 15) >> 4;
    const int8_t *x = work->x[0];
    int8_t *y = work->y[0];
    for (; work->pixels > 0; work->pixels--, x += work->stride) {
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

/* marram_mve_product_<mode>; marram_mve_vectors_<mode>: a fully connected layer on `rows` vectors of a multiple of 16. */
#define MARRAM_MVE_PRODUCT(MODE)                                                                                     \
    MARRAM_MVE_SHARED void marram_mve_product_##MODE(marram_mve_products *work)                                      \
    {                                                                                                                \
        marram_mve_product(work, MODE);                                                                              \
    }                                                                                                                \
    MARRAM_MVE_SHARED void marram_mve_vectors_##MODE(const marram_mve_layer *layer, const int8_t *x, int8_t *y,      \
                                                     int rows)                                                       \
    {                                                                                                                \
        marram_mve_products work = {0};                                                                              \
        work.x[0] = x;                                                                                               \
        work.y[0] = y;                                                                                               \
        work.layer = layer;                                                                                          \
        work.stride = layer->depth;                                                                                  \
        work.pixels = rows;                                                                                          \
        marram_mve_product_##MODE(&work);                                                                            \
    }
MARRAM_MVE_PRODUCT(0)
MARRAM_MVE_PRODUCT(1)
MARRAM_MVE_PRODUCT(2)
MARRAM_MVE_PRODUCT(3)
#endif
