#ifndef MARRAM_PORTABLE_PACKED_WEIGHTS_H
#define MARRAM_PORTABLE_PACKED_WEIGHTS_H
#include "common/compiler.h"

/* Weight `index` of an array of signed integers of 2 or 4 bits, the first of a byte in its lowest bits. */
MARRAM_INLINE int marram_packed(const uint8_t *weights, size_t index, int bits)
{
    const unsigned at = (unsigned)(index % (8u / (unsigned)bits)) * (unsigned)bits;
    const int value = (weights[index / (8u / (unsigned)bits)] >> at) & ((1 << bits) - 1);
    const int sign = 1 << (bits - 1);
    return (value ^ sign) - sign;
}

/* sum(x[i] * weight[first + i]) of `count` values. A run that begins and ends with a byte is read byte by byte. */
MARRAM_INLINE int32_t marram_packed_dot(const int8_t *x, const uint8_t *weights, size_t first, int count, int bits)
{
    const int per_byte = 8 / bits;
    int32_t sum = 0;
    if (count % per_byte == 0 && first % (size_t)per_byte == 0) {
        const uint8_t *from = weights + first / (size_t)per_byte;
        for (int i = 0; i < count; i += per_byte) {
            const uint8_t byte = *from++;
            for (int j = 0; j < per_byte; j++) {
                sum += x[i + j] * marram_packed(&byte, (size_t)j, bits);
            }
        }
        return sum;
    }
    for (int i = 0; i < count; i++) {
        sum += x[i] * marram_packed(weights, first + (size_t)i, bits);
    }
    return sum;
}
#endif
