"""Generated C on this machine: many models in one executable that reads vectors on stdin, and a plan with guards for it.

Every model's arena is allocated with exactly its bytes, inputs and outputs likewise, so that the address sanitiser sees the
first byte outside. With ``apart`` every value and every scratch has a place of its own and the bytes between are poisoned: a
kernel that leaves its buffers inside of the arena is seen too.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from marram.compile.c import generation
from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import Generated, generate
from marram.compile.memory.plan import Call, MemoryPlan, Problem, Slot
from marram.core.graph import Array, Graph
from marram.model import interpret

STRICT = ("-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror")
OPTIMISED = ("-O2",)
SANITISED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
GUARD_BYTES = 64

_MAIN = r"""
#include <stdio.h>
#include <stdlib.h>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif
typedef struct { size_t from, size; } span;
typedef struct {
    int (*run)(void *arena, void **in, void **out);
    size_t arena_bytes, arena_align;
    const size_t *in, *out;
    const span *guards;
} model;
%s
static const model models[] = {%s};

static void *exactly(size_t align, size_t size)
{
    void *at = NULL;
    if (posix_memalign(&at, align < sizeof(void *) ? sizeof(void *) : align, size)) { exit(3); }
    return at;
}

static void fill(void *into, size_t size)
{
    if (fread(into, 1, size, stdin) != size) { exit(4); }
}

int main(void)
{
    unsigned index, count, rubbish = 0x5a;
    while (fread(&index, sizeof index, 1, stdin) == 1) {
        const model *m = &models[index];
        fill(&count, sizeof count);
        for (unsigned vector = 0; vector < count; vector++, rubbish ^= 0xff) {
            uint8_t *arena = exactly(m->arena_align, m->arena_bytes);
            memset(arena, (int)rubbish, m->arena_bytes);
            for (const span *guard = m->guards; guard->size; guard++) {
                ASAN_POISON_MEMORY_REGION(arena + guard->from, guard->size);
            }
            void *in[16], *out[32];
            size_t ins = 0, outs = 0;
            for (; m->in[ins]; ins++) { in[ins] = exactly(16, m->in[ins]); fill(in[ins], m->in[ins]); }
            for (; m->out[outs]; outs++) { out[outs] = exactly(16, m->out[outs]); }
            if (m->run(arena, in, out) != 0) { return 5; }
            for (size_t i = 0; i < outs; i++) { fwrite(out[i], 1, m->out[i], stdout); free(out[i]); }
            for (size_t i = 0; i < ins; i++) { free(in[i]); }
            free(arena);
        }
    }
    return 0;
}
"""


def spread(problem: Problem, *, budget_bytes: int | None = None) -> MemoryPlan:
    """A plan in which nothing overlaps: values, whole, and scratch one after the other with guards between."""
    del budget_bytes
    slots: list[Slot] = []
    at = GUARD_BYTES

    def put(name: str, kind: str, size: int, rows: int) -> None:
        nonlocal at
        last = len(problem.tasks) - 1
        slots.append(Slot(name=name, kind=kind, offset_bytes=at, size_bytes=size, rows=rows, first=0, last=last))
        at += -(-size // GUARD_BYTES) * GUARD_BYTES + GUARD_BYTES

    for name, value in problem.values.items():
        if value.inside is None:
            put(name, "value", value.size_bytes, value.rows)
    for task in problem.tasks:
        rows = tuple(problem.values[name].rows for name in task.inputs)
        form = task.form(rows, problem.values[task.outputs[0]].rows, False)
        if form.scratch_bytes:
            put(task.name, "scratch", form.scratch_bytes, 1)
    calls = tuple(
        Call(task=index, row_begin=0, row_end=problem.values[task.outputs[0]].rows) for index, task in enumerate(problem.tasks)
    )
    return MemoryPlan(arena_bytes=at, slots=tuple(slots), calls=calls, lean=(False,) * len(problem.tasks), lower_bound_bytes=at)


def generate_apart(graph: Graph, family: str, *, name: str, pack_weights: bool = False) -> Generated:
    """As ``generate``, with the plan of ``spread``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "plan_memory", spread)
        return generate(graph, FAMILIES[family], name=name, pack_weights=pack_weights)


def _guards(plan: MemoryPlan) -> list[tuple[int, int]]:
    """The stretches of a spread plan that belong to nobody; none of a plan in which places are shared."""
    taken = sorted((slot.offset_bytes, slot.offset_bytes + slot.size_bytes) for slot in plan.slots)
    if any(end > begin for (_, end), (begin, _) in pairwise(taken)):
        return []
    edges = [(0, 0), *taken, (plan.arena_bytes, plan.arena_bytes)]
    return [(end, begin - end) for (_, end), (begin, _) in pairwise(edges) if begin > end]


def _record(made: Generated) -> tuple[str, str]:
    """The C of one model in the table: what calls it, and its entry."""
    upper, name = made.name.upper(), made.name
    ins, outs = made.graph.input_tensors, made.graph.output_tensors
    given = [f"in[{index}]" for index in range(len(ins))] + [f"out[{index}]" for index in range(len(outs))]

    def sizes(what: str, tensors: Sequence) -> str:
        listed = ", ".join(f"{tensor.size_bytes}" for tensor in tensors)
        return f"static const size_t {name}_{what}_sizes[] = {{{listed}, 0}};"

    guards = "" if made.plan.memories else "".join(f"{{{begin}, {size}}}, " for begin, size in _guards(made.plan))
    call = f"{{ return (int){name}_run_in(arena, {upper}_ARENA_BYTES, {', '.join(given)}); }}"
    text = [
        f"static int {name}_call(void *arena, void **in, void **out)",
        _in_several(made, given) if made.plan.memories else call,
        sizes("in", ins),
        sizes("out", outs),
        f"static const span {name}_guards[] = {{{guards}{{0, 0}}}};",
    ]
    arena_bytes = "1" if made.plan.memories else f"{upper}_ARENA_BYTES"
    entry = f"{{{name}_call, {arena_bytes}, {upper}_ARENA_ALIGN, {name}_in_sizes, {name}_out_sizes, {name}_guards}}"
    return "\n".join(text), entry


