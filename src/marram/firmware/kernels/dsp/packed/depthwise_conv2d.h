#ifndef MARRAM_DSP_PACKED_DEPTHWISE_CONV2D_H
#define MARRAM_DSP_PACKED_DEPTHWISE_CONV2D_H
#include "dsp/depthwise_conv2d.h"

/* Depthwise convolution with weights of 4 or 2 bits: the records that the kernels of int8 read are made in scratch, for a
 * group of channels at a time.
 *
 * Packed, a channel has its head, as its record has it, and then its weights, the first in the lowest bits of a word. Of a
 * 3x3 kernel they are in the order of the record; behind the last one are 4 bits of scale, by which weights are shifted, and
 * one that says whether there is a rounding, 2^(scale - 2). */

/* Weight `index` of a channel. */
MARRAM_INLINE int32_t marram_dsp_packed_tap(const uint32_t *words, int index, int bits)
{
    const int per_word = 32 / bits;
    const uint32_t word = words[index / per_word];
    return (int32_t)(word << (32 - bits - index % per_word * bits)) >> (32 - bits);
}

MARRAM_INLINE int32_t marram_dsp_packed_pair(int32_t low, int32_t high)
{
    return (int32_t)(((uint32_t)low & 0xffffu) | ((uint32_t)high << 16));
}

MARRAM_INLINE void marram_dsp_packed_record_3x3(const uint32_t *from, int32_t *record, int bits)
{
    const uint32_t *const words = from + 2;
    const uint32_t tail = words[(9 * bits) / 32] >> (9 * bits % 32);
    const int scale = (int)(tail & 15u);
    for (int pair = 0; pair < 4; pair++) {
        record[pair] = marram_dsp_packed_pair(marram_dsp_packed_tap(words, 2 * pair, bits) * (1 << scale),
                                              marram_dsp_packed_tap(words, 2 * pair + 1, bits) * (1 << scale));
    }
    record[4] = marram_dsp_packed_pair((tail & 16u) ? 1 << (scale - 2) : 0, marram_dsp_packed_tap(words, 8, bits) * (1 << scale));
    record[5] = (int32_t)from[0];
    record[6] = (int32_t)from[1];
}

/* Each kernel row as pairs for the first of two pixels, and moved by the stride for the second. */
MARRAM_INLINE void marram_dsp_packed_record_any(const uint32_t *from, int32_t *record, int rows, int columns, int stride,
                                                int dilation, int words, int bits)
{
    for (int word = 0; word < 4; word++) {
        record[word] = (int32_t)from[word];
    }
    for (int word = 4; word < 4 + 2 * rows * words; word++) {
        record[word] = 0;
    }
    for (int row = 0, index = 0; row < rows; row++) {
        for (int column = 0; column < columns; column++, index++) {
            const int32_t tap = marram_dsp_packed_tap(from + 4, index, bits);
            for (int pixel = 0; pixel < 2; pixel++) {
                const int at = column * dilation + pixel * stride;
                int32_t *const to = record + 4 + 2 * (row * words + at / 2) + pixel;
                *to = (int32_t)((uint32_t)*to | ((uint32_t)tap & 0xffffu) << (at % 2 * 16));
            }
        }
    }
}

/* A group of channels from `channel` on; `columns` is the kernel's width, or its height where it is a line. */
MARRAM_INLINE void marram_dsp_packed_depthwise_group(const marram_window w, const marram_dsp_depthwise k, int bits, int packed,
                                                     int group, int channel, const int8_t *x, int8_t *y, int row_begin,
                                                     int row_end, const uint32_t *stream, uint32_t zeros, int32_t base,
                                                     int16_t *planes, int32_t *records)
{
    const int line = k.kind == MARRAM_DSP_DEPTHWISE_LINE;
    for (int each = 0; each < group; each++) {
        const uint32_t *const from = stream + (channel + each) * packed;
        if (k.kind == MARRAM_DSP_DEPTHWISE_3X3) {
            marram_dsp_packed_record_3x3(from, records + each * k.record, bits);
        } else if (line) {
            marram_dsp_packed_record_any(from, records + each * k.record, 1, w.kernel_height, w.stride_y, w.dilation_y,
                                         k.words, bits);
        } else {
            marram_dsp_packed_record_any(from, records + each * k.record, w.kernel_height, w.kernel_width, w.stride_x,
                                         w.dilation_x, k.words, bits);
        }
    }
    if (line) {
        marram_dsp_depthwise_line(w, k, group, x + channel, y + channel, row_begin, row_end, records, planes);
    } else {
        marram_dsp_depthwise_group(w, k, group, x + channel, y + channel, row_begin, row_end, records, zeros, base, planes);
    }
}

/* As marram_dsp_depthwise_conv2d; `packed` is the words of a channel, `records` where those of a group are made. */
MARRAM_INLINE void marram_dsp_packed_depthwise_conv2d(const marram_window w, const marram_dsp_depthwise k, int bits, int packed,
                                                      const int8_t *x, int8_t *y, int row_begin, int row_end,
                                                      const uint32_t *stream, uint32_t zeros, int32_t base, void *scratch,
                                                      int32_t *records)
{
    const int reach = (w.kernel_height - 1) * w.dilation_y + 1;
    const int plane = k.kind == MARRAM_DSP_DEPTHWISE_LINE ? k.pitch : ((k.band - 1) * w.stride_y + reach) * k.pitch;
    int16_t *planes = (int16_t *)scratch;
    const int quads = k.group == 4 ? w.in_channels & ~3 : 0;
    marram_dsp_fill(planes, k.group * plane / 2, zeros);
    for (int channel = 0; channel < quads; channel += 4) {
        marram_dsp_packed_depthwise_group(w, k, bits, packed, 4, channel, x, y, row_begin, row_end, stream, zeros, base, planes,
                                          records);
    }
    for (int channel = quads; channel < w.in_channels; channel++) {
        marram_dsp_packed_depthwise_group(w, k, bits, packed, 1, channel, x, y, row_begin, row_end, stream, zeros, base, planes,
                                          records);
    }
}
#endif
