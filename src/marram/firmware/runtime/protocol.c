#include "protocol.h"
#include "port.h"

static uint32_t answer_crc;

uint32_t marram_crc32(uint32_t crc, const void *from, size_t bytes)
{
    static const uint32_t table[16] = {
        0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
        0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
    };
    const uint8_t *in = from;
    crc = ~crc;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= in[i];
        crc = (crc >> 4) ^ table[crc & 15u];
        crc = (crc >> 4) ^ table[crc & 15u];
    }
    return ~crc;
}

int marram_take(void *to, size_t bytes)
{
    uint8_t *next = to;
    while (bytes != 0u) {
        const size_t got = marram_port_read(next, bytes);
        if (got == 0u || got > bytes) {
            return 0;
        }
        next += got;
        bytes -= got;
    }
    return 1;
}

void marram_put32(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
    to[2] = (uint8_t)(value >> 16);
    to[3] = (uint8_t)(value >> 24);
}

uint32_t marram_get32(const uint8_t *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

int marram_next_frame(marram_frame *frame)
{
    uint8_t header[MARRAM_HEADER_BYTES];
    int lost = 0;
    if (!marram_take(header, sizeof header)) {
        return 0;
    }
    while (header[0] != 'M' || header[1] != 'R' || marram_get32(header + 8) != marram_crc32(0, header, 8)) {
        if (!lost) {
            const marram_frame nobody = {.kind = MARRAM_LOST, .sequence = 0, .length = 0};
            marram_answer(&nobody, MARRAM_BAD_FRAME);
            lost = 1;
        }
        for (size_t i = 1; i < sizeof header; i++) {
            header[i - 1u] = header[i];
        }
        if (!marram_take(header + sizeof header - 1u, 1)) {
            return 0;
        }
    }
    frame->kind = header[2];
    frame->sequence = header[3];
    frame->length = marram_get32(header + 4);
    return 1;
}

void marram_answer_begin(const marram_frame *asked, uint32_t status, uint32_t more_bytes)
{
    uint8_t header[MARRAM_HEADER_BYTES + 4];
    header[0] = 'M';
    header[1] = 'R';
    header[2] = (uint8_t)(asked->kind | MARRAM_ANSWER);
    header[3] = asked->sequence;
    marram_put32(header + 4, more_bytes + 4u);
    marram_put32(header + 8, marram_crc32(0, header, 8));
    marram_put32(header + 12, status);
    answer_crc = marram_crc32(0, header + 12, 4);
    marram_port_write(header, sizeof header);
}

void marram_answer_bytes(const void *from, size_t bytes)
{
    answer_crc = marram_crc32(answer_crc, from, bytes);
    marram_port_write(from, bytes);
}

void marram_answer_end(void)
{
    uint8_t crc[4];
    marram_put32(crc, answer_crc);
    marram_port_write(crc, sizeof crc);
}

void marram_answer(const marram_frame *asked, uint32_t status)
{
    marram_answer_begin(asked, status, 0);
    marram_answer_end();
}
