/* Bytes over Arm semihosting: standard input and output of the emulator or of the debug probe's host program. */
#include "port.h"
#include <stdint.h>

enum {
    SYS_OPEN = 0x01,
    SYS_WRITE0 = 0x04,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_EXIT = 0x18,
    SYS_EXIT_EXTENDED = 0x20,
};

static intptr_t input, output;

static intptr_t call(intptr_t operation, const void *arguments)
{
    register intptr_t r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = arguments;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static intptr_t open_console(uintptr_t mode)
{
    const uintptr_t block[3] = {(uintptr_t) ":tt", mode, 3};
    return call(SYS_OPEN, block);
}

void marram_port_open(void)
{
    input = open_console(0);
    output = open_console(4);
}

size_t marram_port_read(void *to, size_t bytes)
{
    const uintptr_t block[3] = {(uintptr_t)input, (uintptr_t)to, bytes};
    const uintptr_t missing = (uintptr_t)call(SYS_READ, block);
    return missing <= bytes ? bytes - missing : 0u; /* it answers how many bytes were not read, or -1 */
}

void marram_port_write(const void *from, size_t bytes)
{
    const uint8_t *next = from;
    while (bytes != 0u) {
        const uintptr_t block[3] = {(uintptr_t)output, (uintptr_t)next, bytes};
        const uintptr_t missing = (uintptr_t)call(SYS_WRITE, block);
        if (missing >= bytes) {
            marram_stop(98); /* the host is gone */
        }
        next += bytes - missing;
        bytes = missing;
    }
}

void marram_port_say(const char *text)
{
    (void)call(SYS_WRITE0, text);
}

_Noreturn void marram_stop(int code)
{
    const uintptr_t block[2] = {0x20026u, (uintptr_t)code}; /* ADP_Stopped_ApplicationExit */
    for (;;) {
        (void)call(SYS_EXIT_EXTENDED, block);
    }
}
