/* The harness: one model behind the frames of protocol.h. No vectors are compiled in; a board runs the same file.
 * harness_model.h is generated beside the model and gives its names and sizes. */
#include "harness_model.h"
#include "port.h"
#include "protocol.h"

enum { GUARD_BYTES = 32, GUARD = 0x5A };
/* The guard before an arena keeps the arena aligned. */
#define GUARD_ALIGNED (HARNESS_ARENA_ALIGN > GUARD_BYTES ? HARNESS_ARENA_ALIGN : GUARD_BYTES)

/* One arena, or one in each of several memories; the linker script knows .arena and .arena.<memory>. */
#if defined(HARNESS_ARENAS)
#define SECTION(name) ".arena." #name
#else
#define SECTION(name) ".arena"
#define HARNESS_EACH_ARENA(X) X(arena, HARNESS_ARENA_BYTES)
#endif
#if defined(__arm__)
#define IN_ARENA(name) section(SECTION(name)),
#else
#define IN_ARENA(name)
#endif
#define GUARDED(name, bytes) \
    __attribute__((IN_ARENA(name) aligned(HARNESS_ARENA_ALIGN))) static uint8_t guarded_##name[(bytes) + 2u * GUARD_ALIGNED];
HARNESS_EACH_ARENA(GUARDED)

typedef struct {
    uint8_t *guarded; /* a guard, the arena, a guard */
    uint32_t bytes;   /* of the arena */
} Guarded;
#define LISTED(name, bytes) {guarded_##name, bytes},
static const Guarded all_arenas[] = {HARNESS_EACH_ARENA(LISTED)};
enum { ARENAS = sizeof all_arenas / sizeof all_arenas[0] };

#if defined(HARNESS_ARENAS)
#define FIELDS(name, bytes) .name = guarded_##name + GUARD_ALIGNED, .name##_bytes = (bytes),
static const HARNESS_ARENAS arenas = {HARNESS_EACH_ARENA(FIELDS)};
#define PLACE (&arenas)
#define GIVEN (&arenas)
#else
#define PLACE (guarded_arena + GUARD_ALIGNED)
#define GIVEN PLACE, HARNESS_ARENA_BYTES
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WATCHED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define WATCHED 1
#endif

static const uint32_t input_bytes[HARNESS_INPUTS] = HARNESS_INPUT_BYTES;
static const uint32_t output_bytes[HARNESS_OUTPUTS] = HARNESS_OUTPUT_BYTES;
static const uint8_t digest[32] = HARNESS_DIGEST;

/* The calls whose instructions are counted and whose stack is measured; kept apart so that they can be found in the image. */
__attribute__((noinline)) static uint32_t marram_counted_invoke(void)
{
    const uint32_t status = (uint32_t)harness_invoke(GIVEN);
    __asm volatile("" ::: "memory"); /* the call is no tail call: it comes back here */
    return status;
}

static uint32_t all_inputs(void)
{
    uint32_t sum = 0;
    for (int i = 0; i < HARNESS_INPUTS; i++) {
        sum += input_bytes[i];
    }
    return sum;
}

static uint32_t all_outputs(void)
{
    uint32_t sum = 0;
    for (int i = 0; i < HARNESS_OUTPUTS; i++) {
        sum += output_bytes[i];
    }
    return sum;
}

#if defined(WATCHED)
/* The sanitiser watches the guards: it finds reads as well, and says where. */
void __asan_poison_memory_region(void const volatile *place, size_t bytes);

static int guards_hold(void)
{
    return 1;
}

static void set_guards(void)
{
    for (int i = 0; i < ARENAS; i++) {
        __asan_poison_memory_region(all_arenas[i].guarded, GUARD_ALIGNED);
        __asan_poison_memory_region(all_arenas[i].guarded + GUARD_ALIGNED + all_arenas[i].bytes, GUARD_ALIGNED);
    }
}
#else
static int guards_hold(void)
{
    for (int i = 0; i < ARENAS; i++) {
        const uint8_t *const before = all_arenas[i].guarded, *const after = before + GUARD_ALIGNED + all_arenas[i].bytes;
        for (uint32_t k = 0; k < GUARD_ALIGNED; k++) {
            if (before[k] != GUARD || after[k] != GUARD) {
                return 0;
            }
        }
    }
    return 1;
}

static void set_guards(void)
{
    for (int i = 0; i < ARENAS; i++) {
        uint8_t *const before = all_arenas[i].guarded, *const after = before + GUARD_ALIGNED + all_arenas[i].bytes;
        for (uint32_t k = 0; k < GUARD_ALIGNED; k++) {
            before[k] = GUARD;
            after[k] = GUARD;
        }
    }
}
#endif

