#ifndef MARRAM_PORTABLE_BLOCKS_H
#define MARRAM_PORTABLE_BLOCKS_H
#include "common/window.h"

/* Convolution in blocks of a few pixels by all output channels. Here is what all cores share: which bytes a block reads and
 * where its results go. What a core does best is the inner product, a function that takes a marram_block:
 *
 * `taps` to `taps_end` are rows of `pixels` pointers, one row for each stretch of `length` bytes of the window; the function
 * multiplies them with the weights in their order, for `groups` groups of output channels, and writes pixel p's results
 * to out + p * out_stride. */
typedef struct marram_blocks marram_blocks;

/* `padding` is one row of the kernel full of the input's zero point. */
typedef struct {
    marram_window w;
    const int8_t *padding;
} marram_image;

typedef struct {
    const int8_t *const *taps;
    const int8_t *const *taps_end;
    int length;
    int groups;
    const int8_t *weights;
    const int32_t *channels;
    int8_t *out;
    int out_stride;
    const marram_blocks *layer;
} marram_block;

typedef void (*marram_inner_product)(const marram_block *block);

/* How a block reads its windows: pixel by pixel, as at the image's left and right border; row by row; or copied into scratch,
 * where their stretches are too short to be read where they stand. A layer looks for each block, or knows beforehand. */
enum { MARRAM_READS_PIXELS, MARRAM_READS_ROWS, MARRAM_GATHERS, MARRAM_LOOKS };

/* A layer. `clamps`: results are clamped to the range when
 * they are delivered, as the inner product saturates to int8 only. */
struct marram_blocks {
    marram_image image;
    const int8_t *weights;
    const int32_t *channels;
    int groups, out_stride, reads, clamps, zero_out, low, high;
};

/* A pixel of the output: `slot` is where the first row of its window stands in the input's ring, `out_slot` its own row. */
typedef struct {
    int x, y, slot, out_slot;
} marram_pixel;

MARRAM_INLINE int marram_wrapped(int slot, int rows)
{
    while (slot >= rows) {
        slot -= rows;
    }
    return slot;
}

/* Walks down the rows of a pixel's window: `at` is column 0 of the row, `y` the row of the image. */
typedef struct {
    const int8_t *at;
    int y, slot;
} marram_walk;

MARRAM_INLINE marram_walk marram_walk_begin(const marram_window *w, const int8_t *x, const marram_pixel *pixel)
{
    marram_walk walk = {x + pixel->slot * w->in_width * w->in_channels, pixel->y * w->stride_y - w->pad_top, pixel->slot};
    return walk;
}

MARRAM_INLINE int marram_walk_inside(const marram_window *w, const marram_walk *walk)
{
    return (unsigned)walk->y < (unsigned)w->in_height;
}

MARRAM_INLINE void marram_walk_down(const marram_window *w, marram_walk *walk)
{
    const int row_bytes = w->in_width * w->in_channels;
    walk->y += w->dilation_y;
    walk->slot += w->dilation_y;
    walk->at += w->dilation_y * row_bytes;
    while (walk->slot >= w->in_rows) {
        walk->slot -= w->in_rows;
        walk->at -= w->in_rows * row_bytes;
    }
}

/* For each row of one pixel's window where column `first` of it stands, or the padding. */
MARRAM_NOINLINE static void marram_taps_rows(const marram_image *image, const int8_t *x, const marram_pixel *pixel, int first,
                                             const int8_t **taps, int pixels)
{
    const marram_window *const w = &image->w;
    marram_walk walk = marram_walk_begin(w, x, pixel);
    for (int ky = 0; ky < w->kernel_height; ky++, taps += pixels) {
        *taps = marram_walk_inside(w, &walk) ? walk.at + first * w->in_channels : image->padding;
        marram_walk_down(w, &walk);
    }
}

/* The rows' column 0 that stands in `taps` becomes a tap for each pixel of the window; `first` is the window's column. From the
 * last to the first, as rows are fewer than pixels. */
