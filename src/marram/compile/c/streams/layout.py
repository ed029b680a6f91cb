"""What a stream keeps in its caller's block: windows of rows, in which layers read and write in place, moved on after a push.

A window is kept whole, its new rows included: the layer that makes these writes them there, the layers that read windows read
there, and of all that only the kept rows are moved, once. Where something stands against that (a window that is copied
together), the kept rows alone are in the block, and layers copy them from there and back.
"""

from __future__ import annotations

import msgspec

from marram.compile.c.layers import Layers, layers_of
from marram.compile.streams.streaming import Streaming
from marram.core.errors import InternalError
from marram.core.graph import Graph, with_nodes


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that go to the front after a push: ``size_bytes`` of the state block from ``source`` to ``target``, its offsets."""

    target: int
    source: int
    size_bytes: int


class StreamLayout(msgspec.Struct, frozen=True, kw_only=True):
    """The layers of one push; the values in the state block with their offsets; its size; what is moved after a push.

    In ``found`` these values have no bytes, so that the plan of the arena has none for them. ``graph`` is the one that the
    layers are of.
    """

    graph: Graph
    found: Layers
    offsets: dict[str, int]
    state_bytes: int
    moves: tuple[Move, ...]


def stream_layout(streaming: Streaming, *, align_bytes: int, pack_weights: bool = False) -> StreamLayout:
    """Where a stream's states stand; the block begins with ``align_bytes`` for the count of pushes."""
    answers = streaming.graph.outputs[: len(streaming.window.outputs)]
    copied: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    while True:
        graph = with_nodes(streaming.graph, streaming.graph.nodes, inputs=inputs, outputs=(*answers, *copied))
        found = layers_of(graph, pack_weights=pack_weights)
        more_copied = tuple(
            state.next
            for state in streaming.states
            if state.next in copied or len({_root(found, name) for name in (state.now, state.next, state.window)}) > 1
        )
        kept = {_root(found, state.now) for state in streaming.states}
        own_input = () if _root(found, streaming.graph.inputs[0]) in kept else streaming.graph.inputs[:1]
        if (more_copied, own_input) == (copied, inputs):
            break
        if inputs and not own_input:
            raise InternalError("the rows that come in find no place")
        copied, inputs = more_copied, own_input
    offsets: dict[str, int] = {}
    size = align_bytes
    for name in dict.fromkeys(_root(found, state.now) for state in streaming.states):
        offsets[name] = size
        size += -(-found.values[name].size_bytes // align_bytes) * align_bytes
    moves = []
    for state in streaming.states:
        if state.next not in copied:
            (root, target), (_, source) = _value(found, state.now), _value(found, state.next)
            bytes_kept = graph.tensors[state.now].size_bytes
            moves.append(Move(target=offsets[root] + target, source=offsets[root] + source, size_bytes=bytes_kept))
    offsets |= {
        found.holders[state.next]: offsets[found.holders[state.now]] for state in streaming.states if state.next in copied
    }
    values = {
        name: msgspec.structs.replace(value, pixel_bytes=0) if name in offsets else value
        for name, value in found.values.items()
    }
    return StreamLayout(
        graph=graph,
        found=msgspec.structs.replace(found, values=values),
        offsets=offsets,
        state_bytes=size,
        moves=tuple(moves),
    )


def _value(found: Layers, name: str) -> tuple[str, int]:
    """The value that holds a tensor and is inside no other, and at which byte of it the tensor begins."""
    name, offset = found.holders[name], 0
    while (inside := found.values[name].inside) is not None:
        offset += found.values[name].inside_offset
        name = inside
    return name, offset


def _root(found: Layers, name: str) -> str:
    return _value(found, name)[0]