/* Throws away a payload that cannot be used, with its CRC. 0 at the end of the stream. */
static int skip(uint32_t bytes)
{
    uint8_t waste[16];
    uint32_t left = bytes;
    while (left != 0u) {
        const uint32_t now = left < sizeof waste ? left : (uint32_t)sizeof waste;
        if (!marram_take(waste, now)) {
            return 0;
        }
        left -= now;
    }
    return bytes == 0u || marram_take(waste, 4);
}

/* Inputs go straight to their places in the arena; then ``extra`` bytes; then the CRC, which is checked when all is there.
 * Returns a status, or -1 at the end of the stream. */
static int32_t take_inputs(const marram_frame *asked, uint8_t *extra, uint32_t extra_bytes)
{
    uint8_t sent[4];
    uint32_t crc = 0;
    if (asked->length != all_inputs() + extra_bytes) {
        return skip(asked->length) ? MARRAM_BAD_LENGTH : -1;
    }
    for (int i = 0; i < HARNESS_INPUTS; i++) {
        if (!marram_take(harness_input(PLACE, i), input_bytes[i])) {
            return -1;
        }
    }
    if (!marram_take(extra, extra_bytes) || !marram_take(sent, sizeof sent)) {
        return -1;
    }
    for (int i = 0; i < HARNESS_INPUTS; i++) {
        crc = marram_crc32(crc, harness_input(PLACE, i), input_bytes[i]);
    }
    return marram_crc32(crc, extra, extra_bytes) == marram_get32(sent) ? 0 : MARRAM_BAD_CRC;
}

static uint32_t checked_invoke(void)
{
    const uint32_t status = marram_counted_invoke();
    return status == 0u && !guards_hold() ? (uint32_t)MARRAM_OUTSIDE_ARENA : status;
}

static int32_t answer_hello(const marram_frame *asked)
{
    uint8_t block[8 + 32 + 4];
    uint8_t size[4];
    if (asked->length != 0u) {
        return skip(asked->length) ? MARRAM_BAD_LENGTH : -1;
    }
    marram_put32(block, MARRAM_PROTOCOL | (uint32_t)HARNESS_ABI << 16);
    marram_put32(block + 4, HARNESS_ARENA_BYTES);
    for (int i = 0; i < 32; i++) {
        block[8 + i] = digest[i];
    }
    marram_put32(block + 40, (uint32_t)HARNESS_INPUTS | (uint32_t)HARNESS_OUTPUTS << 16);
    marram_answer_begin(asked, 0, (uint32_t)(sizeof block + sizeof input_bytes + sizeof output_bytes));
    marram_answer_bytes(block, sizeof block);
    for (int i = 0; i < HARNESS_INPUTS + HARNESS_OUTPUTS; i++) {
        marram_put32(size, i < HARNESS_INPUTS ? input_bytes[i] : output_bytes[i - HARNESS_INPUTS]);
        marram_answer_bytes(size, sizeof size);
    }
    marram_answer_end();
    return 0;
}

static int32_t answer_run(const marram_frame *asked)
{
    int32_t status = take_inputs(asked, NULL, 0);
    if (status == 0) {
        status = (int32_t)checked_invoke();
    }
    if (status != 0) {
        return status;
    }
    marram_answer_begin(asked, 0, all_outputs());
    for (int i = 0; i < HARNESS_OUTPUTS; i++) {
        marram_answer_bytes(harness_output(PLACE, i), output_bytes[i]);
    }
    marram_answer_end();
    return 0;
}

/* Whether the model says what is wrong with the memory that it is given, whichever it is. */
static int refuses_wrong_arenas(void)
{
#if defined(HARNESS_ARENAS)
    HARNESS_ARENAS wrong;
    if (harness_invoke(NULL) != MARRAM_NULL_POINTER) {
        return 0;
    }
#define WRONG(name, bytes) \
    wrong = arenas; \
    wrong.name = NULL; \
    if (harness_invoke(&wrong) != MARRAM_NULL_POINTER) { \
        return 0; \
    } \
    wrong = arenas; \
    wrong.name##_bytes = (bytes) - 1u; \
    if (harness_invoke(&wrong) != MARRAM_ARENA_TOO_SMALL) { \
        return 0; \
    } \
    wrong = arenas; \
    wrong.name = (uint8_t *)arenas.name + 1; \
    if (harness_invoke(&wrong) != MARRAM_ARENA_MISALIGNED) { \
        return 0; \
    }
    HARNESS_EACH_ARENA(WRONG)
    return 1;
#else
    return harness_invoke(NULL, HARNESS_ARENA_BYTES) == MARRAM_NULL_POINTER &&
           harness_invoke(PLACE, HARNESS_ARENA_BYTES - 1u) == MARRAM_ARENA_TOO_SMALL &&
           harness_invoke(PLACE + 1, HARNESS_ARENA_BYTES) == MARRAM_ARENA_MISALIGNED;
#endif
}

