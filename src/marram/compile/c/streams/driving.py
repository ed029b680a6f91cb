"""A stream as a model of one block of memory: how a harness, which knows arenas only, begins it and pushes."""

from __future__ import annotations

from string import Template

import msgspec

from marram.compile.c.families import Family
from marram.compile.c.streams.emission import outer_graph, state_mark
from marram.compile.c.streams.layout import StreamLayout
from marram.compile.c.text.repetition import c_type
from marram.compile.memory.plan import MemoryPlan
from marram.compile.streams.streaming import Streaming
from marram.core.graph import Graph, Tensor, with_nodes

_BEGIN, _STATUS = "@begin a stream", "@status"

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


class Driven(msgspec.Struct, frozen=True, kw_only=True):
    """What a harness needs: declarations, functions, and the size of the one block that they work in."""

    declarations: str
    functions: str
    block_bytes: int


def driven_graph(streaming: Streaming) -> Graph:
    """The inputs and outputs that a harness sees: the byte that asks for a new stream and the status as well."""
    outer = outer_graph(streaming)
    tensors = {name: Tensor(name=name, shape=(1, 1), dtype="int8") for name in (_BEGIN, _STATUS)}
    inputs, outputs = (*outer.inputs, _BEGIN), (*outer.outputs, _STATUS)
    return with_nodes(outer, outer.nodes, tensors=tensors, inputs=inputs, outputs=outputs)


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
        "mark": state_mark(prefix, streaming, layout),
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
