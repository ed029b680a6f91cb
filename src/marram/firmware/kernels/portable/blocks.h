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

/* A layer: `padding` is one row of the kernel full of the input's zero point. Where `gathers` is set a block's windows are copied
 * into scratch, as their stretches are too short to be read where they stand. `clamps`: results are clamped to the range when
 * they are delivered, as the inner product saturates to int8 only. */
struct marram_blocks {
    marram_window w;
    const int8_t *padding;
    const int8_t *weights;
    const int32_t *channels;
    int groups, out_stride, gathers, clamps, zero_out, low, high;
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

/* The rows of one pixel's window, whole: for windows inside of the image's columns. */
MARRAM_NOINLINE static void marram_taps_whole(const marram_window *w, const int8_t *x, const int8_t *padding,
                                     const marram_pixel *pixel, const int8_t **taps, int pixels)
{
    const int first = (pixel->x * w->stride_x - w->pad_left) * w->in_channels;
    marram_walk walk = marram_walk_begin(w, x, pixel);
    for (int ky = 0; ky < w->kernel_height; ky++, taps += pixels) {
        *taps = marram_walk_inside(w, &walk) ? walk.at + first : padding;
        marram_walk_down(w, &walk);
    }
}

/* The same tap by tap. */
MARRAM_NOINLINE static void marram_taps_single(const marram_window *w, const int8_t *x, const int8_t *padding,
                                      const marram_pixel *pixel, const int8_t **taps, int pixels)
{
    const int first = pixel->x * w->stride_x - w->pad_left;
    marram_walk walk = marram_walk_begin(w, x, pixel);
    for (int ky = 0; ky < w->kernel_height; ky++) {
        const int inside = marram_walk_inside(w, &walk);
        int ix = first;
        for (int kx = 0; kx < w->kernel_width; kx++, ix += w->dilation_x, taps += pixels) {
            *taps = inside && (unsigned)ix < (unsigned)w->in_width ? walk.at + ix * w->in_channels : padding;
        }
        marram_walk_down(w, &walk);
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
MARRAM_NOINLINE static void marram_gather(const marram_window *w, const int8_t *x, const int8_t *padding, const marram_pixel *pixel,
                                 int8_t *to)
{
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

/* Makes a block's taps for the pixels from `at` on, of which `left` are left; past the end the last pixel is taken again. The
 * functions that it calls are not inlined, as their stack is not needed while the inner product works. */
MARRAM_INLINE void marram_prepare(const marram_blocks *b, const int8_t *x, const marram_pixel *at, int left,
                                           int pixels, const int8_t **taps, marram_block *block)
{
    const marram_window *const w = &b->w;
    marram_pixel next = *at;
    if (b->gathers) {
        const int depth = w->kernel_height * w->kernel_width * w->in_channels;
        int8_t *window = (int8_t *)(taps + pixels);
        for (int p = 0; p < pixels; p++, window += depth) {
            taps[p] = window;
            if (p < left) {
                marram_gather(w, x, b->padding, &next, window);
                marram_advance(w, &next);
            }
        }
        block->taps_end = taps + pixels;
        block->length = depth;
        return;
    }
    int whole = w->kernel_width == 1 || w->dilation_x == 1;
    for (int p = 0; p < pixels && p < left; p++) {
        const int first = next.x * w->stride_x - w->pad_left;
        whole = whole && first >= 0 && first + w->kernel_width <= w->in_width;
        marram_advance(w, &next);
    }
    next = *at;
    for (int p = 0; p < pixels; p++) {
        if (whole) {
            marram_taps_whole(w, x, b->padding, &next, taps + p, pixels);
        } else {
            marram_taps_single(w, x, b->padding, &next, taps + p, pixels);
        }
        if (p + 1 < left) {
            marram_advance(w, &next);
        }
    }
    block->taps_end = taps + pixels * w->kernel_height * (whole ? 1 : w->kernel_width);
    block->length = w->in_channels * (whole ? w->kernel_width : 1);
}

/* Rows [row_begin, row_end) of the output. scratch: `pixels` * out_stride bytes, then `pixels` * kernel height * width
 * pointers, or, where the layer gathers, `pixels` pointers and `pixels` windows. A block is read before it is written. */
MARRAM_INLINE void marram_blocks_run(const marram_blocks *b, const int8_t *x, int8_t *y, int row_begin, int row_end,
                                     void *scratch, int pixels, marram_inner_product product)
{
    const marram_window *const w = &b->w;
    int8_t *const staged = scratch;
    const int8_t **const taps = (const int8_t **)(void *)(staged + ((pixels * b->out_stride + 7) & ~7));
    marram_pixel at = marram_first_pixel(w, row_begin);
    marram_block block = {taps, taps, 0, b->groups, b->weights, b->channels, staged, b->out_stride, b};
    for (int left = (row_end - row_begin) * w->out_width; left > 0; left -= pixels) {
        marram_prepare(b, x, &at, left, pixels, taps, &block);
        product(&block);
        for (int p = 0; p < pixels && p < left; p++) {
            marram_deliver(block.out + p * b->out_stride, y + (at.out_slot * w->out_width + at.x) * w->out_channels,
                           w->out_channels, b->clamps, b->low, b->high);
            marram_advance(w, &at);
        }
    }
}

/* The same for a kernel of one pixel and stride 1 on whole buffers: a list of pixels. scratch: `pixels` * out_stride bytes. */
MARRAM_INLINE void marram_blocks_run_flat(const marram_blocks *b, const int8_t *x, int8_t *y, int count, void *scratch,
                                          int pixels, marram_inner_product product)
{
    const int depth = b->w.in_channels, outputs = b->w.out_channels;
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
