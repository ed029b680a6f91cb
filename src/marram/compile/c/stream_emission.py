"""The text of a stream's header, of its public functions, and of the functions by which a harness drives it."""

from __future__ import annotations

import zlib
from string import Template

import msgspec

from marram.compile.c.addresses import Address, places_of
from marram.compile.c.families import Family
from marram.compile.c.public_header import STATUS_LINES, arguments_of, tensor_macros
from marram.compile.c.repetition import c_type
from marram.compile.c.stream_layout import StreamLayout
from marram.compile.memory.plan import MemoryPlan
from marram.compile.streaming import Streaming
from marram.core.graph import Graph, Tensor, with_nodes

_HEADER = """/* $name: made by marram for kernel family $family. Do not edit.
 *
 * A model that is fed as data comes: $hop new rows at a time, windows of $rows rows. Each answer is, byte for byte, what the
 * model answers to the window that ends with the rows just pushed. What is kept from push to push stands in a block of yours,
 * one for each stream; the arena is free for others between calls. No other state is kept: different streams may be pushed
 * at once, each with a block and an arena.
 *
 *     ${name}_stream_init   begins a stream: no rows yet. Call it again after a gap in the data.
 *     ${name}_stream_push   takes ${upper}_STREAM_ROWS new rows. MARRAM_STREAM_FILLING until the first window is full: the
 *                           answer is not written then. Afterwards MARRAM_OK with an answer for each push.
 */
#ifndef ${upper}_H
#define ${upper}_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ${upper}_STREAM_ARENA_BYTES ${arena_bytes}u
#define ${upper}_STREAM_ARENA_ALIGN ${align}u
#define ${upper}_STREAM_STATE_BYTES ${state_bytes}u
#define ${upper}_STREAM_STATE_ALIGN ${align}u
#define ${upper}_STREAM_ROWS ${hop}u /* new rows in a push, ${upper}_INPUT0_SIZE elements in all */
#define ${upper}_STREAM_WINDOW_ROWS ${rows}u
#define ${upper}_STREAM_WARM_UP_PUSHES ${pushes}u /* the first answer comes with this push */
$macros

$statuses
#ifndef MARRAM_STREAM_STATUS
#define MARRAM_STREAM_STATUS
#define MARRAM_STREAM_FILLING ((marram_status)5)     /* the first window is not full yet: no answer, and nothing is wrong */
#define MARRAM_STREAM_NOT_STARTED ((marram_status)6) /* the state was not made by this model's stream_init */
#endif

/* The state's block is at least ${upper}_STREAM_STATE_BYTES large and aligned to ${upper}_STREAM_STATE_ALIGN; else they answer
 * MARRAM_ARENA_TOO_SMALL or MARRAM_ARENA_MISALIGNED, as they do for an arena, and write nothing. */
marram_status ${name}_stream_init(void *state, size_t state_bytes);
marram_status ${name}_stream_push(void *state, size_t state_bytes, void *arena, size_t arena_bytes,
                                  $arguments);
$more
#ifdef __cplusplus
}
#endif

#endif /* ${upper}_H */
"""

_SOURCE = """static marram_status ${name}_check(const void *block, size_t bytes, size_t needed)
{
    if (block == NULL) { return MARRAM_NULL_POINTER; }
    if (bytes < needed) { return MARRAM_ARENA_TOO_SMALL; }
    if ((uintptr_t)block % ${upper}_STREAM_ARENA_ALIGN != 0u) { return MARRAM_ARENA_MISALIGNED; }
    return MARRAM_OK;
}

/* A state begins with a mark of the model and with how many pushes are to come before the first answer. */
enum { ${name}_LEFT_AT = 4 };

marram_status ${name}_stream_init(void *state, size_t state_bytes)
{
    const uint32_t mark = ${mark}u, left = ${upper}_STREAM_WARM_UP_PUSHES - 1u;
    const marram_status status = ${name}_check(state, state_bytes, ${upper}_STREAM_STATE_BYTES);
    if (status != MARRAM_OK) { return status; }
    memset(state, 0, ${upper}_STREAM_STATE_BYTES);
    memcpy(state, &mark, sizeof mark);
    memcpy((uint8_t *)state + ${name}_LEFT_AT, &left, sizeof left);
    return MARRAM_OK;
}

marram_status ${name}_stream_push(void *state, size_t state_bytes, void *arena, size_t arena_bytes,
                                  $arguments)
{
    uint8_t *const kept = (uint8_t *)state;
    uint32_t mark, left;
    marram_status status = ${name}_check(state, state_bytes, ${upper}_STREAM_STATE_BYTES);
    if (status == MARRAM_OK) { status = ${name}_check(arena, arena_bytes, ${upper}_STREAM_ARENA_BYTES); }
    if (status != MARRAM_OK) { return status; }
    if ($missing) { return MARRAM_NULL_POINTER; }
    memcpy(&mark, kept, sizeof mark);
    memcpy(&left, kept + ${name}_LEFT_AT, sizeof left);
    if (mark != ${mark}u) { return MARRAM_STREAM_NOT_STARTED; }
    memcpy($rows_at, $rows_in, ${upper}_INPUT0_BYTES);
    ${name}_layers((uint8_t *)arena, kept);
    if (left != 0u) {
        left--;
        memcpy(kept + ${name}_LEFT_AT, &left, sizeof left);
        status = MARRAM_STREAM_FILLING;
    } else {
$copies    }
$moves    return status;
}
"""

