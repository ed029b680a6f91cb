/* A plugin of QEMU's code translator: exact counts of executed instructions, block by block, parted by layer.
 *
 *     -plugin profile.so,marks=FILE,out=FILE[,single=on]
 *
 * marks: lines "address part" in hexadecimal and decimal; when an instruction at such an address begins a block and is about
 * to run, all that follows belongs to that part, to none where the part is -1. out, written when the emulator exits: lines
 * "block part address instructions executions" and "run instructions" for each stretch from a part to none.
 * single=on counts instruction by instruction instead of block by block: slow, equal, a check of this file.
 *
 * Plugin interface version 1 (QEMU 7.2). Distributions ship no header for it, so what is used is declared here. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { QEMU_PLUGIN_INLINE_ADD_U64, QEMU_PLUGIN_CB_NO_REGS = 0 };
typedef void (*TranslationCall)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*ExecutionCall)(unsigned, void *);
typedef void (*ExitCall)(qemu_plugin_id_t, void *);

extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, TranslationCall);
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, ExitCall, void *);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, ExecutionCall, int, void *);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, ExecutionCall, int, void *);
extern void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *, int, void *, uint64_t);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int count, char **arguments);

typedef struct {
    uint64_t address, executions, seen;
    size_t instructions, index;
} Block;

typedef struct {
    uint64_t address;
    long part;
} Mark;

static Block **blocks;
static size_t block_count, block_room;
static Mark *marks;
static size_t mark_count;
static uint64_t **parts; /* [part][block] */
static size_t *part_rooms;
static size_t part_count;
static uint64_t *runs, run;
static size_t run_count;
static long current = -1;
static int single, broken;
static const char *out_path = "profile.txt";

static void *grown(void *old, size_t items, size_t size)
{
    void *found = realloc(old, items * size);
    if (found == NULL) {
        fputs("profile: out of memory\n", stderr);
        exit(97);
    }
    return found;
}

static Block *block_at(uint64_t address, size_t instructions)
{
    for (size_t i = 0; i < block_count; i++) {
        if (blocks[i]->address == address && blocks[i]->instructions == instructions) {
            return blocks[i]; /* translated again after the emulator threw its translations away */
        }
    }
    if (block_count == block_room) {
        block_room = block_room ? 2 * block_room : 1024;
        blocks = grown(blocks, block_room, sizeof *blocks);
    }
    Block *made = grown(NULL, 1, sizeof *made);
    *made = (Block){.address = address, .instructions = instructions, .index = block_count};
    blocks[block_count++] = made;
    return made;
}

/* What has run since the last mark belongs to the part that it began. */
static void settle(void)
{
    for (size_t i = 0; i < block_count; i++) {
        const uint64_t more = blocks[i]->executions - blocks[i]->seen;
        if (more == 0) {
            continue;
        }
        blocks[i]->seen = blocks[i]->executions;
        if (current < 0) {
            continue;
        }
        if (part_rooms[current] <= i) {
            parts[current] = grown(parts[current], block_room, sizeof **parts);
            memset(parts[current] + part_rooms[current], 0, (block_room - part_rooms[current]) * sizeof **parts);
            part_rooms[current] = block_room;
        }
        parts[current][i] += more;
        run += more * blocks[i]->instructions;
    }
}

static void on_mark(unsigned cpu, void *data)
{
    (void)cpu;
    const long next = ((const Mark *)data)->part;
    settle();
    if (next < 0 && current >= 0) {
        runs = grown(runs, run_count + 1, sizeof *runs);
        runs[run_count++] = run;
        run = 0;
    }
    current = next;
}

static const Mark *mark_at(uint64_t address)
{
    for (size_t i = 0; i < mark_count; i++) {
        if (marks[i].address == address) {
            return &marks[i];
        }
    }
    return NULL;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    const size_t count = qemu_plugin_tb_n_insns(tb);
    const uint64_t begin = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0));
    for (size_t i = 0; i < count; i++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(tb, i);
        const uint64_t address = qemu_plugin_insn_vaddr(instruction);
        const Mark *mark = mark_at(address);
        if (single) {
            if (mark != NULL) {
                qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_mark, QEMU_PLUGIN_CB_NO_REGS, (void *)mark);
            }
            qemu_plugin_register_vcpu_insn_exec_inline(instruction, QEMU_PLUGIN_INLINE_ADD_U64, &block_at(address, 1)->executions, 1);
        } else if (mark != NULL && i == 0) {
            qemu_plugin_register_vcpu_tb_exec_cb(tb, on_mark, QEMU_PLUGIN_CB_NO_REGS, (void *)mark);
        } else if (mark != NULL) {
            broken = 1; /* the block would be counted for the part before it */
        }
    }
    if (!single) {
        qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &block_at(begin, count)->executions, 1);
    }
}

static void on_exit_(qemu_plugin_id_t id, void *data)
{
    (void)id;
    (void)data;
    settle();
    FILE *file = fopen(out_path, "w");
    if (file == NULL) {
        return;
    }
    for (size_t p = 0; p < part_count; p++) {
        for (size_t i = 0; i < part_rooms[p] && i < block_count; i++) {
            if (parts[p][i] != 0) {
                fprintf(file, "block %zu %" PRIx64 " %zu %" PRIu64 "\n", p, blocks[i]->address, blocks[i]->instructions, parts[p][i]);
            }
        }
    }
    for (size_t i = 0; i < run_count; i++) {
        fprintf(file, "run %" PRIu64 "\n", runs[i]);
    }
    fputs(broken ? "broken\n" : "end\n", file);
    fclose(file);
}

static int read_marks(const char *path)
{
    FILE *file = fopen(path, "r");
    Mark mark;
    if (file == NULL) {
        return 0;
    }
    while (fscanf(file, "%" SCNx64 " %ld", &mark.address, &mark.part) == 2) {
        marks = grown(marks, mark_count + 1, sizeof *marks);
        marks[mark_count++] = mark;
        if (mark.part >= (long)part_count) {
            part_count = (size_t)mark.part + 1;
        }
    }
    fclose(file);
    parts = calloc(part_count + 1, sizeof *parts);
    part_rooms = calloc(part_count + 1, sizeof *part_rooms);
    return parts != NULL && part_rooms != NULL;
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int count, char **arguments)
{
    (void)info;
    int have_marks = 0;
    for (int i = 0; i < count; i++) {
        if (strncmp(arguments[i], "marks=", 6) == 0) {
            have_marks = read_marks(arguments[i] + 6);
        } else if (strncmp(arguments[i], "out=", 4) == 0) {
            out_path = strdup(arguments[i] + 4);
        } else if (strcmp(arguments[i], "single=on") == 0) {
            single = 1;
        }
    }
    if (!have_marks) {
        fputs("profile: the marks cannot be read\n", stderr);
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_atexit_cb(id, on_exit_, NULL);
    return 0;
}
