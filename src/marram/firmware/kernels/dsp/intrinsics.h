#ifndef MARRAM_DSP_INTRINSICS_H
#define MARRAM_DSP_INTRINSICS_H
#include "common/compiler.h"
#include <string.h>

/* Instructions of the Armv7E-M and Armv8-M DSP extension as functions. Where the core lacks them, or the compiler does not
 * optimise (immediate operands need that), the same in plain C for a little-endian machine: the same bytes from the same
 * packed data, so that this family can be checked on a PC. A *pair* is two int16 in one word, the first in the low half. */
#if defined(__GNUC__) && defined(__ARM_FEATURE_DSP) && defined(__OPTIMIZE__) && !defined(__ARM_BIG_ENDIAN) && \
    defined(__thumb2__)
#define MARRAM_DSP 1
#else
#define MARRAM_DSP 0
#endif

/* Four bytes from anywhere: these cores load unaligned words. */
MARRAM_INLINE uint32_t marram_load32(const void *from)
{
    uint32_t word;
    memcpy(&word, from, sizeof word);
    return word;
}

MARRAM_INLINE void marram_store32(void *to, uint32_t word)
{
    memcpy(to, &word, sizeof word);
}

MARRAM_INLINE int32_t marram_low(uint32_t pair)
{
    return (int16_t)(uint16_t)pair;
}

MARRAM_INLINE int32_t marram_high(uint32_t pair)
{
    return (int16_t)(uint16_t)(pair >> 16);
}

#if MARRAM_DSP
#define MARRAM_DSP_BINARY(name, result, left, right, text)                 \
    MARRAM_INLINE result name(left a, right b)                             \
    {                                                                      \
        result to;                                                         \
        __asm__(text : "=r"(to) : "r"(a), "r"(b));                         \
        return to;                                                         \
    }
#define MARRAM_DSP_TERNARY(name, left, right, text)                        \
    MARRAM_INLINE int32_t name(left a, right b, int32_t sum)               \
    {                                                                      \
        int32_t to;                                                        \
        __asm__(text : "=r"(to) : "r"(a), "r"(b), "r"(sum));               \
        return to;                                                         \
    }
#else
#define MARRAM_DSP_BINARY(name, result, left, right, text)
#define MARRAM_DSP_TERNARY(name, left, right, text)
#endif

/* Pair of words: low halves of a and b; high halves of b (in the high half) and a (in the low half). */
MARRAM_DSP_BINARY(marram_pack_low, uint32_t, uint32_t, uint32_t, "pkhbt %0, %1, %2, lsl #16")
MARRAM_DSP_BINARY(marram_pack_high, uint32_t, uint32_t, uint32_t, "pkhtb %0, %2, %1, asr #16")
/* Pair a plus bytes 0 and 2 of b, or bytes 1 and 3, each sign-extended. */
MARRAM_DSP_BINARY(marram_add_even, uint32_t, uint32_t, uint32_t, "sxtab16 %0, %1, %2")
MARRAM_DSP_BINARY(marram_add_odd, uint32_t, uint32_t, uint32_t, "sxtab16 %0, %1, %2, ror #8")
/* Rounded high word of a product: (2^31 + a * b) >> 32. */
MARRAM_DSP_BINARY(marram_high_product, int32_t, int32_t, int32_t, "smmulr %0, %1, %2")

/* sum + dot product of two pairs; sum + products of low (b) and high (t) halves. */
MARRAM_DSP_TERNARY(marram_smlad, uint32_t, uint32_t, "smlad %0, %1, %2, %3")
MARRAM_DSP_TERNARY(marram_smlabb, uint32_t, uint32_t, "smlabb %0, %1, %2, %3")
MARRAM_DSP_TERNARY(marram_smlabt, uint32_t, uint32_t, "smlabt %0, %1, %2, %3")
MARRAM_DSP_TERNARY(marram_smlatb, uint32_t, uint32_t, "smlatb %0, %1, %2, %3")
MARRAM_DSP_TERNARY(marram_smlatt, uint32_t, uint32_t, "smlatt %0, %1, %2, %3")
/* sum + (a * half of b >> 16). */
MARRAM_DSP_TERNARY(marram_smlawb, int32_t, uint32_t, "smlawb %0, %1, %2, %3")
MARRAM_DSP_TERNARY(marram_smlawt, int32_t, uint32_t, "smlawt %0, %1, %2, %3")
/* sum + high word of a * b, rounded down; the same rounded to nearest, halves up. */
MARRAM_DSP_TERNARY(marram_smmla, int32_t, int32_t, "smmla %0, %1, %2, %3")
MARRAM_DSP_TERNARY(marram_smmlar, int32_t, int32_t, "smmlar %0, %1, %2, %3")

