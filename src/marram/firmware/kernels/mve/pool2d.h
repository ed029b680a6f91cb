#ifndef MARRAM_MVE_POOL2D_H
#define MARRAM_MVE_POOL2D_H
#include "common/window.h"
#include "mve/output.h"

/* Pools of rows [row_begin, row_end) over the places of the window that lie in the image. `from` is the first of them,
 * `places` of a row are one pixel apart, rows are found by marram_row as they may stand in a ring. */
typedef struct {
    int first_y, past_y, first_x, past_x;
} marram_mve_places;

MARRAM_INLINE marram_mve_places marram_mve_places_of(const marram_window *w, int oy, int ox)
{
    const int top = oy * w->stride_y - w->pad_top, left = ox * w->stride_x - w->pad_left;
    const int bottom = top + w->kernel_height, right = left + w->kernel_width;
    const marram_mve_places places = {top < 0 ? 0 : top, bottom > w->in_height ? w->in_height : bottom, left < 0 ? 0 : left,
                                      right > w->in_width ? w->in_width : right};
    return places;
}

/* Average, halves away from zero. The division is a product with 2^32 / count, rounded up: exact, as the generator has checked
 * (magnitudes times count stay below 2^32). */
MARRAM_MVE_SHARED void marram_mve_average_pool2d(const marram_window *w, const int8_t *x, int8_t *y, int row_begin,
                                                 int row_end, int low, int high)
{
    const int channels = w->in_channels, row_bytes = w->in_width * channels;
    for (int oy = row_begin; oy < row_end; oy++) {
        int8_t *out = y + marram_row(oy, w->out_rows, w->out_height, w->out_width * channels);
        for (int ox = 0; ox < w->out_width; ox++, out += channels) {
            const marram_mve_places at = marram_mve_places_of(w, oy, ox);
            const int width = at.past_x - at.first_x, count = (at.past_y - at.first_y) * width;
#if MARRAM_MVE
            const uint32_t inverse = count > 1 ? UINT32_MAX / (uint32_t)count + 1u : 0u;
            for (int c = 0; c < channels; c += 4) {
                const mve_pred16_t inside = vctp32q((uint32_t)(channels - c));
                int32x4_t sum = vdupq_n_s32(0);
                for (int iy = at.first_y; iy < at.past_y; iy++) {
                    const int8_t *from = x + marram_row(iy, w->in_rows, w->in_height, row_bytes) + at.first_x * channels + c;
                    __asm volatile("vmsr p0, %[inside]\n\t"
                                   "dls lr, %[width]\n\t"
                                   "1:\n\t"
                                   "vpst\n\t"
                                   "vldrbt.s32 q0, [%[from]]\n\t"
                                   "vadd.i32 %q[sum], %q[sum], q0\n\t"
                                   "add %[from], %[from], %[channels]\n\t"
                                   "le lr, 1b\n\t"
                                   : [sum] "+&w"(sum), [from] "+&l"(from)
                                   : [inside] "r"((uint32_t)inside), [width] "r"(width), [channels] "r"(channels)
                                   : "lr", "q0", "memory");
                }
                if (count > 1) {
                    const uint32x4_t magnitude = vreinterpretq_u32_s32(vaddq_n_s32(vabsq_s32(sum), count / 2));
                    const int32x4_t quotient = vreinterpretq_s32_u32(vmulhq_u32(magnitude, vdupq_n_u32(inverse)));
                    const int32x4_t sign = vshrq_n_s32(sum, 31);
                    sum = vsubq_s32(veorq_s32(quotient, sign), sign);
                }
                sum = vminq_s32(vmaxq_s32(sum, vdupq_n_s32(low)), vdupq_n_s32(high));
                vstrbq_p_s32(out + c, sum, inside);
            }
#else
            for (int c = 0; c < channels; c++) {
                int32_t sum = 0;
                for (int iy = at.first_y; iy < at.past_y; iy++) {
                    const int8_t *from = x + marram_row(iy, w->in_rows, w->in_height, row_bytes) + at.first_x * channels + c;
                    for (int i = 0; i < width; i++) {
                        sum += from[i * channels];
                    }
                }
                const int32_t mean = sum < 0 ? (sum - count / 2) / count : (sum + count / 2) / count;
                out[c] = (int8_t)marram_clamp(mean, low, high);
            }
#endif
        }
    }
}

/* Maximum, 16 channels at a time. */
MARRAM_MVE_SHARED void marram_mve_max_pool2d(const marram_window *w, const int8_t *x, int8_t *y, int row_begin, int row_end,
                                             int low, int high)
{
    const int channels = w->in_channels, row_bytes = w->in_width * channels;
    for (int oy = row_begin; oy < row_end; oy++) {
        int8_t *out = y + marram_row(oy, w->out_rows, w->out_height, w->out_width * channels);
        for (int ox = 0; ox < w->out_width; ox++, out += channels) {
            const marram_mve_places at = marram_mve_places_of(w, oy, ox);
            const int width = at.past_x - at.first_x;
#if MARRAM_MVE
            for (int c = 0; c < channels; c += 16) {
                const mve_pred16_t inside = vctp8q((uint32_t)(channels - c));
                int8x16_t most = vdupq_n_s8((int8_t)low);
                for (int iy = at.first_y; iy < at.past_y; iy++) {
                    const int8_t *from = x + marram_row(iy, w->in_rows, w->in_height, row_bytes) + at.first_x * channels + c;
                    __asm volatile("vmsr p0, %[inside]\n\t"
                                   "dls lr, %[width]\n\t"
                                   "1:\n\t"
                                   "vpst\n\t"
                                   "vldrbt.8 q0, [%[from]]\n\t"
                                   "vmax.s8 %q[most], %q[most], q0\n\t"
                                   "add %[from], %[from], %[channels]\n\t"
                                   "le lr, 1b\n\t"
                                   : [most] "+&w"(most), [from] "+&l"(from)
                                   : [inside] "r"((uint32_t)inside), [width] "r"(width), [channels] "r"(channels)
                                   : "lr", "q0", "memory");
                }
                vstrbq_p_s8(out + c, vminq_s8(most, vdupq_n_s8((int8_t)high)), inside);
            }
#else
            for (int c = 0; c < channels; c++) {
                int32_t most = low;
                for (int iy = at.first_y; iy < at.past_y; iy++) {
                    const int8_t *from = x + marram_row(iy, w->in_rows, w->in_height, row_bytes) + at.first_x * channels + c;
                    for (int i = 0; i < width; i++) {
                        most = from[i * channels] > most ? from[i * channels] : most;
                    }
                }
                out[c] = (int8_t)marram_clamp(most, low, high);
            }
#endif
        }
    }
}
#endif
