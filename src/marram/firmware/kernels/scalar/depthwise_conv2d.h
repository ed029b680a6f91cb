#ifndef MARRAM_SCALAR_DEPTHWISE_CONV2D_H
#define MARRAM_SCALAR_DEPTHWISE_CONV2D_H
#include "portable/blocks.h"

/* Depthwise convolution by a kernel of three by three, one channel at a time: some rows of the channel are gathered into a
 * band, padding included, and a core's own function works through the band from top to bottom, a few columns wide. */
typedef struct {
    int8_t *y, *y_end; /* of the first column's results */
    int y_row, y_step; /* bytes from row to row, and from column to column */
    int pitch;         /* bytes of a row of the band */
} marram_strip;

/* The results of the columns that start at `band`, for as many rows as y to y_end has; of the channel's own record. */
typedef void (*marram_columns)(const int8_t *weights, const int8_t *band, const int32_t *channel, const marram_strip *strip);

/* weights: (C, 9) int8. channels: (C, record) int32. `pitch` covers all columns of the windows, `wide` are made at a time,
 * `tall` rows of the output fit a band. Where `by_rows` is set a row of the output is staged before it is written. */
typedef struct {
    marram_window w;
    const int8_t *weights;
    const int32_t *channels;
    int record, pitch, wide, tall, by_rows, zero_in, clamps, low, high;
} marram_bands;

/* `rows` image rows of one channel from row `first` on, which stands at `slot`; `x` is where the channel's first pixel stands,
 * `to` where the first row's first pixel goes. What is left and right of a row in the band stays as it is. */
MARRAM_NOINLINE static void marram_gather_rows(const marram_bands *b, const int8_t *x, int first, int slot, int8_t *to, int rows)
{
    const int step = b->w.in_channels;
    const int row_bytes = b->w.in_width * step;
    const int most = b->pitch - b->w.pad_left;
    const int count = most < b->w.in_width ? most : b->w.in_width;
    const int skip = b->pitch - count;
    const int8_t *const end = x + b->w.in_rows * row_bytes;
    const int8_t *row = x + slot * row_bytes;
    for (; rows > 0; rows--, first++, to += skip) {
        const int8_t *from = row;
        int left = count;
        if (first < 0 || first >= b->w.in_height) {
            for (; left > 0; left--) {
                *to++ = (int8_t)b->zero_in;
            }
        }
        for (; left >= 4; left -= 4, from += 4 * step, to += 4) {
            to[0] = from[0];
            to[1] = from[step];
            to[2] = from[2 * step];
            to[3] = from[3 * step];
        }
        for (; left > 0; left--, from += step) {
            *to++ = *from;
        }
        row += row_bytes;
        row = row == end ? x : row;
    }
}

/* One channel, rows [row_begin, row_end) at most b->tall of them; `filled` rows of the band are there from the rows before. */
MARRAM_INLINE void marram_band_run(const marram_bands *b, const int8_t *x, int8_t *y, int row_begin, int row_end, int c,
                                   int slot, int filled, int8_t *band, int y_row, marram_columns columns)
{
    const int first = row_begin * b->w.stride_y - b->w.pad_top;
    const int rows = (row_end - row_begin - 1) * b->w.stride_y + 3;
    marram_gather_rows(b, x + c, first + filled, marram_wrapped(slot + filled, b->w.in_rows),
                       band + filled * b->pitch + b->w.pad_left, rows - filled);
    marram_strip strip = {y + c, y + c, y_row, b->w.out_channels, b->pitch};
    for (int column = 0; column < b->w.out_width; column += b->wide) {
        /* the last columns are made with some before them once more */
        const int from = column + b->wide <= b->w.out_width ? column : b->w.out_width - b->wide;
        strip.y = y + c + from * b->w.out_channels;
        strip.y_end = strip.y + (row_end - row_begin) * y_row;
        columns(b->weights + 9 * c, band + from * b->w.stride_x, b->channels + b->record * c, &strip);
    }
}

