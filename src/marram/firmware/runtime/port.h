#ifndef MARRAM_PORT_H
#define MARRAM_PORT_H
/* What a board implements for the harness: bytes in, bytes out. Three ports are given: semihosting (emulators and debug
 * probes), a CMSDK UART (the mps2 and mps3 boards; the example for a UART of your own) and POSIX. */
#include <stddef.h>

/* Once, before all else: clocks, pins, baud rate. */
void marram_port_open(void);

/* Waits for at least one byte, takes at most ``bytes``. Returns how many; 0 only at the end of the stream (a UART has none).
 * The host is silent while a request is worked on, so that no bytes come while nobody reads; within a frame they come as
 * fast as the line carries them, and the harness does not compute between them. */
size_t marram_port_read(void *to, size_t bytes);

/* All of it, before it returns or through a queue. */
void marram_port_write(const void *from, size_t bytes);

/* Text for people, in no frame; may do nothing. */
void marram_port_say(const char *text);

/* The host is done, or a fault has happened (code not 0). A board without an operating system may restart. */
_Noreturn void marram_stop(int code);
#endif