def _in_several(made: Generated, given: Sequence[str]) -> str:
    """The body of a call of a model over several memories, each of which is allocated with exactly its bytes."""
    upper, name, memories = made.name.upper(), made.name, made.plan.memories
    lines = ["{", "    (void)arena;", f"    {name}_arenas arenas;"]
    for memory in memories:
        size = f"{upper}_ARENA_{memory.name.upper()}_BYTES"
        lines.append(f"    arenas.{memory.name} = NULL; arenas.{memory.name}_bytes = {size};")
        if memory.arena_bytes:
            lines.append(f"    if (posix_memalign(&arenas.{memory.name}, 64, {size})) {{ return 7; }}")
            lines.append(f"    memset(arenas.{memory.name}, 0x5a, {size});")
    lines.append(f"    const int status = (int){name}_run_in(&arenas, {', '.join(given)});")
    lines += [f"    free(arenas.{memory.name});" for memory in memories]
    return "\n".join([*lines, "    return status;", "}"])


class Host:
    """An executable of several models; all of them are in one translation unit, as a short compile matters here."""

    def __init__(
        self, made: Sequence[Generated], folder: Path, *, compiler: Sequence[str] = ("gcc",), flags: Sequence[str] = SANITISED
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.made = list(made)
        for one in made:
            for name, text in one.files.items():
                (folder / name).write_text(text)
        records = [_record(one) for one in made]
        includes = "\n".join(f'#include "{one.name}.c"' for one in made)
        main = _MAIN % ("\n".join(text for text, _ in records), ", ".join(entry for _, entry in records))
        (folder / "main.c").write_text(f"{includes}\n{main}")
        self.binary = folder / "main"
        # kernels' headers are read once for all models, so every feature of theirs must be there
        command = [
            *compiler,
            *STRICT,
            "-D_POSIX_C_SOURCE=200112L",
            "-DMARRAM_DSP_ODD_CHANNELS=1",
            *flags,
            "main.c",
            "-o",
            "main",
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[:4000]

    def run(self, inputs: Sequence[Sequence[Array]], *, runner: Sequence[str] = (), order: str = "=") -> list[list[Array]]:
        """The outputs of every model, for its inputs (one array for each input, leading axis the vectors).

        ``runner`` emulates the machine that the executable is for; ``order`` is its order of bytes, as numpy writes it.
        """
        sent = []
        for index, (one, arrays) in enumerate(zip(self.made, inputs, strict=True)):
            count = len(arrays[0]) // one.graph.input_tensors[0].shape[0]
            sent.append(struct.pack(f"{order}II", index, count))
            parts = [self._bytes(array, order).reshape(count, -1) for array in arrays]
            sent.append(np.concatenate(parts, axis=1).tobytes())
        done = subprocess.run([*runner, self.binary], input=b"".join(sent), capture_output=True, check=False)
        assert done.returncode == 0, (done.returncode, done.stderr.decode(errors="replace")[:4000])
        return self._parted(done.stdout, inputs, order)

    @staticmethod
    def _bytes(array: Array, order: str) -> Array:
        flat = np.ascontiguousarray(array.astype(array.dtype.newbyteorder(order)))
        return np.frombuffer(flat.tobytes(), np.uint8)

    def _parted(self, stream: bytes, inputs: Sequence[Sequence[Array]], order: str) -> list[list[Array]]:
        at, found = 0, []
        for one, arrays in zip(self.made, inputs, strict=True):
            count = len(arrays[0]) // one.graph.input_tensors[0].shape[0]
            sizes = [tensor.size_bytes for tensor in one.graph.output_tensors]
            block = np.frombuffer(stream, np.uint8, count * sum(sizes), at).reshape(count, -1)
            at += count * sum(sizes)
            borders = np.cumsum([0, *sizes])
            found.append(
                [
                    np.ascontiguousarray(block[:, begin:end])
                    .view(np.dtype(tensor.dtype).newbyteorder(order))
                    .astype(tensor.dtype)
                    .reshape(-1, *tensor.shape[1:])
                    for tensor, begin, end in zip(one.graph.output_tensors, borders, borders[1:], strict=False)
                ]
            )
        assert at == len(stream)
        return found


def expected(made: Generated, inputs: Sequence[Array]) -> list[Array]:
    """What the reference gives for the graph that the C was made from."""
    found = interpret(made.graph, list(inputs))
    return [
        np.asarray(array).reshape(-1, *tensor.shape[1:]) for array, tensor in zip(found, made.graph.output_tensors, strict=True)
    ]


def differing(made: Generated, inputs: Sequence[Array], found: Sequence[Array]) -> str:
    """Empty where the bytes are equal; else which output differs where, and the operators of the graph."""
    for index, (want, got) in enumerate(zip(expected(made, inputs), found, strict=True)):
        unequal = np.argwhere(want != got)
        if len(unequal):
            place = tuple(unequal[0].tolist())
            kinds = ", ".join(type(node.op).__name__ for node in made.graph.nodes)
            at = f"output {index} differs in {len(unequal)} of {want.size}, at {place} {want[place]} became {got[place]}"
            return f"{made.name}: {at}; {kinds}"
    return ""