_DRIVEN = """
/* For a harness that knows one arena: in it the rows, a byte that says how the stream goes on, the answers, a byte for the
 * status, the state and the stream's own arena. The byte: 0 go on, 1 begin a stream, 2 take what stands in the state for one
 * whose window is full, which is how a push is counted. The answers are zeros while the stream is filling. */
marram_status ${name}_invoke(void *block, size_t bytes)
{
    uint8_t *const all = (uint8_t *)block;
    marram_status status = ${name}_check(block, bytes, ${all_bytes}u);
    if (status != MARRAM_OK) { return status; }
    if (all[$begin_at] == 1u) { status = ${name}_stream_init(all + $state_at, ${upper}_STREAM_STATE_BYTES); }
    if (all[$begin_at] == 2u) {
        const uint32_t head[2] = {${mark}u, 0u};
        memcpy(all + $state_at, head, sizeof head);
    }
    if (status != MARRAM_OK) { return status; }
    memset(all + $answers_at, 0, $answers_bytes);
    status = ${name}_stream_push(all + $state_at, ${upper}_STREAM_STATE_BYTES, all + $arena_at, ${upper}_STREAM_ARENA_BYTES,
                                 $given);
    all[$status_at] = (uint8_t)status;
    return status == MARRAM_STREAM_FILLING ? MARRAM_OK : status;
}

void *${name}_input(void *block, int index)
{
    return index == 0 ? block : index == 1 ? (uint8_t *)block + $begin_at : NULL;
}

const void *${name}_output(const void *block, int index)
{
    static const uint32_t places[] = {$places};
    return index >= 0 && (size_t)index < sizeof places / sizeof *places ? (const uint8_t *)block + places[index] : NULL;
}
"""

_DECLARED = """#define ${upper}_ARENA_BYTES ${all_bytes}u
#define ${upper}_ARENA_ALIGN ${align}u
marram_status ${name}_invoke(void *block, size_t bytes);
void *${name}_input(void *block, int index);
const void *${name}_output(const void *block, int index);
"""


_BEGIN, _STATUS = "@begin a stream", "@status"


class Driven(msgspec.Struct, frozen=True, kw_only=True):
    """What a harness needs: declarations, functions, and the size of the one block that they work in."""

    declarations: str
    functions: str
    block_bytes: int


def outer_graph(streaming: Streaming) -> Graph:
    """The inputs and outputs that a caller of a stream sees: the new rows, the answers."""
    graph = streaming.graph
    answers = graph.outputs[: len(streaming.window.outputs)]
    return with_nodes(graph, graph.nodes, inputs=graph.inputs[:1], outputs=answers)


def driven_graph(streaming: Streaming) -> Graph:
    """The inputs and outputs that a harness sees: the byte that asks for a new stream and the status as well."""
    outer = outer_graph(streaming)
    tensors = {name: Tensor(name=name, shape=(1, 1), dtype="int8") for name in (_BEGIN, _STATUS)}
    inputs, outputs = (*outer.inputs, _BEGIN), (*outer.outputs, _STATUS)
    return with_nodes(outer, outer.nodes, tensors=tensors, inputs=inputs, outputs=outputs)


