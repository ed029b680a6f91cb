#ifndef MARRAM_DSP_DEPTHWISE_CONV2D_H
#define MARRAM_DSP_DEPTHWISE_CONV2D_H
#include "common/window.h"
#include "dsp/depthwise_kernels.h"
#include "dsp/gather.h"

/* What is constant of a depthwise convolution: its sizes and its way of work. `kind` is one of MARRAM_DSP_DEPTHWISE_*;
 * `pitch` is the int16 of a row of a plane in scratch; `band` the output rows that are made at a time; `group` the channels
 * that are taken out at a time, 4 or 1; `words` the pairs of a kernel row and `record` the words of a channel's record;
 * `shift`, `away`, `low` and `high` belong to the requantisation. */
typedef struct {
    int kind, pitch, band, group, words, record, shift, away, low, high;
} marram_dsp_depthwise;

#define MARRAM_DSP_DEPTHWISE_ANY 0
#define MARRAM_DSP_DEPTHWISE_3X3 1
#define MARRAM_DSP_DEPTHWISE_LINE 2

MARRAM_INLINE void marram_dsp_depthwise_rows(const marram_window w, const marram_dsp_depthwise k, const int16_t *plane,
                                             int8_t *y, int rows, const int32_t *record, int32_t base)
{
    const marram_dsp_ending e = {k.shift, k.away, k.low, k.high};
    if (k.kind == MARRAM_DSP_DEPTHWISE_3X3 && w.stride_x == 1) {
        marram_dsp_depthwise_3x3(plane, k.pitch, y, rows, w.out_width, w.out_channels, record, base, e);
    } else if (k.kind == MARRAM_DSP_DEPTHWISE_3X3) {
        marram_dsp_depthwise_3x3s2(plane, k.pitch, w.stride_y * k.pitch, y, rows, w.out_width, w.out_channels, record, base,
                                   e);
    } else {
        marram_dsp_depthwise_any(plane, k.pitch, w.kernel_height, w.stride_y, w.dilation_y, w.stride_x, k.words, y, rows,
                                 w.out_width, w.out_channels, record, e);
    }
}

/* Output rows [begin, end) of one channel's plane; a run ends where the output's ring wraps. */
MARRAM_INLINE void marram_dsp_depthwise_channel(const marram_window w, const marram_dsp_depthwise k, const int16_t *plane,
                                                int8_t *y, int begin, int end, const int32_t *record, int32_t base)
{
    const int row_bytes = w.out_width * w.out_channels;
    if (w.out_rows == w.out_height) {
        marram_dsp_depthwise_rows(w, k, plane, y + (size_t)begin * (size_t)row_bytes, end - begin, record, base);
        return;
    }
    for (int first = begin; first < end;) {
        const int place = first % w.out_rows;
        const int run = end - first < w.out_rows - place ? end - first : w.out_rows - place;
        marram_dsp_depthwise_rows(w, k, plane + (first - begin) * w.stride_y * k.pitch, y + (size_t)place * (size_t)row_bytes,
                                  run, record, base);
        first += run;
    }
}

/* `group` channels from x and y on: band by band, their rows are taken out of the image into planes with the zero point
 * around, then their outputs are made. Rows that the next band needs again are moved up in the planes and not read again,
 * so the output may stand where the input stands. */
MARRAM_INLINE void marram_dsp_depthwise_group(const marram_window w, const marram_dsp_depthwise k, int group, const int8_t *x,
                                              int8_t *y, int row_begin, int row_end, const int32_t *record, uint32_t zeros,
                                              int32_t base, int16_t *planes)
{
    const int reach = (w.kernel_height - 1) * w.dilation_y + 1;
    const int plane = ((k.band - 1) * w.stride_y + reach) * k.pitch;
    const int again = reach > w.stride_y ? reach - w.stride_y : 0;
    const int once = row_end - row_begin <= k.band;
    for (int begin = row_begin; begin < row_end; begin += k.band) {
        const int end = row_end - begin < k.band ? row_end : begin + k.band;
        const int rows = (end - begin - 1) * w.stride_y + reach;
        int row = 0;
        if (begin != row_begin && again != 0) {
            for (int channel = 0; channel < group; channel++) {
                int16_t *to = planes + channel * plane;
                marram_dsp_move_down(to, to + k.band * w.stride_y * k.pitch, again * k.pitch / 2);
            }
            row = again;
        }
        for (; row < rows; row++) {
            const int iy = begin * w.stride_y - w.pad_top + row;
            int16_t *to = planes + row * k.pitch;
            if (iy >= 0 && iy < w.in_height) {
                const int8_t *from = x + marram_row(iy, w.in_rows, w.in_height, w.in_width * w.in_channels);
                if (group == 4) {
                    marram_dsp_gather4(from, to + w.pad_left, plane, w.in_width, w.in_channels, w.pad_left & 1);
                } else {
                    marram_dsp_gather1(from, to + w.pad_left, w.in_width, w.in_channels, w.pad_left & 1);
                }
            } else if (!once) { /* where one band is all, these rows keep what they were filled with at first */
                for (int channel = 0; channel < group; channel++) {
                    marram_dsp_fill(to + channel * plane, k.pitch / 2, zeros);
                }
            }
        }
        for (int channel = 0; channel < group; channel++) {
            marram_dsp_depthwise_channel(w, k, planes + channel * plane, y + channel, begin, end, record + channel * k.record,
                                         base);
        }
    }
}

