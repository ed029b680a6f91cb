"""A model of windows becomes one of a stream: an integer Graph that takes the rows that are new, and what it keeps between.

The streaming Graph is an ordinary one: its inputs are the new rows and the states, its outputs the answers and the next
states. What it answers is, byte for byte, what the model answers to the whole window that ends with the rows it was given.
Rows near the ends of a window, where layers pad, are of that window alone: they are made anew each time (ADR 6).
"""

from __future__ import annotations

import msgspec

from marram.compile.c.lowering import lower
from marram.compile.streams.rewriting import State, rewritten
from marram.compile.streams.time_axis import Track, follow, time_axis
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.core.operators import Gru, Lstm, operator_name
from marram.model.counts import counts


class Streaming(msgspec.Struct, frozen=True, kw_only=True):
    """A model of a stream.

    ``graph``: inputs are the new rows, then the ``now`` of each state; outputs the model's, then the ``next`` of each.
    ``window`` is the Graph of whole windows, lowered. ``hop_rows`` of the axis ``axis`` of its input come with each push,
    ``window_rows`` make a window. ``macs`` are of one push, ``window_macs`` of one window. ``ends`` says why each node that is
    computed for the whole window at each push is so; nodes after these are not named. ``padded``: layers pad along time.
    """

    graph: Graph
    window: Graph
    axis: int
    hop_rows: int
    window_rows: int
    states: tuple[State, ...]
    macs: int
    window_macs: int
    padded: bool
    ends: dict[str, str]

    @property
    def warm_up_pushes(self) -> int:
        """With this push the first window is full."""
        return -(-self.window_rows // self.hop_rows)


def stream_of(graph: Graph, hop_rows: int) -> Streaming:
    """The streaming form of an integer Graph.

    Args:
        graph: of whole windows, one input (1, T, ...), leading ones apart.
        hop_rows: so many new rows come with each push, fewer than a window has.

    Raises:
        UserError: floats inside, several inputs, a recurrent layer, a hop that ends between two rows of some layer, or
            nothing that a push could save; each names the node.
    """
    for node in graph.nodes:
        if isinstance(node.op, Lstm | Gru):
            raise UserError(
                "a recurrent layer begins each window with a state of zeros, so nothing of the window before can be used",
                where=f"graph {graph.name}, node {node.name} ({operator_name(node.op)})",
                hint="Run it on whole windows, or export a model of one step that takes and gives its state.",
            )
    window = lower(graph)
    if len(window.inputs) != 1:
        raise UserError(
            f"a stream has one input, and this model has {len(window.inputs)}", where=f"graph {graph.name}", hint="Join them."
        )
    source = window.input_tensors[0]
    axis = time_axis(source)
    rows = source.shape[axis] if axis < len(source.shape) else 1
    if not 0 < hop_rows < rows or source.shape[0] != 1:
        raise UserError(
            f"{hop_rows} rows at a time do not make a stream of windows {source.shape}",
            where=f"graph {graph.name}, input {source.name}",
            hint=f"Push from 1 to {rows - 1} rows at a time."
            if rows > 1 and source.shape[0] == 1
            else "A window has a leading axis of 1 and more than one row.",
        )
    tracks, ends = follow(window, hop_rows)
    made, states = rewritten(window, tracks)
    made = lower(made)
    streaming = Streaming(
        graph=made,
        window=window,
        axis=axis,
        hop_rows=hop_rows,
        window_rows=rows,
        states=states,
        macs=counts(made).macs,
        window_macs=counts(window).macs,
        padded=any(track.left or track.right for track in tracks.values()),
        ends=ends,
    )
    _need_savings(streaming, tracks)
    return streaming


def _need_savings(found: Streaming, tracks: dict[str, Track]) -> None:
    """Refuses what would cost as much as running the model on each window."""
    if found.macs < found.window_macs or (not found.window_macs and len(tracks) > 1):
        return
    first = next(node for node in found.window.nodes if node.name in found.ends)
    raise UserError(
        f"a push of {found.hop_rows} rows would cost as much as a window of {found.window_rows}: from this node on everything "
        f"is computed for the whole window, as {found.ends[first.name]}",
        where=f"graph {found.window.name}, node {first.name} ({operator_name(first.op)})",
        hint="Push fewer rows at a time, or run the model on whole windows. Layers that pad along time make rows near the "
        "window's ends that are of this window alone: padding less, or a longer window, leaves more to keep.",
    )