def stream_header(
    prefix: str, streaming: Streaming, layout: StreamLayout, plan: MemoryPlan, family: Family, *, driving: Driven | None = None
) -> str:
    """The public header: sizes as macros, two functions; ``driving`` adds what a harness needs."""
    outer = outer_graph(streaming)
    named = outer if driving is None else driven_graph(streaming)
    macros = []
    for kind, tensors in (("INPUT", named.input_tensors), ("OUTPUT", named.output_tensors)):
        macros.append(f"#define {prefix.upper()}_{kind}S {len(tensors)}")
        for index, tensor in enumerate(tensors):
            macros += tensor_macros(f"{prefix.upper()}_{kind}{index}", tensor)
    return Template(_HEADER).substitute(
        name=prefix,
        upper=prefix.upper(),
        family=family.name,
        hop=streaming.hop_rows,
        rows=streaming.window_rows,
        pushes=streaming.warm_up_pushes,
        arena_bytes=max(plan.arena_bytes, 1),
        align=family.align_bytes,
        state_bytes=layout.state_bytes,
        macros="\n".join(macros),
        statuses="\n".join(STATUS_LINES),
        arguments=arguments_of(outer),
        more="" if driving is None else driving.declarations,
    )


def stream_functions(prefix: str, streaming: Streaming, layout: StreamLayout, plan: MemoryPlan) -> str:
    """``<prefix>_stream_init`` and ``<prefix>_stream_push``."""
    outer = outer_graph(streaming)
    places = places_of(layout.found, plan, layout.offsets)
    names = _names(outer)
    upper = prefix.upper()

    def at(name: str) -> str:
        return _place(places.address(layout.found.holders[name]))

    copies = [
        f"        memcpy({name}, {at(tensor)}, {upper}_OUTPUT{index}_BYTES);\n"
        for index, (name, tensor) in enumerate(zip(names[1:], outer.outputs, strict=True))
    ]
    moves = [
        f"    mem{'move' if one.source - one.target < one.size_bytes else 'cpy'}"
        f"(kept + {one.target}, kept + {one.source}, {one.size_bytes});\n"
        for one in layout.moves
    ]
    return Template(_SOURCE).substitute(
        name=prefix,
        upper=upper,
        mark=_mark(prefix, streaming, layout),
        arguments=arguments_of(outer),
        missing=" || ".join(f"{name} == NULL" for name in names),
        rows_at=at(outer.inputs[0]),
        rows_in=names[0],
        copies="".join(copies),
        moves="".join(moves),
    )


def _mark(prefix: str, streaming: Streaming, layout: StreamLayout) -> int:
    """What a state of this model begins with."""
    return zlib.crc32(f"{prefix} {streaming.hop_rows} {layout.state_bytes}".encode()) | 1


def _names(outer: Graph) -> list[str]:
    return [part.rsplit("*", 1)[1] for part in arguments_of(outer).split(", ")]


def _place(address: Address) -> str:
    block, offset = address
    return f"kept + {offset}" if block == "state" else f"(uint8_t *)arena + {offset}"


def driven(prefix: str, streaming: Streaming, layout: StreamLayout, plan: MemoryPlan, family: Family) -> Driven:
    """A stream as a model of two inputs, the new rows and a byte that asks for a new stream, with the status as last output."""
    outer = outer_graph(streaming)
    align, sizes = family.align_bytes, [tensor.size_bytes for tensor in outer.output_tensors]
    answers_bytes = sum(-(-size // align) * align for size in sizes)
    parts = (outer.input_tensors[0].size_bytes, 1, answers_bytes, 1, layout.state_bytes, max(plan.arena_bytes, 1))
    starts = [0]
    for size in parts:
        starts.append(starts[-1] + -(-size // align) * align)
    _, begin_at, answers_at, status_at, state_at, arena_at, end = starts
    places = [answers_at]
    for size in sizes:
        places.append(places[-1] + -(-size // align) * align)
    given = [f"(const {c_type(outer.input_tensors[0])} *)(const void *)all"]
    given += [
        f"({c_type(tensor)} *)(void *)(all + {place})" for tensor, place in zip(outer.output_tensors, places, strict=False)
    ]
    words = {
        "name": prefix,
        "upper": prefix.upper(),
        "all_bytes": end,
        "mark": _mark(prefix, streaming, layout),
        "align": align,
        "begin_at": begin_at,
        "answers_at": answers_at,
        "answers_bytes": answers_bytes,
        "status_at": status_at,
        "state_at": state_at,
        "arena_at": arena_at,
        "given": ", ".join(given),
        "places": ", ".join(f"{place}u" for place in (*places[:-1], status_at)),
    }
    return Driven(
        declarations=Template(_DECLARED).substitute(words),
        functions=Template(_DRIVEN).substitute(words),
        block_bytes=end,
    )
