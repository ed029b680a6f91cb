/* memcpy, memset, memmove and memcmp for images without a C library; compilers call them on their own.
 * Compile with -fno-tree-loop-distribute-patterns, or the loops below are turned into calls of themselves. */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
int memcmp(const void *left, const void *right, size_t bytes);

typedef uint32_t __attribute__((may_alias)) Word;

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
    uint8_t *out = to;
    const uint8_t *in = from;
    /* Words only where both stand alike: single loads and stores of the larger cores would do without, LDM and LDRD not. */
    if ((((uintptr_t)out ^ (uintptr_t)in) & 3u) == 0u) {
        while (bytes != 0u && ((uintptr_t)out & 3u) != 0u) {
            *out++ = *in++;
            bytes--;
        }
        Word *wide_out = (Word *)(void *)out;
        const Word *wide_in = (const Word *)(const void *)in;
        for (; bytes >= 16u; bytes -= 16u) {
            const Word a = wide_in[0], b = wide_in[1], c = wide_in[2], d = wide_in[3];
            wide_out[0] = a;
            wide_out[1] = b;
            wide_out[2] = c;
            wide_out[3] = d;
            wide_in += 4;
            wide_out += 4;
        }
        for (; bytes >= 4u; bytes -= 4u) {
            *wide_out++ = *wide_in++;
        }
        out = (uint8_t *)wide_out;
        in = (const uint8_t *)wide_in;
    }
#if defined(__ARM_FEATURE_UNALIGNED)
    for (; bytes >= 4u; bytes -= 4u) {
        uint32_t word;
        __builtin_memcpy(&word, in, 4);
        __builtin_memcpy(out, &word, 4);
        in += 4;
        out += 4;
    }
#endif
    while (bytes != 0u) {
        *out++ = *in++;
        bytes--;
    }
    return to;
}

void *memset(void *to, int value, size_t bytes)
{
    uint8_t *out = to;
    const uint8_t byte = (uint8_t)value;
    while (bytes != 0u && ((uintptr_t)out & 3u) != 0u) {
        *out++ = byte;
        bytes--;
    }
    const Word word = byte * 0x01010101u;
    Word *wide = (Word *)(void *)out;
    for (; bytes >= 16u; bytes -= 16u) {
        wide[0] = word;
        wide[1] = word;
        wide[2] = word;
        wide[3] = word;
        wide += 4;
    }
    for (; bytes >= 4u; bytes -= 4u) {
        *wide++ = word;
    }
    out = (uint8_t *)wide;
    while (bytes != 0u) {
        *out++ = byte;
        bytes--;
    }
    return to;
}

void *memmove(void *to, const void *from, size_t bytes)
{
    uint8_t *out = to;
    const uint8_t *in = from;
    if ((uintptr_t)out - (uintptr_t)in >= bytes) {
        return memcpy(to, from, bytes); /* forwards is safe: nothing is overwritten before it is read */
    }
    while (bytes != 0u) {
        bytes--;
        out[bytes] = in[bytes];
    }
    return to;
}

int memcmp(const void *left, const void *right, size_t bytes)
{
    const uint8_t *a = left;
    const uint8_t *b = right;
    for (size_t i = 0; i < bytes; i++) {
        if (a[i] != b[i]) {
            return a[i] < b[i] ? -1 : 1;
        }
    }
    return 0;
}
