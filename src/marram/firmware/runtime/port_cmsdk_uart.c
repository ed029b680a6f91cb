/* Bytes over the CMSDK UART of the mps2 and mps3 boards: polled, no interrupts. The example for a UART of your own.
 * MARRAM_UART is its address, MARRAM_UART_DIVIDER the peripheral clock over the baud rate (at least 16). */
#include "port.h"
#include <stdint.h>

#ifndef MARRAM_UART
#define MARRAM_UART 0x40004000u
#endif
#ifndef MARRAM_UART_DIVIDER
#define MARRAM_UART_DIVIDER 217u /* 25 MHz over 115200 */
#endif

typedef struct {
    volatile uint32_t data;
    volatile uint32_t state;
    volatile uint32_t control;
    /* cppcheck-suppress unusedStructMember ; holds its place */
    volatile uint32_t interrupts;
    volatile uint32_t divider;
} Uart;

enum { TRANSMITTER_FULL = 1, RECEIVER_FULL = 2, TRANSMIT = 1, RECEIVE = 2 };

static Uart *const uart = (Uart *)MARRAM_UART;

void marram_port_open(void)
{
    uart->divider = MARRAM_UART_DIVIDER;
    uart->control = TRANSMIT | RECEIVE;
}

size_t marram_port_read(void *to, size_t bytes)
{
    uint8_t *next = to;
    for (size_t i = 0; i < bytes; i++) {
        while ((uart->state & RECEIVER_FULL) == 0u) {
        }
        next[i] = (uint8_t)uart->data;
    }
    return bytes;
}

void marram_port_write(const void *from, size_t bytes)
{
    const uint8_t *next = from;
    for (size_t i = 0; i < bytes; i++) {
        while ((uart->state & TRANSMITTER_FULL) != 0u) {
        }
        uart->data = next[i];
    }
}

void marram_port_say(const char *text)
{
    (void)text; /* the line carries frames only */
}

_Noreturn void marram_stop(int code)
{
    (void)code;
    *(volatile uint32_t *)0xE000ED0Cu = 0x05FA0004u; /* AIRCR: restart, and wait for the next host */
    for (;;) {
    }
}
