#ifndef MARRAM_MVE_DEPTHWISE_CONV2D_H
#define MARRAM_MVE_DEPTHWISE_CONV2D_H
#include "common/window.h"
#include "mve/copy.h"

/* Depthwise convolution with windows of up to 4 x 4, one output channel for each input channel.
 *
 * A strip of 4 input rows of `group` channels is laid out as [column][channel][4 rows], so that a gather of 4 words brings
 * 4 x 4 places of one channel, and VMLADAV sums them under 4 x 4 weights. With windows of 3 x 3 and strides of 1 the 4 x 4
 * places hold 2 x 2 windows (a pair of rows): one gather for 4 outputs, with the weights moved by a row, a column, both.
 * Else a window takes a gather, and 4 outputs of a row are finished together.
 * Gathers and scatters take a cycle or more for each element on silicon: still less than to load, multiply and sum one by one.
 *
 * records: a word of nothing; then for each channel the weights, a word for each column (3 of them where rows are made in
 * pairs, else 4), its rows from the low byte up; folded bias, multiplier, shift. */
typedef struct {
    marram_window window;
    const int32_t *records;
    int32_t zero_in, zero, low, high;
} marram_mve_depthwise;

/* Four rows from which columns are taken, each with the bytes from one column to the next. `save`, if it is not NULL, is
 * row[0] too: a line of input that has been overwritten since. It becomes row[2], which the next strip begins with.
 * The offsets of these two structs stand in the assembly. */
typedef struct {
    const int8_t *row[4];
    int32_t step[4];
    int8_t *out;
    int32_t columns, lanes;
    int8_t *save;
} MARRAM_MVE_IN_SCRATCH marram_mve_strip;

/* What is made from a strip. Steps are bytes from one turn of the loop, 4 outputs, to the next. `first` turns are made, the
 * last of which stores `lanes_first` lanes and goes back by what it made too much; then `rest` turns. */
typedef struct {
    uint32_t gather[4], scatter[4];
    const int32_t *records;
    int8_t *y;
    int32_t first, rest, shift, channels4, zero, y_step, y_back, low, high, strip_back, lanes_first;
    const int8_t *strip;
} MARRAM_MVE_IN_SCRATCH marram_mve_turns;
_Static_assert(MARRAM_MVE_STATE + sizeof(marram_mve_strip) <= MARRAM_MVE_DATA, "the state's room");
_Static_assert(MARRAM_MVE_STATE + sizeof(marram_mve_turns) <= MARRAM_MVE_DATA, "the state's room");

