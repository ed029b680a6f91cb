/* Bytes over standard input and output of a process: the harness as a program of the build machine, for sanitisers. */
#include "port.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void marram_port_open(void)
{
}

size_t marram_port_read(void *to, size_t bytes)
{
    const ssize_t got = read(STDIN_FILENO, to, bytes);
    return got > 0 ? (size_t)got : 0u;
}

void marram_port_write(const void *from, size_t bytes)
{
    const char *next = from;
    while (bytes != 0u) {
        const ssize_t put = write(STDOUT_FILENO, next, bytes);
        if (put <= 0) {
            exit(98); /* the host is gone */
        }
        next += put;
        bytes -= (size_t)put;
    }
}

void marram_port_say(const char *text)
{
    fputs(text, stderr);
}

_Noreturn void marram_stop(int code)
{
    exit(code);
}
