#ifndef MARRAM_HOST_AVERAGE_POOL2D_H
#define MARRAM_HOST_AVERAGE_POOL2D_H
#include "common/window.h"
#include "host/vectors.h"

/* The rounded means of `channels` sums over `count` places, halves away from zero. */
MARRAM_INLINE void marram_host_means(const int32_t *sums, int8_t *y, int channels, int count, int low, int high)
{
    for (int c = 0; c < channels; c++) {
        const int32_t half = sums[c] < 0 ? -(count / 2) : count / 2;
        y[c] = (int8_t)marram_clamp((sums[c] + half) / count, low, high);
    }
}

/* Average over the places of the window that lie in the image; a slice of channels at a time. */
MARRAM_INLINE void marram_host_average_pool2d(const marram_window w, const int8_t *x, int8_t *y, int low, int high)
{
    const int step = MARRAM_SLICE, channels = w.in_channels;
    for (int pixel = 0; pixel < w.out_height * w.out_width; pixel++, y += channels) {
        const int top = pixel / w.out_width * w.stride_y - w.pad_top, left = pixel % w.out_width * w.stride_x - w.pad_left;
        const int first_y = top < 0 ? 0 : top, first_x = left < 0 ? 0 : left;
        const int past_y = top + w.kernel_height > w.in_height ? w.in_height : top + w.kernel_height;
        const int past_x = left + w.kernel_width > w.in_width ? w.in_width : left + w.kernel_width;
        const int count = (past_y - first_y) * (past_x - first_x);
        MARRAM_ALIGNED(64) int32_t sums[MARRAM_SLICE];
        for (int c = 0; c + step <= channels; c += step) {
            const int8_t *from = x + c;
            const marram_v32 none = {0};
            marram_v32 a = none, b = none, e = none, f = none;
            for (int iy = first_y; iy < past_y; iy++) {
                for (int ix = first_x; ix < past_x; ix++) {
                    const int8_t *place = from + (iy * w.in_width + ix) * channels;
                    a = marram_added(a, marram_signed_at(place));
                    b = marram_added(b, marram_signed_at(place + MARRAM_LANES));
                    e = marram_added(e, marram_signed_at(place + 2 * MARRAM_LANES));
                    f = marram_added(f, marram_signed_at(place + 3 * MARRAM_LANES));
                }
            }
            memcpy(sums, &a, sizeof a);
            memcpy(sums + MARRAM_LANES, &b, sizeof b);
            memcpy(sums + 2 * MARRAM_LANES, &e, sizeof e);
            memcpy(sums + 3 * MARRAM_LANES, &f, sizeof f);
            marram_host_means(sums, y + c, step, count, low, high);
        }
        const int whole = channels / step * step;
        for (int c = whole; c < channels; c++) {
            int32_t sum = 0;
            for (int iy = first_y; iy < past_y; iy++) {
                for (int ix = first_x; ix < past_x; ix++) {
                    sum += x[(iy * w.in_width + ix) * channels + c];
                }
            }
            marram_host_means(&sum, y + c, 1, count, low, high);
        }
    }
}
#endif