#if MARRAM_MVE
#define MARRAM_MVE_STRIP(SAVE, STEP)                                                                     \
    __asm volatile("ldrd r0, r1, [r11]\n\t"                                                              \
                   "ldrd r2, r3, [r11, #8]\n\t"                                                          \
                   "ldrd r4, r5, [r11, #16]\n\t"                                                         \
                   "ldrd r6, r8, [r11, #24]\n\t"                                                         \
                   "ldr r9, [r11, #32]\n\t"                                                              \
                   "ldrd r10, r12, [r11, #36]\n\t"                                                       \
                   "vctp.8 r12\n\t"                                                                      \
                   "dls lr, r10\n\t"                                                                     \
                   "1:\n\t"                                                                              \
                   "vpstttt\n\t"                                                                         \
                   "vldrbt.8 q0, [r0]\n\t"                                                               \
                   "vldrbt.8 q1, [r1]\n\t"                                                               \
                   "vldrbt.8 q2, [r2]\n\t"                                                               \
                   "vldrbt.8 q3, [r3]\n\t" SAVE                                                          \
                   "add r0, r0, r4\n\t"                                                                  \
                   "add r1, r1, r5\n\t"                                                                  \
                   "add r2, r2, r6\n\t"                                                                  \
                   "add r3, r3, r8\n\t"                                                                  \
                   "vst40.8 {q0, q1, q2, q3}, [r9]\n\t"                                                  \
                   "vst41.8 {q0, q1, q2, q3}, [r9]\n\t"                                                  \
                   "vst42.8 {q0, q1, q2, q3}, [r9]\n\t" STEP                                             \
                   "le lr, 1b\n\t"                                                                       \
                   :                                                                                     \
                   : "r"(at)                                                                             \
                   : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r12", "lr", "memory", \
                     "q0", "q1", "q2", "q3")
#define MARRAM_MVE_STEP_16 "vst43.8 {q0, q1, q2, q3}, [r9]!\n\t"
#define MARRAM_MVE_STEP_8 "vst43.8 {q0, q1, q2, q3}, [r9]\n\tadds r9, r9, #32\n\t"
#define MARRAM_MVE_SAVE "vpst\n\tvstrbt.8 q2, [r0]\n\t"
#endif

/* `columns` columns of `lanes` channels. Up to 64 bytes are written from the beginning of the last column. */
MARRAM_INLINE void marram_mve_make_strip(const marram_mve_strip *strip, int group)
{
#if MARRAM_MVE
    register const marram_mve_strip *at __asm("r11") = strip;
    if (group == 16 && strip->save != NULL) {
        MARRAM_MVE_STRIP(MARRAM_MVE_SAVE, MARRAM_MVE_STEP_16);
    } else if (group == 16) {
        MARRAM_MVE_STRIP("", MARRAM_MVE_STEP_16);
    } else if (strip->save != NULL) {
        MARRAM_MVE_STRIP(MARRAM_MVE_SAVE, MARRAM_MVE_STEP_8);
    } else {
        MARRAM_MVE_STRIP("", MARRAM_MVE_STEP_8);
    }
#else
    for (int column = 0; column < strip->columns; column++) {
        for (int c = 0; c < strip->lanes; c++) {
            for (int row = 0; row < 4; row++) {
                strip->out[(column * group + c) * 4 + row] = strip->row[row][column * strip->step[row] + c];
            }
            if (strip->save != NULL) {
                strip->save[column * strip->step[0] + c] = strip->row[2][column * strip->step[2] + c];
            }
        }
    }
#endif
}

#if MARRAM_MVE
#define MARRAM_MVE_AWAY_1 "vshr.s32 q7, q6, #31\n\tvadd.i32 q6, q6, q7\n\t"
#define MARRAM_MVE_NARROW_1 "vqmovnb.s32 q6, q6\n\tvqmovnb.s16 q6, q6\n\t"
#define MARRAM_MVE_CLAMP_1              \
    "ldr r0, [r11, #68]\n\t"            \
    "ldr r2, [r11, #72]\n\t"            \
    "vdup.32 q7, r0\n\t"                \
    "vmax.s32 q6, q6, q7\n\t"           \
    "vdup.32 q7, r2\n\t"                \
    "vmin.s32 q6, q6, q7\n\t"

#define MARRAM_MVE_PAIR(STEP)              \
    "vldrw.u32 q6, [q4, #" STEP "]!\n\t"   \
    "vmladav.s8 r0, q6, q0\n\t"            \
    "vmladav.s8 r2, q6, q1\n\t"            \
    "vmladav.s8 r4, q6, q2\n\t"            \
    "vmladav.s8 r6, q6, q3\n\t"

#define MARRAM_MVE_FOUR(STEP)              \
    "vldrw.u32 q6, [q4, #" STEP "]!\n\t"   \
    "vmladav.s8 r0, q6, q0\n\t"            \
    "vldrw.u32 q6, [q4, #" STEP "]!\n\t"   \
    "vmladav.s8 r2, q6, q0\n\t"            \
    "vldrw.u32 q6, [q4, #" STEP "]!\n\t"   \
    "vmladav.s8 r4, q6, q0\n\t"            \
    "vldrw.u32 q6, [q4, #" STEP "]!\n\t"   \
    "vmladav.s8 r6, q6, q0\n\t"

#define MARRAM_MVE_TURN(SUMS, AWAY, LIMIT, STORE)     \
    SUMS                                              \
    "vmov q6[2], q6[0], r0, r4\n\t"                   \
    "vmov q6[3], q6[1], r2, r6\n\t"                   \
    "vadd.i32 q6, q6, r9\n\t"                         \
    "vqrdmulh.s32 q6, q6, r8\n\t" AWAY                \
    "vrshl.s32 q6, r10\n\t"                           \
    "vadd.i32 q6, q6, r12\n\t" LIMIT STORE            \
    "add r3, r3, r5\n\t"

#define MARRAM_MVE_WEIGHTS_PAIR             \
    "vldrw.32 q1, [r0, #-4]\n\t"            \
    "vldrw.32 q0, [r0], #12\n\t"            \
    "movs r2, #0\n\t"                       \
    "vmov.32 q1[0], r2\n\t"                 \
    "vmov.32 q0[3], r2\n\t"                 \
    "ldr r2, [r11, #48]\n\t"                \
    "vmov q2, q0\n\t"                       \
    "vmov q3, q1\n\t"                       \
    "vshl.s32 q2, r2\n\t"                   \
    "vshl.s32 q3, r2\n\t"

#define MARRAM_MVE_WEIGHTS_FOUR "vldrw.32 q0, [r0], #16\n\t"

#define MARRAM_MVE_TURNS(WEIGHTS, SUMS, AWAY, LIMIT, SCRATCH)                                                  \
    __asm volatile("ldr r0, [r11, #80]\n\t"                                                              \
                   "vctp.32 r0\n\t"                                                                      \
                   "vldrw.32 q5, [r11, #16]\n\t"                                                         \
                   "ldrd r12, r5, [r11, #56]\n\t"                                                        \
                   "movs r1, #0\n\t"                                                                     \
                   "3:\n\t"                                                                              \
                   "ldr r0, [r11, #32]\n\t" WEIGHTS                                                      \
                   "ldrd r9, r8, [r0], #8\n\t"                                                           \
                   "ldr r10, [r0], #4\n\t"                                                               \
                   "str r0, [r11, #32]\n\t"                                                              \
                   "vldrw.32 q4, [r11]\n\t"                                                              \
                   "vadd.i32 q4, q4, r1\n\t"                                                             \
                   "ldrd r3, r0, [r11, #36]\n\t"                                                         \
                   "add r3, r3, r1, lsr #2\n\t"                                                          \
                   "dls lr, r0\n\t"                                                                      \
                   "1:\n\t" MARRAM_MVE_TURN(SUMS, AWAY, LIMIT, "vpst\n\tvstrbt.32 q6, [r3, q5]\n\t")     \
                   "le lr, 1b\n\t"                                                                       \
                   "ldr r0, [r11, #44]\n\t"                                                              \
                   "cbz r0, 4f\n\t"                                                                      \
                   "ldr r2, [r11, #64]\n\t"                                                              \
                   "ldr r4, [r11, #76]\n\t"                                                              \
                   "subs r3, r3, r2\n\t"                                                                 \
                   "vsub.i32 q4, q4, r4\n\t"                                                             \
                   "dls lr, r0\n\t"                                                                      \
                   "2:\n\t" MARRAM_MVE_TURN(SUMS, AWAY, LIMIT, "vstrb.32 q6, [r3, q5]\n\t")              \
                   "le lr, 2b\n\t"                                                                       \
                   "4:\n\t"                                                                              \
                   "ldr r0, [r11, #52]\n\t"                                                              \
                   "adds r1, r1, #4\n\t"                                                                 \
                   "cmp r1, r0\n\t"                                                                      \
                   "bne 3b\n\t"                                                                          \
                   :                                                                                     \
                   : "r"(at)                                                                             \
                   : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r12", "lr", "cc",     \
                     "memory", "q0", "q1", "q2", "q3", "q4", "q5", "q6", SCRATCH)

/* The last is a clobber: q7 only where it is used, as a register more is stack. */
#define MARRAM_MVE_TURNS_OF(SUMS, WEIGHTS)                                             \
    if (mode == 0) {                                                                   \
        MARRAM_MVE_TURNS(WEIGHTS, SUMS, "", MARRAM_MVE_NARROW_1, "q6");                      \
    } else if (mode == MARRAM_MVE_SIGNED) {                                            \
        MARRAM_MVE_TURNS(WEIGHTS, SUMS, MARRAM_MVE_AWAY_1, MARRAM_MVE_NARROW_1, "q7");       \
    } else if (mode == MARRAM_MVE_CLAMPED) {                                           \
        MARRAM_MVE_TURNS(WEIGHTS, SUMS, "", MARRAM_MVE_CLAMP_1, "q7");                       \
    } else {                                                                           \
        MARRAM_MVE_TURNS(WEIGHTS, SUMS, MARRAM_MVE_AWAY_1, MARRAM_MVE_CLAMP_1, "q7");        \
    }
#endif

/* All channels of a strip. `stride` is that of columns; `pair` says that rows are made in pairs. */
MARRAM_INLINE void marram_mve_make_turns(marram_mve_turns *turns, int group, int mode, int pair, int stride)
{
#if MARRAM_MVE
    _Static_assert(offsetof(marram_mve_turns, lanes_first) == 80 && sizeof(int8_t *) == 4, "offsets in the assembly");
    register marram_mve_turns *at __asm("r11") = turns;
    if (pair && group == 16) {
        MARRAM_MVE_TURNS_OF(MARRAM_MVE_PAIR("128"), MARRAM_MVE_WEIGHTS_PAIR)
    } else if (pair) {
        MARRAM_MVE_TURNS_OF(MARRAM_MVE_PAIR("64"), MARRAM_MVE_WEIGHTS_PAIR)
    } else if (group * stride == 8) {
        MARRAM_MVE_TURNS_OF(MARRAM_MVE_FOUR("32"), MARRAM_MVE_WEIGHTS_FOUR)
    } else if (group * stride == 16) {
        MARRAM_MVE_TURNS_OF(MARRAM_MVE_FOUR("64"), MARRAM_MVE_WEIGHTS_FOUR)
    } else {
        MARRAM_MVE_TURNS_OF(MARRAM_MVE_FOUR("128"), MARRAM_MVE_WEIGHTS_FOUR)
    }
#else
    (void)mode;
    const int words = pair ? 6 : 7;
    for (int c = 0; c < turns->channels4 / 4; c++, turns->records += words) {
        const int32_t *constants = turns->records + words - 3;
        int turn = 0;
        int32_t at = 0, to = 0;
        for (; turn < turns->first + turns->rest; turn++) {
            for (int lane = 0; lane < (turn < turns->first ? turns->lanes_first : 4); lane++) {
                const int right = pair ? lane & 1 : lane * stride, down = pair && turns->shift ? lane >> 1 : 0;
                int32_t sum = constants[0];
                for (int column = 0; column < words - 3; column++) {
                    const int8_t *place = turns->strip + at + ((column + right) * group + c) * 4 + down;
                    for (int row = 0; row < (pair ? 3 : 4); row++) {
                        sum += place[row] * (int8_t)((uint32_t)turns->records[column] >> (8 * row) & 255u);
                    }
                }
                const int32_t value = marram_multiply(sum, constants[1], constants[2]) + turns->zero;
                turns->y[to + c + (int32_t)turns->scatter[lane]] = (int8_t)marram_clamp(value, turns->low, turns->high);
            }
            at += (pair ? 2 : 4 * stride) * group * 4;
            to += turns->y_step;
            if (turn == turns->first - 1) {
                at -= turns->strip_back;
                to -= turns->y_back;
            }
        }
    }
#endif
}

/* Where things stand in the scratch after its state: 16 bytes of what is above and below the image; with pairs of rows the
 * saved line, `group` bytes for each column of the input, up to a multiple of 16; the strip. */
MARRAM_INLINE int8_t *marram_mve_line(void *scratch)
{
    return (int8_t *)scratch + MARRAM_MVE_DATA + 16;
}

MARRAM_INLINE int8_t *marram_mve_columns(void *scratch, int in_width, int group, int pair)
{
    return marram_mve_line(scratch) + (pair ? (in_width * group + 15) & ~15 : 0);
}

/* The strip of output row oy, from channel c on, with what is beside the image. */
MARRAM_INLINE void marram_mve_take_strip(void *scratch, const int8_t *x, int oy, int c, int in_place, int group, int pair)
{
    const marram_mve_depthwise *layer = ((const marram_mve_head *)scratch)->layer;
    marram_mve_strip *strip = (void *)((int8_t *)scratch + MARRAM_MVE_STATE);
    const marram_window *w = &layer->window;
    const int8_t *outside = (const int8_t *)scratch + MARRAM_MVE_DATA;
    int8_t *columns = marram_mve_columns(scratch, w->in_width, group, pair);
    for (int i = 0; i < 4; i++) {
        const int iy = oy * w->stride_y - w->pad_top + i;
        const int inside = iy >= 0 && iy < w->in_height;
        strip->row[i] = inside ? x + marram_row(iy, w->in_rows, w->in_height, w->in_width * w->in_channels) + c : outside;
        strip->step[i] = inside ? w->in_channels : 0;
    }
    strip->save = NULL;
    if (in_place) {
        strip->row[0] = strip->save = marram_mve_line(scratch);
        strip->step[0] = group;
    }
    const int right = (w->out_width - 1) * w->stride_x + w->kernel_width - w->pad_left - w->in_width;
    strip->out = columns + w->pad_left * group * 4;
    strip->columns = right < 0 ? w->in_width + right : w->in_width;
    strip->lanes = w->in_channels - c < group ? w->in_channels - c : group;
    marram_mve_make_strip(strip, group);
    marram_mve_fill(layer->zero_in, columns, 0, w->pad_left * group * 4, w->pad_left > 0);
    marram_mve_fill(layer->zero_in, strip->out + strip->columns * group * 4, 0, right * group * 4, right > 0);
}
#define MARRAM_MVE_TAKE_STRIP(GROUP, PAIR)                                                                                \
    MARRAM_MVE_SHARED void marram_mve_take_strip_##GROUP##_##PAIR(void *scratch, const int8_t *x, int oy, int c,          \
                                                                  int in_place)                                           \
    {                                                                                                                     \
        marram_mve_take_strip(scratch, x, oy, c, in_place, GROUP, PAIR);                                                  \
    }
MARRAM_MVE_TAKE_STRIP(8, 0)
MARRAM_MVE_TAKE_STRIP(8, 1)
MARRAM_MVE_TAKE_STRIP(16, 0)
MARRAM_MVE_TAKE_STRIP(16, 1)

/* How the columns of an output row fall into turns: what is left over comes first. */
MARRAM_INLINE void marram_mve_part(const marram_mve_depthwise *layer, marram_mve_turns *turns, int group, int pair)
{
    const marram_window *w = &layer->window;
    const int each = pair ? 2 : 4, left = w->out_width & (each - 1), whole = w->out_width / each;
    turns->lanes_first = pair || left == 0 ? 4 : left;
    turns->first = left ? 1 : whole;
    turns->rest = left ? whole : 0;
    turns->y_step = each * w->in_channels;
    turns->y_back = (each - left) * w->in_channels;
    turns->strip_back = (each - left) * w->stride_x * group * 4;
    turns->zero = layer->zero;
    turns->low = layer->low;
    turns->high = layer->high;
}

/* A row of the output, and with `below` bytes from it the next one too, from channel c on. */
MARRAM_INLINE void marram_mve_finish_strip(void *scratch, int8_t *y, int c, int32_t below, int group, int mode, int pair,
                                           int stride)
{
    const marram_mve_depthwise *layer = ((const marram_mve_head *)scratch)->layer;
    marram_mve_turns *turns = (void *)((int8_t *)scratch + MARRAM_MVE_STATE);
    const int channels = layer->window.in_channels;
    const int8_t *columns = marram_mve_columns(scratch, layer->window.in_width, group, pair);
    marram_mve_part(layer, turns, group, pair);
#if MARRAM_MVE
    const uint32_t before = (uint32_t)(uintptr_t)columns - (uint32_t)((pair ? 2 : stride) * group * 4);
    vst1q_u32(turns->gather, vaddq_n_u32(vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)(group * 4)), before));
