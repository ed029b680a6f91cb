#ifndef MARRAM_MVE_COPY_H
#define MARRAM_MVE_COPY_H
#include "mve/output.h"

/* `runs` runs of `bytes` bytes, `from_step` and `to_step` apart. */
MARRAM_MVE_SHARED void marram_mve_copy(const int8_t *from, int from_step, int8_t *to, int to_step, int bytes, int runs)
{
#if MARRAM_MVE
    if (runs <= 0) {
        return;
    }
    if (bytes <= 16) {
        __asm volatile("vctp.8 %[bytes]\n\t"
                       "dls lr, %[runs]\n\t"
                       "1:\n\t"
                       "vpstt\n\t"
                       "vldrbt.8 q0, [%[from]]\n\t"
                       "vstrbt.8 q0, [%[to]]\n\t"
                       "add %[from], %[from], %[from_step]\n\t"
                       "add %[to], %[to], %[to_step]\n\t"
                       "le lr, 1b\n\t"
                       : [from] "+&r"(from), [to] "+&r"(to)
                       : [from_step] "r"(from_step), [to_step] "r"(to_step), [bytes] "r"(bytes), [runs] "r"(runs)
                       : "lr", "q0", "memory");
        return;
    }
    for (; runs > 0; runs--, from += from_step, to += to_step) {
        const int8_t *source = from;
        int8_t *target = to;
        __asm volatile("dlstp.8 lr, %[bytes]\n\t"
                       "1:\n\t"
                       "vldrb.8 q0, [%[source]], #16\n\t"
                       "vstrb.8 q0, [%[target]], #16\n\t"
                       "letp lr, 1b\n\t"
                       : [source] "+&r"(source), [target] "+&r"(target)
                       : [bytes] "r"(bytes)
                       : "lr", "q0", "memory");
    }
#else
    for (; runs > 0; runs--, from += from_step, to += to_step) {
        for (int i = 0; i < bytes; i++) {
            to[i] = from[i];
        }
    }
#endif
}

/* The same of one value. */
MARRAM_MVE_SHARED void marram_mve_fill(int value, int8_t *to, int to_step, int bytes, int runs)
{
    for (; runs > 0; runs--, to += to_step) {
#if MARRAM_MVE
        int8_t *target = to;
        __asm volatile("vdup.8 q0, %[value]\n\t"
                       "dlstp.8 lr, %[bytes]\n\t"
                       "1:\n\t"
                       "vstrb.8 q0, [%[target]], #16\n\t"
                       "letp lr, 1b\n\t"
                       : [target] "+&r"(target)
                       : [bytes] "r"(bytes), [value] "r"(value)
                       : "lr", "q0", "memory");
#else
        for (int i = 0; i < bytes; i++) {
            to[i] = (int8_t)value;
        }
#endif
    }
}
#endif