#if MARRAM_DSP
/* Bytes 0 and 2, or 1 and 3, sign-extended into a pair. */
MARRAM_INLINE uint32_t marram_even(uint32_t word)
{
    uint32_t to;
    __asm__("sxtb16 %0, %1" : "=r"(to) : "r"(word));
    return to;
}

MARRAM_INLINE uint32_t marram_odd(uint32_t word)
{
    uint32_t to;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(to) : "r"(word));
    return to;
}

/* value >> shift, saturated to int8; shift is a constant in 1..31, or a variable. */
MARRAM_INLINE int32_t marram_narrow(int32_t value, int shift)
{
    int32_t to;
    if (__builtin_constant_p(shift) && shift > 0) {
        __asm__("ssat %0, #8, %1, asr %2" : "=r"(to) : "r"(value), "i"(shift));
        return to;
    }
    const int32_t shifted = value >> shift;
    __asm__("ssat %0, #8, %1" : "=r"(to) : "r"(shifted));
    return to;
}

/* The greater of each of four signed bytes. */
MARRAM_INLINE uint32_t marram_greater4(uint32_t a, uint32_t b)
{
    uint32_t to;
    __asm__("ssub8 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(to) : "r"(a), "r"(b) : "cc");
    return to;
}
#else
MARRAM_INLINE uint32_t marram_pair(int32_t low, int32_t high)
{
    return ((uint32_t)low & 0xffffu) | ((uint32_t)high << 16);
}

MARRAM_INLINE uint32_t marram_pack_low(uint32_t a, uint32_t b)
{
    return (a & 0xffffu) | (b << 16);
}

MARRAM_INLINE uint32_t marram_pack_high(uint32_t a, uint32_t b)
{
    return (a >> 16) | (b & 0xffff0000u);
}

MARRAM_INLINE uint32_t marram_even(uint32_t word)
{
    return marram_pair((int8_t)(uint8_t)word, (int8_t)(uint8_t)(word >> 16));
}

MARRAM_INLINE uint32_t marram_odd(uint32_t word)
{
    return marram_even(word >> 8);
}

MARRAM_INLINE uint32_t marram_add_even(uint32_t a, uint32_t b)
{
    const uint32_t e = marram_even(b);
    return marram_pair(marram_low(a) + marram_low(e), marram_high(a) + marram_high(e));
}

MARRAM_INLINE uint32_t marram_add_odd(uint32_t a, uint32_t b)
{
    return marram_add_even(a, b >> 8);
}

MARRAM_INLINE int32_t marram_high_product(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + (INT64_C(1) << 31)) >> 32);
}

MARRAM_INLINE int32_t marram_smlad(uint32_t a, uint32_t b, int32_t sum)
{
    return sum + marram_low(a) * marram_low(b) + marram_high(a) * marram_high(b);
}

MARRAM_INLINE int32_t marram_smlabb(uint32_t a, uint32_t b, int32_t sum)
{
    return sum + marram_low(a) * marram_low(b);
}

MARRAM_INLINE int32_t marram_smlabt(uint32_t a, uint32_t b, int32_t sum)
{
    return sum + marram_low(a) * marram_high(b);
}

MARRAM_INLINE int32_t marram_smlatb(uint32_t a, uint32_t b, int32_t sum)
{
    return sum + marram_high(a) * marram_low(b);
}

MARRAM_INLINE int32_t marram_smlatt(uint32_t a, uint32_t b, int32_t sum)
{
    return sum + marram_high(a) * marram_high(b);
}

MARRAM_INLINE int32_t marram_smlawb(int32_t a, uint32_t b, int32_t sum)
{
    return sum + (int32_t)(((int64_t)a * marram_low(b)) >> 16);
}

MARRAM_INLINE int32_t marram_smlawt(int32_t a, uint32_t b, int32_t sum)
{
    return sum + (int32_t)(((int64_t)a * marram_high(b)) >> 16);
}

MARRAM_INLINE int32_t marram_smmla(int32_t a, int32_t b, int32_t sum)
{
    return sum + (int32_t)(((int64_t)a * b) >> 32);
}

MARRAM_INLINE int32_t marram_smmlar(int32_t a, int32_t b, int32_t sum)
{
    return sum + marram_high_product(a, b);
}

MARRAM_INLINE int32_t marram_narrow(int32_t value, int shift)
{
    const int32_t shifted = value >> shift;
    return shifted < -128 ? -128 : shifted > 127 ? 127 : shifted;
}

MARRAM_INLINE uint32_t marram_greater4(uint32_t a, uint32_t b)
{
    uint32_t to = 0;
    for (int byte = 0; byte < 32; byte += 8) {
        const int8_t first = (int8_t)(uint8_t)(a >> byte);
        const int8_t second = (int8_t)(uint8_t)(b >> byte);
        to |= (uint32_t)(uint8_t)(first > second ? first : second) << byte;
    }
    return to;
}
#endif
#endif
