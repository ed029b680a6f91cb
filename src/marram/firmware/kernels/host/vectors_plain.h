#ifndef MARRAM_HOST_VECTORS_PLAIN_H
#define MARRAM_HOST_VECTORS_PLAIN_H
#include "host/instructions.h"

#if defined(MARRAM_PLAIN)
/* Plain C: products and depthwise convolutions have loops of their own (host/plain.h), shared by all layers. */
#define MARRAM_LANES 4
#define MARRAM_FLIP 0
typedef struct {
    int32_t lane[4];
} marram_v32;

MARRAM_INLINE marram_v32 marram_signed_at(const int8_t *x)
{
    return (marram_v32){{x[0], x[1], x[2], x[3]}};
}

MARRAM_INLINE marram_v32 marram_added(marram_v32 a, marram_v32 b)
{
    for (int i = 0; i < 4; i++) {
        a.lane[i] += b.lane[i];
    }
    return a;
}
#endif
#endif