/* The model's answer to wrong arguments, then to the given inputs. */
static int32_t answer_self_test(const marram_frame *asked)
{
    uint8_t expected[4];
    uint32_t crc = 0;
    int32_t status = take_inputs(asked, expected, sizeof expected);
    if (status != 0) {
        return status;
    }
    if (!refuses_wrong_arenas()) {
        return MARRAM_SELF_TEST_FAILED;
    }
    status = (int32_t)checked_invoke();
    if (status != 0) {
        return status;
    }
    for (int i = 0; i < HARNESS_OUTPUTS; i++) {
        crc = marram_crc32(crc, harness_output(PLACE, i), output_bytes[i]);
    }
    if (crc != marram_get32(expected)) {
        return MARRAM_SELF_TEST_FAILED;
    }
    marram_answer(asked, 0);
    return 0;
}

#if defined(__arm__)
extern uint32_t marram_stack_limit[]; /* named by the linker script */

enum { UNUSED = 0xA5A5A5A5u };

/* From the stack pointer at the call of invoke down to the lowest word that no longer has the paint. */
__attribute__((noinline)) static uint32_t stack_of_invoke(uint32_t *status)
{
    volatile uint32_t *here;
    volatile uint32_t *word = marram_stack_limit;
    __asm volatile("mov %0, sp" : "=r"(here));
    for (; word < here; word++) {
        *word = UNUSED;
    }
    *status = (uint32_t)harness_invoke(GIVEN);
    word = marram_stack_limit;
    while (word < here && *word == UNUSED) {
        word++;
    }
    if (word == marram_stack_limit && *status == 0u) {
        *status = MARRAM_STACK_FULL;
    }
    return (uint32_t)((uintptr_t)here - (uintptr_t)word);
}

static int32_t answer_stack(const marram_frame *asked)
{
    uint8_t block[4];
    uint32_t status;
    const int32_t taken = take_inputs(asked, NULL, 0);
    if (taken != 0) {
        return taken;
    }
    marram_put32(block, stack_of_invoke(&status));
    if (status != 0u) {
        return (int32_t)status;
    }
    marram_answer_begin(asked, 0, sizeof block);
    marram_answer_bytes(block, sizeof block);
    marram_answer_end();
    return 0;
}

static void say_hex(const char *name, uint32_t value)
{
    char text[12] = {'0', 'x'};
    for (int i = 0; i < 8; i++) {
        text[2 + i] = "0123456789abcdef"[(value >> (28 - 4 * i)) & 15u];
    }
    text[10] = ' ';
    text[11] = '\0';
    marram_port_say(name);
    marram_port_say(text);
}

_Noreturn void marram_fault(const uint32_t *frame);

_Noreturn void marram_fault(const uint32_t *frame)
{
    marram_port_say("marram: fault ");
#if !defined(__ARM_ARCH_6M__)
    say_hex("CFSR ", *(volatile uint32_t *)0xE000ED28u);
    say_hex("HFSR ", *(volatile uint32_t *)0xE000ED2Cu);
    say_hex("MMFAR ", *(volatile uint32_t *)0xE000ED34u);
    say_hex("BFAR ", *(volatile uint32_t *)0xE000ED38u);
#endif
    say_hex("SP ", (uint32_t)(uintptr_t)frame);
    say_hex("PC ", frame[6]);
    say_hex("LR ", frame[5]);
    marram_port_say("\n");
    marram_stop(99);
}
#else
static int32_t answer_stack(const marram_frame *asked)
{
    return skip(asked->length) ? MARRAM_NOT_HERE : -1;
}
#endif

int main(void)
{
    marram_frame asked;
    marram_port_open();
    set_guards();
    while (marram_next_frame(&asked)) {
        int32_t status;
        switch (asked.kind) {
        case MARRAM_HELLO: status = answer_hello(&asked); break;
        case MARRAM_RUN: status = answer_run(&asked); break;
        case MARRAM_SELF_TEST: status = answer_self_test(&asked); break;
        case MARRAM_STACK: status = answer_stack(&asked); break;
        case MARRAM_END:
            marram_answer(&asked, 0);
            marram_stop(0);
        default: status = skip(asked.length) ? MARRAM_BAD_KIND : -1; break;
        }
        if (status < 0) {
            break;
        }
        if (status != 0) {
            marram_answer(&asked, (uint32_t)status);
        }
    }
    return 0;
}
