"""The text of a stream's header, of its public functions, and of the functions by which a harness drives it."""

from __future__ import annotations

import zlib
from string import Template

from marram.compile.c.families import Family
from marram.compile.c.streams.layout import StreamLayout
from marram.compile.c.text.addresses import Address, places_of
from marram.compile.c.text.public_header import STATUS_LINES, arguments_of, tensor_macros
from marram.compile.memory.plan import MemoryPlan
from marram.compile.streams.streaming import Streaming
from marram.core.graph import Graph, with_nodes

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

_MORE = (
    ("MARRAM_STREAM_FILLING", 5, "the first window is not full yet: no answer, and nothing is wrong"),
    ("MARRAM_STREAM_NOT_STARTED", 6, "the state was not made by this model's stream_init"),
)
# In the type where this header defines it; beside it where that of another model, which has no stream, came before.
_END = STATUS_LINES.index("} marram_status;")
_STATUSES = (
    *STATUS_LINES[: _END - 1],
    STATUS_LINES[_END - 1].replace("= 4  /*", "= 4, /*"),
    *(f"{f'    {name} = {value},':32} /* {text} */" for name, value, text in _MORE),
    *STATUS_LINES[_END : _END + 1],
    "#define MARRAM_STREAM_STATUS",
    *STATUS_LINES[_END + 1 :],
    "#ifndef MARRAM_STREAM_STATUS",
    "#define MARRAM_STREAM_STATUS",
    *(f"#define {name} ((marram_status){value}) /* {text} */" for name, value, text in _MORE),
    "#endif",
)


def outer_graph(streaming: Streaming) -> Graph:
    """The inputs and outputs that a caller of a stream sees: the new rows, the answers."""
    graph = streaming.graph
    answers = graph.outputs[: len(streaming.window.outputs)]
    return with_nodes(graph, graph.nodes, inputs=graph.inputs[:1], outputs=answers)


def stream_header(
    prefix: str,
    streaming: Streaming,
    layout: StreamLayout,
    plan: MemoryPlan,
    family: Family,
    *,
    named: Graph | None = None,
    more: str = "",
) -> str:
    """The public header: sizes as macros, two functions; ``named`` has other inputs and outputs, ``more`` more declarations."""
    outer = outer_graph(streaming)
    named = named or outer
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
        statuses="\n".join(_STATUSES),
        arguments=arguments_of(outer),
        more=more,
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
        mark=state_mark(prefix, streaming, layout),
        arguments=arguments_of(outer),
        missing=" || ".join(f"{name} == NULL" for name in names),
        rows_at=at(outer.inputs[0]),
        rows_in=names[0],
        copies="".join(copies),
        moves="".join(moves),
    )


def state_mark(prefix: str, streaming: Streaming, layout: StreamLayout) -> int:
    """What a state of this model begins with."""
    return zlib.crc32(f"{prefix} {streaming.hop_rows} {layout.state_bytes}".encode()) | 1


def _names(outer: Graph) -> list[str]:
    return [part.rsplit("*", 1)[1] for part in arguments_of(outer).split(", ")]


def _place(address: Address) -> str:
    block, offset = address
    return f"kept + {offset}" if block == "state" else f"(uint8_t *)arena + {offset}"
