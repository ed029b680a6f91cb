#ifndef MARRAM_PORTABLE_DEPTHWISE_CONV2D_H
#define MARRAM_PORTABLE_DEPTHWISE_CONV2D_H
#include "common/requantise.h"
#include "portable/blocks.h"

/* Depthwise convolution. weights: (KH, KW, O) int8, output channel c * M + m reads input channel c. channels: (O, 3) of folded
 * bias, multiplier and shift. */
typedef struct {
    marram_image image; /* its padding is one pixel */
    const int8_t *weights;
    const int32_t *channels;
    int zero_out, low, high;
} marram_portable_depthwise_layer;

/* record: the channel's three of by->channels. */
MARRAM_INLINE int8_t marram_portable_depthwise_result(const marram_portable_depthwise_layer *by, int32_t sum,
                                                      const int32_t *record)
{
    return (int8_t)marram_clamp(marram_multiply(sum, record[1], record[2]) + by->zero_out, by->low, by->high);
}

/* One pixel: where its window's pixels stand is known, so that channels are all that is left to go through. */
MARRAM_NOINLINE static void marram_portable_depthwise_pixel(const marram_portable_depthwise_layer *by,
                                                            const int8_t *const *taps, int8_t *y)
{
    const int outputs = by->image.w.out_channels;
    const int multiplicity = outputs / by->image.w.in_channels;
    const int8_t *const *const end = taps + by->image.w.kernel_height * by->image.w.kernel_width;
    /* It walks beside o: from 3 * o, gcc -O3 warns of an overflow in a loop that it has not yet seen to be empty. */
    const int32_t *record = by->channels;
    int o = 0;
    for (; multiplicity == 1 && o + 4 <= outputs; o += 4, record += 12) {
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        const int8_t *k = by->weights + o;
        for (const int8_t *const *tap = taps; tap != end; tap++, k += outputs) {
            const int8_t *const in = *tap + o;
            s0 += in[0] * k[0];
            s1 += in[1] * k[1];
            s2 += in[2] * k[2];
            s3 += in[3] * k[3];
        }
        y[o] = marram_portable_depthwise_result(by, record[0] + s0, record);
        y[o + 1] = marram_portable_depthwise_result(by, record[3] + s1, record + 3);
        y[o + 2] = marram_portable_depthwise_result(by, record[6] + s2, record + 6);
        y[o + 3] = marram_portable_depthwise_result(by, record[9] + s3, record + 9);
    }
    for (; o < outputs; o++, record += 3) {
        const int c = o / multiplicity;
        int32_t sum = record[0];
        const int8_t *k = by->weights + o;
        for (const int8_t *const *tap = taps; tap != end; tap++, k += outputs) {
            sum += (*tap)[c] * *k;
        }
        y[o] = marram_portable_depthwise_result(by, sum, record);
    }
}

/* Rows [row_begin, row_end). scratch: a pointer for each of the kernel's pixels. */
MARRAM_NOINLINE static void marram_portable_depthwise_conv2d(const marram_portable_depthwise_layer *by, const int8_t *x,
                                                             int8_t *y, int row_begin, int row_end, void *scratch)
{
    const marram_window *const w = &by->image.w;
    const int8_t **const taps = scratch;
    marram_pixel at = marram_first_pixel(w, row_begin);
    for (int left = (row_end - row_begin) * w->out_width; left > 0; left--) {
        marram_taps_rows(&by->image, x, &at, 0, taps, 1);
        marram_taps_pixels(&by->image, at.x * w->stride_x - w->pad_left, taps, 1);
        marram_portable_depthwise_pixel(by, taps, y + (at.out_slot * w->out_width + at.x) * w->out_channels);
        marram_advance(w, &at);
    }
}
#endif