#endif
    turns->scatter[0] = 0;
    turns->scatter[1] = (uint32_t)channels;
    turns->scatter[2] = (uint32_t)(pair ? below : 2 * channels);
    turns->scatter[3] = (uint32_t)((pair ? below : 2 * channels) + channels);
    turns->shift = below != 0 ? 8 : 0;
    turns->strip = columns;
    turns->y = y;
    turns->channels4 = (channels - c < group ? channels - c : group) * 4;
    turns->records = layer->records + 1 + c * (pair ? 6 : 7);
    marram_mve_make_turns(turns, group, mode, pair, stride);
}

typedef void marram_mve_strip_taker(void *scratch, const int8_t *x, int oy, int c, int in_place);
typedef void marram_mve_strip_finisher(void *scratch, int8_t *y, int c, int32_t below);

/* Rows [row_begin, row_end). With pairs of rows y may be x, for all rows. */
MARRAM_INLINE void marram_mve_depthwise_conv2d(const int8_t *x, int8_t *y, int row_begin, int row_end, void *scratch, int group,
                                               int pair, marram_mve_strip_taker *take, marram_mve_strip_finisher *finish)
{
    const marram_mve_depthwise *layer = ((const marram_mve_head *)scratch)->layer;
    const marram_window *w = &layer->window;
    const int in_place = pair && (const int8_t *)y == x;
    marram_mve_fill(layer->zero_in, (int8_t *)scratch + MARRAM_MVE_DATA, 0, 16, 1);
    for (int c = 0; c < w->in_channels; c += group) {
        marram_mve_fill(layer->zero_in, marram_mve_line(scratch), 0, w->in_width * group, in_place);
        for (int oy = row_begin; oy < row_end; oy += 1 + pair) {
            take(scratch, x, oy, c, in_place);
            const int row_bytes = w->out_width * w->in_channels;
            int8_t *out = y + marram_row(oy, w->out_rows, w->out_height, row_bytes) + c;
            int32_t below = 0;
            if (pair && oy + 1 < row_end) {
                below = (int32_t)(y + marram_row(oy + 1, w->out_rows, w->out_height, row_bytes) + c - out);
            }
            finish(scratch, out, c, below);
        }
    }
}

