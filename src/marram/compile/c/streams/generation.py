"""An integer Graph -> C11 source of its streaming form: states stay in a block of the caller's, an arena serves one push."""

from __future__ import annotations

import msgspec
import numpy as np

from marram.compile.c.families import Family
from marram.compile.c.generation import Generated, assembled, records_of
from marram.compile.c.streams.driving import driven, driven_graph
from marram.compile.c.streams.emission import outer_graph, stream_functions, stream_header
from marram.compile.c.streams.layout import StreamLayout, stream_layout
from marram.compile.c.text.calls import calls_text
from marram.compile.c.text.emission import kernels_text
from marram.compile.c.text.sources import identifier
from marram.compile.streams.streaming import Streaming, stream_of
from marram.core.graph import Array, Graph


class GeneratedStream(msgspec.Struct, frozen=True, kw_only=True):
    """C source of a stream.

    ``generated`` has the files, the layers of one push and the plan of its arena; its Graph has the new rows and the answers
    as inputs and outputs. ``driven`` is the same behind the functions that harnesses call, as a model of one block of memory
    whose inputs are the new rows and a byte that asks for a new stream, and whose last output is the status.
    """

    streaming: Streaming
    layout: StreamLayout
    generated: Generated
    driven: Generated

    @property
    def state_bytes(self) -> int:
        """What the caller keeps for each stream."""
        return self.layout.state_bytes


def generate_stream(
    graph: Graph,
    family: Family,
    *,
    hop_rows: int,
    name: str | None = None,
    arena_limit_bytes: int | None = None,
    pack_weights: bool = False,
) -> GeneratedStream:
    """C source of the streaming form of an integer Graph.

    Args:
        graph: of whole windows; as for ``generation.generate``.
        family: which kernels.
        hop_rows: so many new rows come with each push.
        name: prefix of every name in the C; None takes the graph's.
        arena_limit_bytes: what the arena may hold; None asks for the fastest plan.
        pack_weights: layers whose weights fit 4 or 2 bits have them so in flash.

    Raises:
        UserError: as ``compile.streams.streaming.stream_of`` and ``generation.generate``.
    """
    streaming = stream_of(graph, hop_rows)
    prefix = identifier(name or graph.name)
    layout = stream_layout(streaming, align_bytes=family.align_bytes, pack_weights=pack_weights)
    made = assembled(layout.found, family, prefix, arena_limit_bytes=arena_limit_bytes)
    header = stream_header(prefix, streaming, layout, made.plan, family)
    parts = kernels_text(prefix, made.found, made.routines, made.functions, family)
    parts.append(calls_text(prefix, made.found, made.routines, made.plan, made.functions, states=layout.offsets))
    parts.append(stream_functions(prefix, streaming, layout, made.plan))
    source = "\n\n".join(parts)
    generated = Generated(
        name=prefix,
        family=family.name,
        graph=outer_graph(streaming),
        files={f"{prefix}.h": header, f"{prefix}.c": source},
        layers=records_of(layout.graph, made),
        plan=made.plan,
    )
    harness = driven(prefix, streaming, layout, made.plan, family)
    seen = driven_graph(streaming)
    files = {
        f"{prefix}.h": stream_header(prefix, streaming, layout, made.plan, family, named=seen, more=harness.declarations),
        f"{prefix}.c": source + harness.functions,
    }
    behind = msgspec.structs.replace(
        generated,
        graph=seen,
        files=files,
        plan=msgspec.structs.replace(made.plan, arena_bytes=harness.block_bytes),
    )
    return GeneratedStream(streaming=streaming, layout=layout, generated=generated, driven=behind)


def pushes_of(streaming: Streaming, data: Array) -> tuple[Array, Array]:
    """The inputs of a driven stream for data that comes in: the rows of each push, and the byte that asks for a new stream.

    Args:
        streaming: the stream.
        data: of the input's shape, with a multiple of ``hop_rows`` rows along its time axis.

    Returns:
        Arrays (pushes, ...) and (pushes, 1).
    """
    parts = np.split(data, data.shape[streaming.axis] // streaming.hop_rows, axis=streaming.axis)
    begin = np.zeros((len(parts), 1), np.int8)
    begin[0] = 1
    return np.concatenate(parts), begin
