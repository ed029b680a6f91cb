/* The smallest image with the model in it: what flash and RAM figures are taken from. A product has its own main. */
#include "harness_model.h"

_Noreturn void marram_fault(const uint32_t *frame);
_Noreturn void marram_stop(int code);

__attribute__((aligned(HARNESS_ARENA_ALIGN), section(".arena"))) static uint8_t arena[HARNESS_ARENA_BYTES];

/* As far as the compiler can tell, somebody writes there and reads there. */
static void let_out(const volatile void *place)
{
    __asm volatile("" ::"r"(place) : "memory");
}

int main(void)
{
    let_out(harness_input(arena, 0));
    const int status = (int)harness_invoke(arena, sizeof arena);
    let_out(harness_output(arena, 0));
    return status;
}

_Noreturn void marram_fault(const uint32_t *frame)
{
    (void)frame;
    for (;;) {
    }
}

_Noreturn void marram_stop(int code)
{
    (void)code;
    for (;;) {
    }
}
