#ifndef MARRAM_HOST_INSTRUCTIONS_H
#define MARRAM_HOST_INSTRUCTIONS_H
#include "common/requantise.h"
#include <string.h>

/* Which instructions the machine has that this file is compiled for, and what their headers have in common. */
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__) && defined(__AVX512VNNI__)
#define MARRAM_X86_512 1
#elif defined(__AVX2__) && defined(__FMA__)
#define MARRAM_X86_256 1
#if defined(__AVXVNNI__)
#define MARRAM_X86_256_DOT 1
#endif
#elif defined(__aarch64__) && defined(__ARM_NEON) && !defined(__AARCH64EB__)
#define MARRAM_NEON 1
#else
#define MARRAM_PLAIN 1
#endif

#if defined(__clang__)
#define MARRAM_UNROLL _Pragma("clang loop unroll(full)")
#else
#define MARRAM_UNROLL _Pragma("GCC unroll 32")
#endif

/* Shared by all layers of a model. */
#if defined(__GNUC__)
#define MARRAM_SHARED static __attribute__((noinline, unused))
#else
#define MARRAM_SHARED static
#endif

/* One-sided and two-sided float scaling or none: see marram_scale. */
#define MARRAM_SCALE_INTEGER (-1)
#define MARRAM_SCALE_TWO_SIDED 256

/* Rows of a record of 16 channels. */
enum { MARRAM_BIAS, MARRAM_BIAS_FLIPPED, MARRAM_MULTIPLIER, MARRAM_SHIFT, MARRAM_FACTOR, MARRAM_ADDEND, MARRAM_EXCEPTIONS };
#endif
