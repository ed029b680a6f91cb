#ifndef MARRAM_DSP_AVERAGE_POOL2D_H
#define MARRAM_DSP_AVERAGE_POOL2D_H
#include "common/window.h"
#include "dsp/requantise.h"

/* Sums of four channels over `count` pixels `channels` bytes apart, onto pairs of int16: of channels 0 and 2, and 1 and 3. */
MARRAM_INLINE void marram_dsp_sum4(const int8_t *x, int count, int channels, uint32_t *even, uint32_t *odd)
{
    uint32_t e = *even, o = *odd;
    if (count & 1) {
        const uint32_t word = marram_load32(x);
        x += channels;
        e = marram_add_even(e, word);
        o = marram_add_odd(o, word);
    }
    for (int left = count / 2; left > 0; left--) {
        const uint32_t first = marram_load32(x);
        const uint32_t second = marram_load32(x + channels);
        x += 2 * channels;
        e = marram_add_even(e, first);
        o = marram_add_odd(o, first);
        e = marram_add_even(e, second);
        o = marram_add_odd(o, second);
    }
    *even = e;
    *odd = o;
}

/* How a sum becomes an output: (sum * factor + offset) >> shift where the generator has tried every sum and found these constants
 * to divide it and round as they should; with `twice` the doubly rounded product of sum + offset and factor. */
typedef struct {
    int32_t factor, offset, addend;
    int shift, twice;
} marram_dsp_quotient;

MARRAM_INLINE int8_t marram_dsp_average(int32_t sum, const marram_dsp_quotient by, int low, int high)
{
    if (by.twice) {
        return (int8_t)marram_dsp_requantise(sum + by.offset, by.factor, by.shift, by.addend, 1, low, high);
    }
    const int32_t value = marram_narrow(sum * by.factor + by.offset, by.shift);
    const int32_t floored = low > -128 && value < low ? low : value;
    return (int8_t)(high < 127 && floored > high ? high : floored);
}

/* Averages of windows that lie in the image, at most 256 pixels each so that sums fit int16, of rows [row_begin, row_end). */
MARRAM_INLINE void marram_dsp_average_pool2d(const marram_window w, const int8_t *x, int8_t *y, int row_begin, int row_end,
                                             const marram_dsp_quotient by, int low, int high)
{
    const int row_bytes = w.in_width * w.in_channels;
    const int run = w.kernel_width == w.in_width && w.in_rows == w.in_height ? w.kernel_height : 1; /* rows without a gap */
    for (int oy = row_begin; oy < row_end; oy++) {
        int8_t *out = y + marram_row(oy, w.out_rows, w.out_height, w.out_width * w.out_channels);
        for (int ox = 0; ox < w.out_width; ox++, out += w.out_channels) {
            const int8_t *left = x + ox * w.stride_x * w.in_channels;
            for (int c = 0; c < (w.in_channels & ~3); c += 4) {
                uint32_t even = 0, odd = 0;
                for (int ky = 0; ky < w.kernel_height; ky += run) {
                    const int8_t *row = left + marram_row(oy * w.stride_y + ky, w.in_rows, w.in_height, row_bytes);
                    marram_dsp_sum4(row + c, run * w.kernel_width, w.in_channels, &even, &odd);
                }
                out[c] = marram_dsp_average(marram_low(even), by, low, high);
                out[c + 1] = marram_dsp_average(marram_low(odd), by, low, high);
                out[c + 2] = marram_dsp_average(marram_high(even), by, low, high);
                out[c + 3] = marram_dsp_average(marram_high(odd), by, low, high);
            }
            for (int c = w.in_channels & ~3; c < w.in_channels; c++) {
                int32_t sum = 0;
                for (int ky = 0; ky < w.kernel_height; ky++) {
                    const int8_t *row = left + marram_row(oy * w.stride_y + ky, w.in_rows, w.in_height, row_bytes);
                    for (int kx = 0; kx < w.kernel_width; kx++) {
                        sum += row[kx * w.in_channels + c];
                    }
                }
                out[c] = marram_dsp_average(sum, by, low, high);
            }
        }
    }
}
#endif
