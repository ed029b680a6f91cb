#ifndef MARRAM_DSP_GATHER_H
#define MARRAM_DSP_GATHER_H
#include "dsp/intrinsics.h"

#if MARRAM_DSP
#define MARRAM_DSP_KEEP_LOOP __asm__ volatile("" : : : "memory")
#else
#define MARRAM_DSP_KEEP_LOOP ((void)0)
#endif

/* Takes channels out of pixels: `count` pixels, `channels` bytes apart, become int16 in a row of a plane of their own. Pairs
 * are stored as aligned words, so `odd` says whether `to` stands at an odd place of its row. */
MARRAM_INLINE void marram_dsp_gather1(const int8_t *x, int16_t *to, int count, int channels, int odd)
{
    if (odd && count > 0) {
        *to++ = *x;
        x += channels;
        count--;
    }
    for (const int16_t *end = to + (count & ~1); to != end; to += 2) {
        marram_store32(to, marram_pack_low((uint32_t)(int32_t)x[0], (uint32_t)(int32_t)x[channels]));
        x += 2 * channels;
    }
    if (count & 1) {
        *to = *x;
    }
}

/* The same of four neighbouring channels at once, into planes `plane` int16 apart. */
MARRAM_INLINE void marram_dsp_gather4_one(const int8_t *x, int16_t *to, int plane)
{
    const uint32_t word = marram_load32(x);
    const uint32_t even = marram_even(word);
    const uint32_t odd = marram_odd(word);
    to[0] = (int16_t)(uint16_t)even;
    to[plane] = (int16_t)(uint16_t)odd;
    to[2 * plane] = (int16_t)(uint16_t)(even >> 16);
    to[3 * plane] = (int16_t)(uint16_t)(odd >> 16);
}

MARRAM_INLINE void marram_dsp_gather4(const int8_t *x, int16_t *to, int plane, int count, int channels, int odd)
{
    if (odd && count > 0) {
        marram_dsp_gather4_one(x, to, plane);
        x += channels;
        to++;
        count--;
    }
    for (const int16_t *end = to + (count & ~1); to != end; to += 2) {
        const uint32_t first = marram_load32(x);
        const uint32_t second = marram_load32(x + channels);
        const uint32_t first_even = marram_even(first);
        const uint32_t second_even = marram_even(second);
        const uint32_t first_odd = marram_odd(first);
        const uint32_t second_odd = marram_odd(second);
        marram_store32(to + 3 * plane, marram_pack_high(first_odd, second_odd));
        marram_store32(to + 2 * plane, marram_pack_high(first_even, second_even));
        marram_store32(to + plane, marram_pack_low(first_odd, second_odd));
        marram_store32(to, marram_pack_low(first_even, second_even));
        x += 2 * channels;
    }
    if (count & 1) {
        marram_dsp_gather4_one(x, to, plane);
    }
}

/* `words` pairs of one value. The empty statements keep compilers from calling memset for a few words. */
MARRAM_INLINE void marram_dsp_fill(int16_t *to, int words, uint32_t pair)
{
    for (const int16_t *end = to + 2 * (words & 3); to != end; to += 2) {
        marram_store32(to, pair);
        MARRAM_DSP_KEEP_LOOP;
    }
    for (const int16_t *end = to + 2 * (words & ~3); to != end; to += 8) {
        marram_store32(to, pair);
        marram_store32(to + 2, pair);
        marram_store32(to + 4, pair);
        marram_store32(to + 6, pair);
        MARRAM_DSP_KEEP_LOOP;
    }
}

/* `words` pairs to a lower place; the stretches may overlap. */
MARRAM_INLINE void marram_dsp_move_down(int16_t *to, const int16_t *from, int words)
{
    for (const int16_t *end = to + 2 * (words & 3); to != end; to += 2, from += 2) {
        marram_store32(to, marram_load32(from));
        MARRAM_DSP_KEEP_LOOP;
    }
#if MARRAM_DSP
    for (const int16_t *end = to + 2 * (words & ~3); to != end;) {
        __asm__ volatile("ldmia %1!, {r2, r3, r4, r5}\n\tstmia %0!, {r2, r3, r4, r5}"
                         : "+r"(to), "+r"(from)
                         :
                         : "r2", "r3", "r4", "r5", "memory");
    }
#else
    for (const int16_t *end = to + 2 * (words & ~3); to != end; to += 2, from += 2) {
        marram_store32(to, marram_load32(from));
    }
#endif
}
#endif
