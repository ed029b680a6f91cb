#ifndef MARRAM_HOST_CONV2D_H
#define MARRAM_HOST_CONV2D_H
#include "common/window.h"
#include "host/scaled.h"

/* Convolutions and layers on the last axis, as products of packed weights with quads of input bytes.
 *
 * Under a window stand `segments` runs of input bytes, of `quads` times four bytes each; what a run has beyond its window is
 * multiplied by weights 0. Weights: for each group of at most four blocks of 16 channels, for each segment, for each quad, for
 * each block: (16 channels, 4 bytes). */
typedef struct {
    int rows, columns;            /* of output pixels */
    int channels;                 /* of a pixel of output */
    int in_row, in_pixel;         /* bytes from a row, a pixel of output to the next, in the prepared input */
    int kernel_rows, kernel_row;  /* segments above one another, and bytes from one to the next */
    int kernel_columns, kernel_column;
    int quads;
} marram_product;

MARRAM_INLINE int marram_least(int a, int b)
{
    return a < b ? a : b;
}

#if defined(MARRAM_PLAIN)
/* One channel of a record's sum as a byte. */
MARRAM_INLINE int8_t marram_byte(int32_t sum, const int32_t *record, const marram_scaling s)
{
    const int32_t value = marram_multiply(sum, record[16 * MARRAM_MULTIPLIER], record[16 * MARRAM_SHIFT]);
    return (int8_t)marram_clamp(value + s.zero, s.low, s.high);
}

MARRAM_SHARED void marram_host_product(const marram_product d, const uint8_t *x, int8_t *y, const int8_t *weights,
                                       const marram_scaling s)
{
    const int blocks = (d.channels + 15) / 16, depth = d.kernel_rows * d.kernel_columns * d.quads;
    for (int pixel = 0; pixel < d.rows * d.columns; pixel++) {
        const uint8_t *window = x + pixel / d.columns * d.in_row + pixel % d.columns * d.in_pixel;
        for (int c = 0; c < d.channels; c++) {
            const int group = c / 64 * 4, step = 64 * marram_least(4, blocks - group);
            const int8_t *w = weights + group * depth * 64 + c % 64 * 4;
            const int32_t *record = s.records + c / 16 * s.rows * 16 + c % 16;
            int32_t sum = record[16 * MARRAM_BIAS];
            for (int k = 0; k < d.kernel_rows * d.kernel_columns; k++) {
                const uint8_t *run = window + k / d.kernel_columns * d.kernel_row + k % d.kernel_columns * d.kernel_column;
                for (int q = 0; q < d.quads; q++, run += 4, w += step) {
                    sum += (int8_t)run[0] * w[0] + (int8_t)run[1] * w[1] + (int8_t)run[2] * w[2] + (int8_t)run[3] * w[3];
                }
            }
            y[pixel * d.channels + c] = marram_byte(sum, record, s);
        }
    }
}
#else
enum { MARRAM_MOST_PIXELS = 16 };

/* The sums of a tile are variables of their own, s<pixel>_<vector>, as compilers keep no array in registers whose loops they
 * unroll late. What is beyond a tile's pixels and vectors is folded away. */
#define MARRAM_EACH_FOUR(DO) DO(0, 1, 2, 3) DO(4, 5, 6, 7) DO(8, 9, 10, 11) DO(12, 13, 14, 15)
#define MARRAM_EACH_PAIR(DO) DO(0, 1) DO(2, 3) DO(4, 5) DO(6, 7) DO(8, 9) DO(10, 11) DO(12, 13) DO(14, 15)
#define MARRAM_EACH(DO) \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15)

#define MARRAM_DECLARE(p) marram_sums s##p##_0 = none, s##p##_1 = none, s##p##_2 = none, s##p##_3 = none;
#define MARRAM_BEGIN(p)                                          \
    if ((p) < pixels) {                                          \
        s##p##_0 = marram_begin(record[0]);                      \
        s##p##_1 = vectors > 1 ? marram_begin(record[1]) : none; \
        s##p##_2 = vectors > 2 ? marram_begin(record[2]) : none; \
        s##p##_3 = vectors > 3 ? marram_begin(record[3]) : none; \
    }
