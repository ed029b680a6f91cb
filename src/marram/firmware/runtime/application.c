/* The smallest image with the model in it: what flash and RAM figures are taken from. A product has its own main. */
#include "harness_model.h"

_Noreturn void marram_fault(const uint32_t *frame);
_Noreturn void marram_stop(int code);

#if defined(HARNESS_ARENAS)
/* One in each memory that the model uses; the linker script knows .arena.<memory>. */
#define ARENA(name, bytes) \
    __attribute__((aligned(HARNESS_ARENA_ALIGN), section(".arena." #name))) static uint8_t arena_##name[bytes];
HARNESS_EACH_ARENA(ARENA)
#define FIELDS(name, bytes) .name = arena_##name, .name##_bytes = sizeof arena_##name,
static const HARNESS_ARENAS arenas = {HARNESS_EACH_ARENA(FIELDS)};
#define GIVEN &arenas
#define PLACE &arenas
#else
__attribute__((aligned(HARNESS_ARENA_ALIGN), section(".arena"))) static uint8_t arena[HARNESS_ARENA_BYTES];
#define GIVEN arena, sizeof arena
#define PLACE arena
#endif

/* As far as the compiler can tell, somebody writes there and reads there. */
static void let_out(const volatile void *place)
{
    __asm volatile("" ::"r"(place) : "memory");
}

int main(void)
{
    let_out(harness_input(PLACE, 0));
    const int status = (int)harness_invoke(GIVEN);
    let_out(harness_output(PLACE, 0));
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
