#ifndef MARRAM_PROTOCOL_H
#define MARRAM_PROTOCOL_H
/* Frames over a stream of bytes, the same in both directions, little-endian:
 *
 *     'M' 'R' kind sequence length[4] crc[4]        crc: CRC-32 of the eight bytes before it
 *     payload[length] crc[4]                        only where length is not 0; crc: CRC-32 of the payload
 *
 * The host asks, the device answers each request once, with the request's sequence number and kind + 0x80. An answer's
 * payload begins with a status[4]. Bytes that are no header are skipped one at a time until a header follows; the first
 * of them is answered with MARRAM_BAD_FRAME in a frame of kind MARRAM_LOST, sequence 0.
 *
 *     HELLO      nothing              -> status protocol[2] abi[2] arena_bytes[4] digest[32] inputs[2] outputs[2] sizes[4]...
 *     RUN        inputs, one by one   -> status outputs, one by one
 *     SELF_TEST  inputs crc[4]        -> status                crc: CRC-32 of the outputs that must come out
 *     STACK      inputs               -> status bytes[4]       stack that one invoke used, from painting
 *     END        nothing              -> status, and the device stops
 */
#include <stddef.h>
#include <stdint.h>

enum { MARRAM_PROTOCOL = 1, MARRAM_HEADER_BYTES = 12 };

enum {
    MARRAM_HELLO = 1,
    MARRAM_RUN = 2,
    MARRAM_SELF_TEST = 3,
    MARRAM_STACK = 4,
    MARRAM_END = 5,
    MARRAM_LOST = 0x7F,
    MARRAM_ANSWER = 0x80
};

/* Statuses below 16 are the model's own (marram_status). */
enum {
    MARRAM_BAD_FRAME = 16,     /* bytes that are no frame */
    MARRAM_BAD_CRC = 17,       /* the payload was damaged on its way */
    MARRAM_BAD_LENGTH = 18,    /* the payload has not the size that this kind has */
    MARRAM_BAD_KIND = 19,      /* no such request */
    MARRAM_OUTSIDE_ARENA = 20, /* the model wrote beside its arena */
    MARRAM_STACK_FULL = 21,    /* the stack was used to its end */
    MARRAM_NOT_HERE = 22       /* this port cannot do that */
};

typedef struct {
    uint8_t kind;
    uint8_t sequence;
    uint32_t length;
} marram_frame;

/* CRC-32 (IEEE 802.3) goes on from ``crc``; it begins with 0. */
uint32_t marram_crc32(uint32_t crc, const void *from, size_t bytes);

/* All of it; 0 at the end of the stream, else 1. */
int marram_take(void *to, size_t bytes);
void marram_put32(uint8_t *to, uint32_t value);
uint32_t marram_get32(const uint8_t *from);

/* The next header; 0 at the end of the stream, else 1. */
int marram_next_frame(marram_frame *frame);

/* An answer in pieces: what its length will be, then that many bytes, then its end. */
void marram_answer_begin(const marram_frame *asked, uint32_t status, uint32_t more_bytes);
void marram_answer_bytes(const void *from, size_t bytes);
void marram_answer_end(void);
void marram_answer(const marram_frame *asked, uint32_t status);
#endif
