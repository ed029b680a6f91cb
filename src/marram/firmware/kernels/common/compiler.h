#ifndef MARRAM_COMPILER_H
#define MARRAM_COMPILER_H
/* What C11 leaves to the compiler. Integers are two's complement and >> of negative ones is arithmetic: so it is with every
 * compiler that marram is tested with, and the first function below does not compile where it is not. */
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define MARRAM_ALIGNED(n) __attribute__((aligned(n)))
#define MARRAM_NOINLINE __attribute__((noinline, unused))
#define MARRAM_INLINE static inline __attribute__((always_inline, unused))
#define MARRAM_UNUSED __attribute__((unused))
/* Functions in assembly: the compiler must not look into them for which registers they leave alone. */
#if defined(__clang__)
#define MARRAM_OPAQUE __attribute__((noinline, unused))
#else
#define MARRAM_OPAQUE __attribute__((noinline, unused, noipa))
#endif
#else
#define MARRAM_ALIGNED(n) _Alignas(n)
#define MARRAM_NOINLINE
#define MARRAM_INLINE static inline
#define MARRAM_UNUSED
#define MARRAM_OPAQUE
#endif

_Static_assert((-1 >> 1) == -1, "arithmetic right shift is needed");
#endif