/* Rows [row_begin, row_end) of the output. scratch: a band of pitch * ((tall - 1) * stride + 3) bytes; by rows a row of the
 * output before it. By rows, a row is read before it is written; else channels are independent of each other, and a
 * channel's row is read before the output's row at the same place is written. */
MARRAM_NOINLINE static void marram_bands_run(const marram_bands *b, const int8_t *x, int8_t *y, int row_begin, int row_end,
                                             void *scratch, marram_columns columns)
{
    const int row_bytes = b->w.out_width * b->w.out_channels;
    int slot = (row_begin * b->w.stride_y - b->w.pad_top) % b->w.in_rows;
    slot += slot < 0 ? b->w.in_rows : 0;
    int8_t *const staged = scratch;
    int8_t *const band = staged + (b->by_rows ? row_bytes : 0);
    const int band_bytes = b->pitch * ((b->tall - 1) * b->w.stride_y + 3);
    for (int i = 0; i < band_bytes; i++) {
        band[i] = (int8_t)b->zero_in;
    }
    if (b->by_rows) {
        int out_slot = row_begin % b->w.out_rows;
        for (int row = row_begin; row < row_end; row++) {
            for (int c = 0; c < b->w.out_channels; c++) {
                marram_band_run(b, x, staged, row, row + 1, c, slot, 0, band, row_bytes, columns);
            }
            marram_deliver(staged, y + out_slot * row_bytes, row_bytes, b->clamps, b->low, b->high);
            slot = marram_wrapped(slot + b->w.stride_y, b->w.in_rows);
            out_slot = out_slot + 1 == b->w.out_rows ? 0 : out_slot + 1;
        }
        return;
    }
    const int shared = (3 - b->w.stride_y) * b->pitch;
    for (int c = 0; c < b->w.out_channels; c++) {
        int filled = 0;
        int at = slot;
        for (int row = row_begin; row < row_end; row += b->tall) {
            const int end = row + b->tall < row_end ? row + b->tall : row_end;
            marram_band_run(b, x, y + row * row_bytes, row, end, c, at, filled, band, row_bytes, columns);
            const int8_t *from = band + b->tall * b->w.stride_y * b->pitch;
            for (int i = 0; i < shared && end < row_end; i++) {
                band[i] = from[i];
            }
            filled = 3 - b->w.stride_y;
            at = marram_wrapped(at + b->tall * b->w.stride_y, b->w.in_rows);
        }
    }
    if (b->clamps) {
        int8_t *const first = y + row_begin * row_bytes;
        marram_deliver(first, first, (row_end - row_begin) * row_bytes, 1, b->low, b->high);
    }
}

/* The columns function in plain C. requantise: the family's, with the record that follows the channel's bias. */
typedef int8_t (*marram_requantise)(int32_t a, const int32_t *record);

MARRAM_INLINE void marram_columns_plain(const int8_t *weights, const int8_t *band, const int32_t *channel,
                                        const marram_strip *strip, int wide, int stride, marram_requantise requantise)
{
    for (int8_t *y = strip->y; y != strip->y_end; y += strip->y_row, band += strip->pitch * stride) {
        int8_t results[6];
        for (int p = 0; p < wide; p++) {
            int32_t sum = channel[0];
            for (int i = 0; i < 9; i++) {
                sum += band[i / 3 * strip->pitch + p * stride + i % 3] * weights[i];
            }
            results[p] = requantise(sum, channel + 1);
        }
        for (int p = 0; p < wide; p++) {
            y[p * strip->y_step] = results[p];
        }
    }
}

#define MARRAM_COLUMNS_PLAIN(FUNCTION, WIDE, STRIDE, REQUANTISE)                                                       \
    static inline void FUNCTION(const int8_t *weights, const int8_t *band, const int32_t *channel,                     \
                                const marram_strip *strip)                                                             \
    {                                                                                                                  \
        marram_columns_plain(weights, band, channel, strip, WIDE, STRIDE, REQUANTISE);                                 \
    }
#endif