MARRAM_NOINLINE static void marram_taps_pixels(const marram_image *image, int first, const int8_t **taps, int pixels)
{
    const marram_window *const w = &image->w;
    const int8_t *const padding = image->padding;
    const int8_t **to = taps + w->kernel_height * w->kernel_width * pixels;
    for (int ky = w->kernel_height - 1; ky >= 0; ky--) {
        const int8_t *const row = taps[ky * pixels];
        int ix = first + w->kernel_width * w->dilation_x;
        while (ix != first) {
            ix -= w->dilation_x;
            to -= pixels;
            *to = row != padding && (unsigned)ix < (unsigned)w->in_width ? row + ix * w->in_channels : padding;
        }
    }
}

MARRAM_INLINE int8_t *marram_copy(int8_t *to, const int8_t *from, int count)
{
#if defined(__GNUC__) && defined(__ARM_FEATURE_UNALIGNED)
    for (; count >= 4; count -= 4, from += 4, to += 4) {
        __builtin_memcpy(to, from, 4); /* one load and one store, aligned or not */
    }
#endif
    for (; count > 0; count--) {
        *to++ = *from++;
    }
    return to;
}

/* A copy of one pixel's window. */
MARRAM_NOINLINE static void marram_gather(const marram_image *image, const int8_t *x, const marram_pixel *pixel, int8_t *to)
{
    const marram_window *const w = &image->w;
    const int8_t *const padding = image->padding;
    const int first = pixel->x * w->stride_x - w->pad_left;
    const int last = first + (w->kernel_width - 1) * w->dilation_x;
    const int whole = first >= 0 && last < w->in_width && w->dilation_x == 1;
    const int wide = w->kernel_width * w->in_channels;
    marram_walk walk = marram_walk_begin(w, x, pixel);
    for (int ky = 0; ky < w->kernel_height; ky++) {
        const int inside = marram_walk_inside(w, &walk);
        if (whole || !inside) {
            to = marram_copy(to, inside ? walk.at + first * w->in_channels : padding, wide);
        } else {
            for (int ix = first; ix <= last; ix += w->dilation_x) {
                to = marram_copy(to, (unsigned)ix < (unsigned)w->in_width ? walk.at + ix * w->in_channels : padding,
                                 w->in_channels);
            }
        }
        marram_walk_down(w, &walk);
    }
}

/* Results from where they were staged to where they belong. */
MARRAM_NOINLINE static void marram_deliver(const int8_t *from, int8_t *to, int count, int clamps, int low, int high)
{
    if (clamps) {
        for (int i = 0; i < count; i++) {
            const int value = from[i];
            to[i] = (int8_t)(value < low ? low : value > high ? high : value);
        }
        return;
    }
#if defined(__GNUC__)
    if ((((uintptr_t)from | (uintptr_t)to | (uintptr_t)count) & 3u) == 0) {
        const int8_t *const end = from + count;
        do { /* a word at a time: both are aligned */
            __builtin_memcpy(__builtin_assume_aligned(to, 4), __builtin_assume_aligned(from, 4), 4);
            from += 4;
            to += 4;
        } while (from != end);
        return;
    }
#endif
    for (int i = 0; i < count; i++) {
        to[i] = from[i];
    }
}

/* The first pixel of a row. */
MARRAM_INLINE marram_pixel marram_first_pixel(const marram_window *w, int row)
{
    const int slot = (row * w->stride_y - w->pad_top) % w->in_rows;
    marram_pixel at = {0, row, slot < 0 ? slot + w->in_rows : slot, row % w->out_rows};
    return at;
}

/* The next pixel in row order. */
MARRAM_INLINE void marram_advance(const marram_window *w, marram_pixel *at)
{
    if (++at->x == w->out_width) {
        at->x = 0;
        at->y++;
        at->slot = marram_wrapped(at->slot + w->stride_y, w->in_rows);
        at->out_slot = at->out_slot + 1 == w->out_rows ? 0 : at->out_slot + 1;
    }
}

