#ifndef WATCHING_H
#define WATCHING_H
/* What watching.py puts around the calls of generated C. */
#include <stdio.h>
#include <stdlib.h>
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WATCH_WITH_SANITISER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define WATCH_WITH_SANITISER 1
#endif
#ifdef WATCH_WITH_SANITISER
void __asan_poison_memory_region(void const volatile *place, size_t bytes);
void __asan_unpoison_memory_region(void const volatile *place, size_t bytes);
#else
#define __asan_poison_memory_region(place, bytes) ((void)(place), (void)(bytes))
#define __asan_unpoison_memory_region(place, bytes) ((void)(place), (void)(bytes))
#endif

enum { WATCH_INPUT = 1, WATCH_READ = 2, WATCH_WRITTEN = 4, WATCH_MOST = 8 };
typedef struct {
    uint8_t *at;
    size_t bytes;
} watch_stretch;
/* `held`: the memory as it is for the model; `given`: as the layer found it, with noise; `may`: WATCH_ flags of each byte. */
static struct {
    struct {
        watch_stretch own;
        uint8_t *held, *given, *may;
    } blocks[WATCH_MOST];
    int count;
    const char *model;
    const int32_t *next;
    int32_t calls, function;
    uint32_t noise;
} watch = {.noise = 1};

_Noreturn static void watch_fail(const char *what, size_t place)
{
    fprintf(stderr, "watched %s: call %d, layer %d: %s %zu\n", watch.model, (int)watch.calls, (int)watch.function, what, place);
    abort();
}

static void watch_start(const watch_stretch *blocks, int count, const int32_t *table, const char *model)
{
    watch.count = count;
    watch.next = table;
    watch.model = model;
    watch.calls = 0;
    for (int b = 0; b < count; b++) {
        const size_t bytes = blocks[b].bytes;
        watch.blocks[b].own = blocks[b];
        watch.blocks[b].held = malloc(3 * bytes + 1);
        if (watch.blocks[b].held == NULL) {
            watch_fail("no memory of bytes", bytes);
        }
        watch.blocks[b].given = watch.blocks[b].held + bytes;
        watch.blocks[b].may = watch.blocks[b].given + bytes;
        __asan_unpoison_memory_region(blocks[b].at, bytes);
    }
}

static void watch_end(int32_t calls)
{
    if (watch.calls != calls) {
        watch_fail("calls are missing, of", (size_t)calls);
    }
    for (int b = 0; b < watch.count; b++) {
        free(watch.blocks[b].held);
    }
}

static void watch_allow(int flag)
{
    for (int32_t spans = *watch.next++; spans > 0; spans--) {
        const int32_t b = *watch.next++;
        const size_t from = (size_t)*watch.next++, past = (size_t)*watch.next++;
        if (past > watch.blocks[b].own.bytes) {
            watch_fail("the plan leaves the arena at", past);
        }
        for (size_t i = from; i < past; i++) {
            watch.blocks[b].may[i] = (uint8_t)(watch.blocks[b].may[i] | flag);
        }
    }
}

static void watch_before(int32_t function, int begin, int end, const void *const *places, int32_t count)
{
    const int32_t *planned = watch.next;
    watch.function = function;
    if (planned[0] != function || planned[1] != begin || planned[2] != end || planned[3] != count) {
        watch_fail("the plan has another function or rows, function", (size_t)planned[0]);
    }
    watch.next += 4;
    for (int32_t i = 0; i < count; i++, watch.next += 2) {
        if ((const uint8_t *)places[i] != watch.blocks[watch.next[0]].own.at + watch.next[1]) {
            watch_fail("not at its place: argument", (size_t)i);
        }
    }
    for (int b = 0; b < watch.count; b++) {
        memset(watch.blocks[b].may, 0, watch.blocks[b].own.bytes);
    }
    watch_allow(WATCH_INPUT);
    watch_allow(WATCH_READ);
    watch_allow(WATCH_WRITTEN);
    for (int b = 0; b < watch.count; b++) {
        const watch_stretch own = watch.blocks[b].own;
        const uint8_t *may = watch.blocks[b].may;
        memcpy(watch.blocks[b].held, own.at, own.bytes);
        for (size_t i = 0; i < own.bytes; i++) {
            watch.noise = watch.noise * 1664525u + 1013904223u;
            if (!(may[i] & WATCH_READ)) {
                own.at[i] = (uint8_t)(watch.noise >> 24);
            }
        }
        memcpy(watch.blocks[b].given, own.at, own.bytes);
        for (size_t i = 0, nobodys; i < own.bytes; i += nobodys + 1) {
            for (nobodys = 0; i + nobodys < own.bytes && !may[i + nobodys]; nobodys++) {
            }
            __asan_poison_memory_region(own.at + i, nobodys);
        }
    }
}

static void watch_after(void)
{
    for (int b = 0; b < watch.count; b++) {
        const watch_stretch own = watch.blocks[b].own;
        __asan_unpoison_memory_region(own.at, own.bytes);
        for (size_t i = 0; i < own.bytes; i++) {
            if (!(watch.blocks[b].may[i] & WATCH_WRITTEN)) {
                if (own.at[i] != watch.blocks[b].given[i]) {
                    watch_fail("it wrote outside of its outputs, at byte", i);
                }
                own.at[i] = watch.blocks[b].held[i];
            }
        }
    }
    watch.calls++;
}
#endif