/* marram_mve_depthwise_conv2d_<channels at a time>_<mode>_<pairs of rows or not>_<stride of columns> */
#define MARRAM_MVE_DEPTHWISE(GROUP, MODE, PAIR, STRIDE)                                                                 \
    MARRAM_MVE_SHARED void marram_mve_finish_strip_##GROUP##_##MODE##_##PAIR##_##STRIDE(void *scratch, int8_t *y,       \
                                                                                        int c, int32_t below)           \
    {                                                                                                                   \
        marram_mve_finish_strip(scratch, y, c, below, GROUP, MODE, PAIR, STRIDE);                                       \
    }                                                                                                                   \
    MARRAM_MVE_SHARED void marram_mve_depthwise_conv2d_##GROUP##_##MODE##_##PAIR##_##STRIDE(                            \
        const int8_t *x, int8_t *y, int row_begin, int row_end, void *scratch)                                          \
    {                                                                                                                   \
        marram_mve_depthwise_conv2d(x, y, row_begin, row_end, scratch, GROUP, PAIR,                                     \
                                    marram_mve_take_strip_##GROUP##_##PAIR,                                             \
                                    marram_mve_finish_strip_##GROUP##_##MODE##_##PAIR##_##STRIDE);                      \
    }
#define MARRAM_MVE_DEPTHWISES(MODE)      \
    MARRAM_MVE_DEPTHWISE(8, MODE, 1, 1)  \
    MARRAM_MVE_DEPTHWISE(8, MODE, 0, 1)  \
    MARRAM_MVE_DEPTHWISE(8, MODE, 0, 2)  \
    MARRAM_MVE_DEPTHWISE(16, MODE, 1, 1) \
    MARRAM_MVE_DEPTHWISE(16, MODE, 0, 1) \
    MARRAM_MVE_DEPTHWISE(16, MODE, 0, 2)
MARRAM_MVE_DEPTHWISES(0)
MARRAM_MVE_DEPTHWISES(1)
MARRAM_MVE_DEPTHWISES(2)
MARRAM_MVE_DEPTHWISES(3)
#endif