/* Whether the windows of the pixels from `at` on lie inside of the image's columns, all in one row. */
MARRAM_INLINE int marram_inside_columns(const marram_window *w, const marram_pixel *at, int pixels)
{
    const int last = at->x + pixels - 1;
    return w->dilation_x == 1 && at->x * w->stride_x >= w->pad_left && last < w->out_width &&
           last * w->stride_x - w->pad_left + w->kernel_width <= w->in_width;
}

/* Rows [row_begin, row_end) of the output. scratch: `pixels` * out_stride bytes, then `pixels` * kernel height * width
 * pointers, or, where the layer gathers, `pixels` pointers and `pixels` windows. A block is read before it is written. The
 * functions that are called before the inner product are not inlined, as their stack is not needed while it works. */
MARRAM_INLINE void marram_blocks_run(const marram_blocks *b, const int8_t *x, int8_t *y, int row_begin, int row_end,
                                     void *scratch, int pixels, marram_inner_product product)
{
    const marram_window *const w = &b->image.w;
    const int8_t **const taps = (const int8_t **)(void *)((int8_t *)scratch + ((pixels * b->out_stride + 7) & ~7));
    marram_pixel at = marram_first_pixel(w, row_begin);
    marram_block block = {taps, taps, 0, b->groups, b->weights, b->channels, scratch, b->out_stride, b};
    int8_t *results[4];
    for (int left = (row_end - row_begin) * w->out_width; left > 0; left -= pixels) {
        const int reads = b->reads == MARRAM_LOOKS ? marram_inside_columns(w, &at, pixels) : b->reads;
        block.length = w->in_channels * (reads == MARRAM_READS_PIXELS ? 1 : w->kernel_width);
        block.taps_end = taps + pixels * w->kernel_height * (reads == MARRAM_READS_PIXELS ? w->kernel_width : 1);
        if (reads == MARRAM_GATHERS) {
            block.length *= w->kernel_height;
            block.taps_end = taps + pixels;
        }
        for (int p = 0; p < pixels; p++) {
            results[p] = y + (at.out_slot * w->out_width + at.x) * w->out_channels;
            if (reads != MARRAM_GATHERS) {
                const int first = at.x * w->stride_x - w->pad_left;
                marram_taps_rows(&b->image, x, &at, reads == MARRAM_READS_ROWS ? first : 0, taps + p, pixels);
                if (reads == MARRAM_READS_PIXELS) {
                    marram_taps_pixels(&b->image, first, taps + p, pixels);
                }
            } else {
                int8_t *const window = (int8_t *)(taps + pixels) + p * block.length;
                taps[p] = window;
                marram_gather(&b->image, x, &at, window);
            }
            if (p + 1 < left) {
                marram_advance(w, &at); /* past the end the last pixel is made again, and dropped */
            }
        }
        product(&block);
        for (int p = 0; p < pixels && p < left; p++) {
            marram_deliver(block.out + p * b->out_stride, results[p], w->out_channels, b->clamps, b->low, b->high);
        }
    }
}

/* The same for a kernel of one pixel and stride 1 on whole buffers: a list of pixels. scratch: `pixels` * out_stride bytes. */
MARRAM_INLINE void marram_blocks_run_flat(const marram_blocks *b, const int8_t *x, int8_t *y, int count, void *scratch,
                                          int pixels, marram_inner_product product)
{
    const int depth = b->image.w.in_channels, outputs = b->image.w.out_channels;
    const int8_t *taps[4];
    marram_block block = {taps, taps + pixels, depth, b->groups, b->weights, b->channels, scratch, b->out_stride, b};
    for (int left = count; left > 0; left -= pixels) {
        for (int p = 0; p < pixels; p++) {
            taps[p] = x;
            x += p + 1 < left ? depth : 0;
        }
        product(&block);
        for (int p = 0; p < pixels && p < left; p++) {
            marram_deliver(block.out + p * b->out_stride, y, outputs, b->clamps, b->low, b->high);
            y += outputs;
        }
    }
}
#endif
