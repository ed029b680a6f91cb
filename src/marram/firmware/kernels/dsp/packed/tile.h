#ifndef MARRAM_DSP_PACKED_TILE_H
#define MARRAM_DSP_PACKED_TILE_H
#include "dsp/tile_exact.h"

/* Tiles of dsp/tile.h for weights of 4 or 2 bits: the words of a pair of channels are made in scratch, then the tile
 * of int8 reads them there. That costs less than an instruction for each weight and is shared by three pixels.
 *
 * Packed, a word has a byte for each of four inputs. Its lowest bits are those of the first channel, the next ones those
 * of the second, then, with 2 bits, of both for the next four inputs. Weights are stored without sign, 2^(bits - 1)
 * more than they are. The ending of a pair is that of the int8 stream. The words stand behind the gathered inputs, in
 * 8 * groups + 36 bytes. */

#if MARRAM_DSP
MARRAM_DSP_BINARY(marram_add_bytes, uint32_t, uint32_t, uint32_t, "uadd8 %0, %1, %2")
#else
MARRAM_INLINE uint32_t marram_add_bytes(uint32_t a, uint32_t b)
{
    return (((a & 0x00ff00ffu) + (b & 0x00ff00ffu)) & 0x00ff00ffu) |
           (((a & 0xff00ff00u) + (b & 0xff00ff00u)) & 0xff00ff00u);
}
#endif

/* Words of a pair for `groups` times four inputs as the int8 stream has them: the even ones of four moved by 128. */
MARRAM_OPAQUE static const uint32_t *marram_dsp_unpack_4(const uint32_t *from, uint32_t *to, int groups)
{
    for (; groups > 0; groups--, to += 2) {
        const uint32_t word = *from++;
        to[0] = marram_add_bytes(word & 0x0f0f0f0fu, 0xf878f878u);
        to[1] = marram_add_bytes((word >> 4) & 0x0f0f0f0fu, 0xf878f878u);
    }
    return from;
}

MARRAM_OPAQUE static const uint32_t *marram_dsp_unpack_2(const uint32_t *from, uint32_t *to, int groups)
{
    for (; groups > 0; groups -= 2, to += 4) {
        const uint32_t word = *from++;
        to[0] = marram_add_bytes(word & 0x03030303u, 0xfe7efe7eu);
        to[1] = marram_add_bytes((word >> 2) & 0x03030303u, 0xfe7efe7eu);
        to[2] = marram_add_bytes((word >> 4) & 0x03030303u, 0xfe7efe7eu);
        to[3] = marram_add_bytes((word >> 6) & 0x03030303u, 0xfe7efe7eu);
    }
    return from;
}

/* bits, ending: which tile; words: of a pair's ending; last: the bit that says that no pair follows. */
#define MARRAM_DSP_PACKED_TILE(bits, ending, words, last)                                                             \
    MARRAM_OPAQUE __attribute__((unused)) static const uint32_t *marram_dsp_tile_##ending##_##bits(                   \
        const uint32_t *gathered, const uint32_t *stream, int8_t *y, int groups, int second, int third, int zero)     \
    {                                                                                                                 \
        uint32_t *const pair = (uint32_t *)gathered + MARRAM_DSP_BEGINNINGS + 6 * groups;                             \
        uint32_t flags;                                                                                               \
        do {                                                                                                          \
            stream = marram_dsp_unpack_##bits(stream, pair, groups);                                                  \
            uint32_t *const end = pair + 2 * groups;                                                                  \
            flags = stream[0];                                                                                        \
            for (int word = 0; word < (words); word++) {                                                              \
                end[word] = *stream++;                                                                                \
            }                                                                                                         \
            end[0] = flags | (last);                                                                                  \
            (void)marram_dsp_tile_##ending(gathered, pair, y, groups, second, third, zero);                           \
            y += 2;                                                                                                   \
        } while (!(flags & (last)));                                                                                  \
        return stream;                                                                                                \
    }
MARRAM_DSP_PACKED_TILE(4, floored, 5, 0x8000u)
MARRAM_DSP_PACKED_TILE(4, away, 5, 0x8000u)
MARRAM_DSP_PACKED_TILE(4, exact, 7, 0x10000u)
MARRAM_DSP_PACKED_TILE(2, floored, 5, 0x8000u)
MARRAM_DSP_PACKED_TILE(2, away, 5, 0x8000u)
MARRAM_DSP_PACKED_TILE(2, exact, 7, 0x10000u)
#endif
