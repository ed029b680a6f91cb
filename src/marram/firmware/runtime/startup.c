/* Reset, vectors and faults of every Cortex-M profile. The C runtime is set up here and nothing else is needed: no crt0. */
#include <stdint.h>

/* Places that the linker script names. */
extern uint32_t marram_stack_top[], marram_data_begin[], marram_data_end[], marram_data_load[];
extern uint32_t marram_bss_begin[], marram_bss_end[];

/* Memories beside main RAM whose contents stand in flash: MARRAM_MEMORIES(X) is X(name) for each. */
#if defined(MARRAM_MEMORIES)
#define NAMED(name) extern uint32_t marram_##name##_begin[], marram_##name##_end[], marram_##name##_load[];
MARRAM_MEMORIES(NAMED)
#define FILLED(name) copy(marram_##name##_begin, marram_##name##_end, marram_##name##_load);

static void copy(uint32_t *to, const uint32_t *end, const uint32_t *from)
{
    while (to < end) {
        *to++ = *from++;
    }
}
#endif

int main(void);
/* What to do with a fault: the harness reports it, the minimal application stands still. Registers as stacked by the core. */
_Noreturn void marram_fault(const uint32_t *frame);
_Noreturn void marram_stop(int code);
/* libgcc's division names it in tables that the linker script throws away; without it the unwinder would be linked. */
void __aeabi_unwind_cpp_pr0(void);

void marram_reset(void);
_Noreturn void marram_start(void);
void marram_fault_entry(void);

/* The FPU and MVE are enabled before any C runs: compilers use vector registers in the very loops below. */
__attribute__((naked, noreturn)) void marram_reset(void)
{
    __asm volatile(
        "ldr r0, =marram_stack_top\n"
        "mov sp, r0\n"
#if __ARM_ARCH >= 8 && __ARM_ARCH_PROFILE == 'M' && !defined(__ARM_ARCH_8M_BASE__)
        "ldr r0, =marram_stack_limit\n"
        "msr msplim, r0\n" /* a stack that grows too far is a fault, not a spoiled arena */
#endif
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
        "ldr r0, =0xE000ED88\n" /* CPACR: full access to CP10 and CP11 */
        "ldr r1, [r0]\n"
        "movs r2, #0xF\n"
        "lsls r2, r2, #20\n"
        "orrs r1, r1, r2\n"
        "str r1, [r0]\n"
        "dsb\n"
        "isb\n"
#endif
        "ldr r0, =marram_start\n"
        "bx r0\n");
}

__attribute__((used)) _Noreturn void marram_start(void)
{
#if defined(__ARM_ARCH_6M__)
    /* Armv6-M has no unaligned access. Where its code runs on a larger core, that core shall refuse it as well. */
    *(volatile uint32_t *)0xE000ED14u |= 1u << 3;
#endif
    const uint32_t *from = marram_data_load;
    /* cppcheck-suppress comparePointers ; two ends of one section */
    for (uint32_t *to = marram_data_begin; to < marram_data_end; to++) {
        *to = *from++;
    }
    /* cppcheck-suppress comparePointers ; two ends of one section */
    for (uint32_t *to = marram_bss_begin; to < marram_bss_end; to++) {
        *to = 0;
    }
#if defined(MARRAM_MEMORIES)
    MARRAM_MEMORIES(FILLED)
#endif
    marram_stop(main());
}

__attribute__((naked)) void marram_fault_entry(void)
{
    __asm volatile(
#if __ARM_ARCH >= 8 && __ARM_ARCH_PROFILE == 'M' && !defined(__ARM_ARCH_8M_BASE__)
        "movs r1, #0\n"
        "msr msplim, r1\n" /* or the report of a full stack would fault again */
#endif
        "mov r0, sp\n"
        "ldr r1, =marram_fault\n"
        "bx r1\n");
}

void __aeabi_unwind_cpp_pr0(void)
{
}

typedef void (*Vector)(void);

__attribute__((section(".vectors"), used)) static const Vector vectors[16] = {
    (Vector)marram_stack_top, /* loaded into SP by the core */
    marram_reset,
    marram_fault_entry, /* NMI */
    marram_fault_entry, /* HardFault */
    marram_fault_entry, /* MemManage, Armv7-M and later, as the next three */
    marram_fault_entry, /* BusFault */
    marram_fault_entry, /* UsageFault */
    marram_fault_entry, /* SecureFault, Armv8-M */
    0,
    0,
    0,
    marram_fault_entry, /* SVCall */
    marram_fault_entry, /* DebugMonitor */
    0,
    marram_fault_entry, /* PendSV */
    marram_fault_entry, /* SysTick */
};