/* A sequence: its rows are single pixels and lie in a plane as one row, `pitch` long, so that a kernel takes them by pairs. */
MARRAM_INLINE void marram_dsp_depthwise_line(const marram_window w, const marram_dsp_depthwise k, int group, const int8_t *x,
                                             int8_t *y, int row_begin, int row_end, const int32_t *record, int16_t *planes)
{
    const marram_dsp_ending e = {k.shift, k.away, k.low, k.high};
    const int top = row_begin * w.stride_y - w.pad_top;
    const int reach = (w.kernel_height - 1) * w.dilation_y + 1;
    const int bottom = (row_end - 1) * w.stride_y - w.pad_top + reach;
    const int past = bottom < w.in_height ? bottom : w.in_height;
    for (int row = top < 0 ? 0 : top, run; row < past; row += run) {
        const int place = w.in_rows == w.in_height ? row : row % w.in_rows;
        run = past - row < w.in_rows - place ? past - row : w.in_rows - place;
        if (group == 4) {
            marram_dsp_gather4(x + place * w.in_channels, planes + (row - top), k.pitch, run, w.in_channels, (row - top) & 1);
        } else {
            marram_dsp_gather1(x + place * w.in_channels, planes + (row - top), run, w.in_channels, (row - top) & 1);
        }
    }
    for (int channel = 0; channel < group; channel++) {
        for (int row = row_begin, run; row < row_end; row += run) {
            const int place = w.out_rows == w.out_height ? row : row % w.out_rows;
            run = row_end - row < w.out_rows - place ? row_end - row : w.out_rows - place;
            marram_dsp_depthwise_any(planes + channel * k.pitch + (row - row_begin) * w.stride_y, k.pitch, 1, 1, 1, w.stride_y,
                                     k.words, y + channel + place * w.out_channels, 1, run, w.out_channels,
                                     record + channel * k.record, e);
        }
    }
}

/* Depthwise convolution of rows [row_begin, row_end), one output channel for each input channel. `zeros` is a pair of the
 * input's zero point. */
MARRAM_INLINE void marram_dsp_depthwise_conv2d(const marram_window w, const marram_dsp_depthwise k, const int8_t *x, int8_t *y,
                                               int row_begin, int row_end, const int32_t *records, uint32_t zeros,
                                               int32_t base, void *scratch)
{
    const int line = k.kind == MARRAM_DSP_DEPTHWISE_LINE;
    const int reach = (w.kernel_height - 1) * w.dilation_y + 1;
    const int plane = line ? k.pitch : ((k.band - 1) * w.stride_y + reach) * k.pitch;
    int16_t *planes = (int16_t *)scratch;
    const int quads = k.group == 4 ? w.in_channels & ~3 : 0;
    marram_dsp_fill(planes, k.group * plane / 2, zeros);
    for (int channel = 0; channel < quads; channel += 4) {
        if (line) {
            marram_dsp_depthwise_line(w, k, 4, x + channel, y + channel, row_begin, row_end, records + channel * k.record, planes);
        } else {
            marram_dsp_depthwise_group(w, k, 4, x + channel, y + channel, row_begin, row_end, records + channel * k.record,
                                       zeros, base, planes);
        }
    }
    for (int channel = quads; channel < w.in_channels; channel++) {
        if (line) {
            marram_dsp_depthwise_line(w, k, 1, x + channel, y + channel, row_begin, row_end, records + channel * k.record, planes);
        } else {
            marram_dsp_depthwise_group(w, k, 1, x + channel, y + channel, row_begin, row_end, records + channel * k.record,
                                       zeros, base, planes);
        }
    }
}
#endif