#define MARRAM_MULTIPLY(p)                                                                          \
    if ((p) < pixels) {                                                                             \
        const marram_quad quad = marram_quad_at(run + (p) * d.in_pixel + 4 * q);                    \
        s##p##_0 = marram_dot(s##p##_0, quad, weights);                                             \
        s##p##_1 = vectors > 1 ? marram_dot(s##p##_1, quad, weights + MARRAM_SLICE) : s##p##_1;     \
        s##p##_2 = vectors > 2 ? marram_dot(s##p##_2, quad, weights + 2 * MARRAM_SLICE) : s##p##_2; \
        s##p##_3 = vectors > 3 ? marram_dot(s##p##_3, quad, weights + 3 * MARRAM_SLICE) : s##p##_3; \
    }
#define MARRAM_PUT(p)                                                                                              \
    if ((p) < pixels) {                                                                                            \
        marram_put(y + (p) * channels + first,                                                                     \
                   marram_finished(s##p##_0, vectors > 1 ? s##p##_1 : s##p##_0, vectors > 2 ? s##p##_2 : s##p##_0, \
                                   vectors > 3 ? s##p##_3 : s##p##_0, record, s),                                  \
                   bytes);                                                                                         \
    }
#define MARRAM_PUT_PAIR(p, r)                                                                                      \
    if ((p) < pixels) {                                                                                            \
        marram_put_apart(y + (p) * channels, marram_finished(s##p##_0, s##p##_1, s##r##_0, s##r##_1, twice, s), 2, \
                         bytes, channels);                                                                         \
    }
#define MARRAM_PUT_FOUR(p, r, t, v)                                                                                          \
    if ((p) < pixels) {                                                                                                      \
        marram_put_apart(y + (p) * channels + first, marram_finished(s##p##_0, s##r##_0, s##t##_0, s##v##_0, four_times, s), \
                         4, bytes, channels);                                                                                \
    }

MARRAM_INLINE marram_slice marram_finished(marram_sums a, marram_sums b, marram_sums c, marram_sums d,
                                           const int32_t *const records[4], const marram_scaling s)
{
    const marram_sums sums[4] = {a, b, c, d};
    return marram_in_a_row(marram_scaled(sums, records, s));
}

/* A slice holds `pixels` pixels, of which the first `bytes` bytes each are wanted, `channels` apart. */
MARRAM_INLINE void marram_put_apart(int8_t *y, marram_slice slice, int pixels, int bytes, int channels)
{
    if (bytes == channels && bytes * pixels == MARRAM_SLICE) {
        marram_put(y, slice, MARRAM_SLICE);
        return;
    }
    int8_t all[MARRAM_SLICE];
    memcpy(all, &slice, sizeof all);
    MARRAM_UNROLL
    for (int p = 0; p < pixels; p++) {
        memcpy(y + p * channels, all + p * (MARRAM_SLICE / pixels), (size_t)bytes);
    }
}

/* One tile: `pixels` in a row times `vectors` of channels from `first` on, `bytes` channels, which stand in a group of
 * `blocks` blocks. */
MARRAM_INLINE void marram_product_tile(const marram_product d, const uint8_t *x, int8_t *y, const int8_t *weights, int pixels,
                                       int vectors, int first, int bytes, int blocks, const marram_scaling s)
{
    const int channels = d.channels, from = first / MARRAM_LANES;
    const marram_sums none = marram_more();
    const int32_t *const record[4] = {marram_record(s.records, s.rows, from),
                                      marram_record(s.records, s.rows, from + (vectors > 1 ? 1 : 0)),
                                      marram_record(s.records, s.rows, from + (vectors > 2 ? 2 : 0)),
                                      marram_record(s.records, s.rows, from + (vectors > 3 ? 3 : 0))};
    const int32_t *const twice[4] = {record[0], record[1], record[0], record[1]};
    const int32_t *const four_times[4] = {record[0], record[0], record[0], record[0]};
    MARRAM_EACH(MARRAM_DECLARE)
    MARRAM_EACH(MARRAM_BEGIN)
    for (int ky = 0; ky < d.kernel_rows; ky++) {
        for (int kx = 0; kx < d.kernel_columns; kx++) {
            const uint8_t *run = x + ky * d.kernel_row + kx * d.kernel_column;
            for (int q = 0; q < d.quads; q++, weights += blocks * 64) {
                MARRAM_EACH(MARRAM_MULTIPLY)
            }
        }
    }
    if (vectors == 1 && pixels % 4 == 0) {
        MARRAM_EACH_FOUR(MARRAM_PUT_FOUR)
    } else if (vectors == 2 && pixels % 2 == 0 && bytes == channels) {
        MARRAM_EACH_PAIR(MARRAM_PUT_PAIR)
    } else {
        MARRAM_EACH(MARRAM_PUT)
    }
}

/* One pixel: each vector's sum is made in four, so that a product need not wait for the one before. */
MARRAM_INLINE void marram_product_pixel(const marram_product d, const uint8_t *x, int8_t *y, const int8_t *weights, int vectors,
                                        int first, int bytes, int blocks, const marram_scaling s)
{
    marram_sums sums[4 * 4];
    MARRAM_UNROLL
    for (int n = 0; n < vectors; n++) {
        sums[n] = marram_begin(marram_record(s.records, s.rows, first / MARRAM_LANES + n));
        sums[4 + n] = sums[8 + n] = sums[12 + n] = marram_more();
    }
    const int even = d.quads / 4 * 4;
    for (int q = 0; q < even; q += 4, weights += 4 * blocks * 64) {
        MARRAM_UNROLL
        for (int t = 0; t < 4; t++) {
            const marram_quad quad = marram_quad_at(x + 4 * (q + t));
            MARRAM_UNROLL
            for (int n = 0; n < vectors; n++) {
                sums[4 * t + n] = marram_dot(sums[4 * t + n], quad, weights + t * blocks * 64 + n * MARRAM_SLICE);
            }
        }
    }
    for (int q = even; q < d.quads; q++, weights += blocks * 64) {
        const marram_quad quad = marram_quad_at(x + 4 * q);
        MARRAM_UNROLL
        for (int n = 0; n < vectors; n++) {
            sums[n] = marram_dot(sums[n], quad, weights + n * MARRAM_SLICE);
        }
    }
    MARRAM_UNROLL
    for (int n = 0; n < vectors; n++) {
        sums[n] = marram_joined(marram_joined(sums[n], sums[4 + n]), marram_joined(sums[8 + n], sums[12 + n]));
    }
    const int32_t *record[4];
    MARRAM_UNROLL
    for (int n = 0; n < 4; n++) {
        record[n] = marram_record(s.records, s.rows, first / MARRAM_LANES + (n < vectors ? n : 0));
    }
    marram_put(y + first,
               marram_finished(sums[0], sums[vectors > 1 ? 1 : 0], sums[vectors > 2 ? 2 : 0], sums[vectors > 3 ? 3 : 0], record,
                               s),
               bytes);
}

/* All pixels of `vectors` vectors of channels, in tiles of as even a width as the registers allow. */
MARRAM_INLINE void marram_product_columns(const marram_product d, const uint8_t *x, int8_t *y, const int8_t *weights,
                                          int vectors, int first, int bytes, int blocks,
                                       const marram_scaling s)
{
    const int most = marram_least(MARRAM_TILE / vectors, MARRAM_MOST_PIXELS);
    const int tiles = (d.columns + most - 1) / most;
    const int together = vectors == 1 ? 4 : vectors == 2 ? 2 : 1;
    const int even = ((d.columns + tiles - 1) / tiles + together - 1) / together * together;
    const int pixels = marram_least(marram_least(even, most), d.columns);
    const int rest = d.columns % pixels;
    for (int row = 0; row < d.rows; row++) {
        const uint8_t *in = x + row * d.in_row;
        int8_t *out = y + row * d.columns * d.channels;
        for (int column = 0; column + pixels <= d.columns; column += pixels) {
            marram_product_tile(d, in + column * d.in_pixel, out + column * d.channels, weights, pixels, vectors, first, bytes,
                                blocks, s);
        }
        if (rest > 0) {
            marram_product_tile(d, in + (d.columns - rest) * d.in_pixel, out + (d.columns - rest) * d.channels, weights, rest,
                                vectors, first, bytes, blocks, s);
        }
    }
}

/* `vectors` vectors of channels from `first` on, in a group that begins at block `group`. */
MARRAM_INLINE void marram_product_vectors(const marram_product d, const uint8_t *x, int8_t *y, const int8_t *weights,
                                          int vectors, int first, int bytes, const marram_scaling s)
{
    const int blocks = (d.channels + 15) / 16, group = first / 64 * 4;
    const int size = bytes == 64 ? 4 : marram_least(4, blocks - group);
    const int depth = d.kernel_rows * d.kernel_columns * d.quads;
    const int8_t *mine = weights + group * depth * 64 + (first % 64) * 4;
    if (d.rows * d.columns == 1 && d.kernel_rows * d.kernel_columns == 1) {
        marram_product_pixel(d, x, y, mine, vectors, first, bytes, size, s);
    } else {
        marram_product_columns(d, x, y, mine, vectors, first, bytes, size, s);
    }
}

/* All output of a product on prepared input. */
MARRAM_INLINE void marram_host_product(const marram_product d, const uint8_t *x, int8_t *y, const int8_t *weights,
                                       const marram_scaling s)
{
    const int step = MARRAM_TILE_VECTORS * MARRAM_LANES, rest = d.channels % step;
    for (int first = 0; first + step <= d.channels; first += step) {
        marram_product_vectors(d, x, y, weights, MARRAM_TILE_VECTORS, first, step, s);
    }
    if (rest > 0) {
        marram_product_vectors(d, x, y, weights, (rest + MARRAM_LANES - 1) / MARRAM_LANES, d.channels - rest, rest,
                               s);
    }
}
#endif

/* A layer on the last axis, or a convolution of 1 x 1: the input needs no padding. */
MARRAM_INLINE void marram_host_dense(const marram_product d, const int8_t *x, int8_t *y, const int8_t *weights,
                                     const marram_scaling s, uint8_t *scratch)
{
    const size_t bytes = (size_t)d.rows * (size_t)d.columns * (size_t)d.in_pixel;
    if (MARRAM_FLIP == 0 && d.in_pixel % 4 == 0) {
        marram_host_product(d, (const uint8_t *)x, y, weights, s);
        return;
    }
    marram_prepare(scratch, x, bytes);
    memset(scratch + bytes, 0, 4);
    marram_host_product(d, scratch, y, weights, s);
}

/* A picture of prepared input with its padding: `rows` rows of `columns` pixels of `channels` bytes of an image. Each row is
 * in `phases` parts, pixel i in part i % phases, so that strided pixels stand side by side. */
typedef struct {
    int height, width, channels; /* of the image */
    int rows, columns, phases;   /* of the picture; columns of each part */
    int top, left;
} marram_picture;

MARRAM_INLINE void marram_prepare_picture(const marram_picture p, const int8_t *x, uint8_t *to, int zero)
{
    const int part = p.columns * p.channels, row_bytes = part * p.phases;
    const int pad = (uint8_t)(int8_t)zero ^ MARRAM_FLIP;
    for (int row = 0; row < p.rows; row++, to += row_bytes) {
        const int iy = row - p.top;
        if (iy < 0 || iy >= p.height) {
            memset(to, pad, (size_t)row_bytes);
            continue;
        }
        const int8_t *from = x + iy * p.width * p.channels;
        if (p.phases == 1) {
            const int some = marram_least(p.width, p.columns - p.left);
            const int left = p.left * p.channels, inside = some * p.channels, right = part - left - inside;
            memset(to, pad, (size_t)left);
            marram_prepare(to + left, from, (size_t)inside);
            memset(to + left + inside, pad, (size_t)right);
            continue;
        }
        for (int phase = 0; phase < p.phases; phase++) {
            uint8_t *here = to + phase * part;
            const int first = marram_least((p.left - phase + p.phases - 1) / p.phases, p.columns);
            const int past = marram_least((p.width + p.left - phase + p.phases - 1) / p.phases, p.columns);
            const int8_t *pixel = from + (first * p.phases + phase - p.left) * p.channels;
            memset(here, pad, (size_t)first * (size_t)p.channels);
            for (int column = first; column < past; column++, pixel += p.phases * p.channels) {
                marram_prepare(here + column * p.channels, pixel, (size_t)p.channels);
            }
            memset(here + past * p.channels, pad, (size_t)(p.columns - past) * (size_t)p.channels);
        }
    }
    memset(to, pad, 64); /* tiles read whole vectors and quads */
}

MARRAM_INLINE void marram_host_conv2d(const marram_picture p, const marram_product d, const int8_t *x, int8_t *y,
                                      const int8_t *weights, const marram_scaling s, int zero_in, uint8_t *scratch)
{
    marram_prepare_picture(p, x, scratch, zero_in);
    marram_host_product(d, scratch, y, weights, s);
}
#endif
