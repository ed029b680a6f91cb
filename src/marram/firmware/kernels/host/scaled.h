#ifndef MARRAM_HOST_SCALED_H
#define MARRAM_HOST_SCALED_H
#include "host/vectors.h"

/* How a layer's sums become bytes: records of 16 channels with `rows` rows each, the form of marram_scale, and the limits. */
typedef struct {
    const int32_t *records;
    int rows, form, zero, low, high;
} marram_scaling;

#if !defined(MARRAM_PLAIN)
/* Four vectors of sums as bytes; vector i has the channels of `records[i]`. In the order of marram_packed. */
MARRAM_INLINE marram_slice marram_scaled(const marram_sums sums[4], const int32_t *const records[4], const marram_scaling s)
{
    marram_v32 values[4];
    MARRAM_UNROLL
    for (int i = 0; i < 4; i++) {
        values[i] = marram_scale(marram_end(sums[i], records[i]), records[i], s.form);
    }
    return marram_packed(values, marram_zero_left(s.zero, s.form), s.low, s.high);
}
#endif
#endif
