"""The rewriting of a Graph of whole windows to one of a stream: rows made at each push, rows kept, and what joins them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from marram.compile.streams.time_axis import Reading, Track, reading_of
from marram.core.graph import Graph, Node, Tensor, fresh_name, with_nodes
from marram.core.operators import (
    AveragePool2D,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    MaxPool2D,
    Operator,
    Pad,
    Reshape,
    Slice,
)

_LEFT, _NEW, _WINDOW, _NOW, _NEXT = "@begin", "@new", "@window", "@state", "@next"


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that are kept from push to push.

    ``now`` is an input of the streaming Graph and ``next`` the output that takes its place at the next push: both are rows of
    the tensor ``window``, which has new rows behind those of ``now``, and rows before them where layers pad. ``of`` is the
    tensor of the whole window's Graph.
    """

    of: str
    now: str
    next: str
    window: str


def rewritten(graph: Graph, tracks: dict[str, Track]) -> tuple[Graph, tuple[State, ...]]:
    """The streaming Graph of a lowered Graph of one input, and its states; ``tracks`` from ``time_axis.follow``."""
    return _Rewriting(graph, tracks).streamed()


class _Rewriting:
    """The streaming Graph in the making: for each tracked tensor the rows at a window's beginning and the new ones."""

    def __init__(self, graph: Graph, tracks: dict[str, Track]) -> None:
        self.graph, self.tracks = graph, tracks
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []
        self.states: list[State] = []
        self.parts: dict[tuple[str, int], str] = {}
        self.slices: dict[tuple[str, int, int], str] = {}
        self.windows: dict[str, tuple[str, int]] = {}
        self.first_kept = self._first_kept()

    def streamed(self) -> tuple[Graph, tuple[State, ...]]:
        """The Graph and its states."""
        source = self.graph.inputs[0]
        track = self.tracks[source]
        rows = self._tensor(source, f"{source}{_NEW}", track.axis, track.new)
        self.parts[source, track.fresh] = rows
        self._keep(source)
        for node in self.graph.nodes:
            if node.outputs[0] in self.tracks:
                for begin, past in _parts(self.tracks[node.outputs[0]]):
                    self._part(node, begin, past)
                for name in node.outputs:
                    self._keep(name)
            else:
                names = tuple(self._whole(name) for name in node.inputs)
                self.nodes.append(msgspec.structs.replace(node, inputs=names))
        outputs = tuple(self._whole(name) for name in self.graph.outputs)
        made = with_nodes(
            self.graph,
            self.nodes,
            tensors=self.tensors,
            inputs=(rows, *(state.now for state in self.states)),
            outputs=(*outputs, *(state.next for state in self.states)),
        )
        return made, tuple(self.states)

    def _first_kept(self) -> dict[str, int]:
        """For each tensor of which a reader wants more than was just made, the first row that any of them wants."""
        wanted: dict[str, int] = {}
        for name, begin, past in self._readings():
            track = self.tracks[name]
            if begin < track.fresh and past > track.left:
                wanted[name] = min(wanted.get(name, track.rows), begin)
        return {name: 0 if begin < self.tracks[name].left else begin for name, begin in wanted.items()}

    def _readings(self) -> Iterator[tuple[str, int, int]]:
        """Every tracked tensor that is read, with the rows that are."""
        for node in self.graph.nodes:
            sources = [name for name in node.inputs if name in self.tracks]
            if node.outputs[0] not in self.tracks:
                yield from ((name, 0, self.tracks[name].rows) for name in sources)
            elif sources:
                reading = self._reading(node)
                for part in _parts(self.tracks[node.outputs[0]]):
                    yield from ((name, *reading.needed(*part, self.tracks[name].rows)[:2]) for name in sources)
        yield from ((name, 0, self.tracks[name].rows) for name in self.graph.outputs if name in self.tracks)

    def _reading(self, node: Node) -> Reading:
        reading = reading_of(self.graph, node, self.tracks)
        assert isinstance(reading, Reading)
        return reading

    def _part(self, node: Node, begin: int, past: int) -> None:
        """A node for some rows of its output."""
        reading = self._reading(node)
        sources = {name: self.tracks[name] for name in node.inputs if name in self.tracks}
        track = next(iter(sources.values()))
        first, end, before, after = reading.needed(begin, past, track.rows)
        inputs = tuple(self._rows(name, first, end) if name in sources else name for name in node.inputs)
        if isinstance(node.op, Slice) and _all(self.tensors[inputs[0]], node.op, track.axis):
            self.parts[node.outputs[0], begin] = inputs[0]
            return
        suffix = _NEW if past == self.tracks[node.outputs[0]].rows else _LEFT
        outputs = tuple(self._tensor(name, f"{name}{suffix}", reading.axis, past - begin) for name in node.outputs)
        for name, output in zip(node.outputs, outputs, strict=True):
            self.parts[name, begin] = output
        op = _of_rows(node.op, track.axis, reading.axis, (end - first, past - begin), (before, after))
        name = node.name if suffix == _NEW else f"{node.name}{suffix}"
        self.nodes.append(Node(name=name, op=op, inputs=inputs, outputs=outputs))

    def _keep(self, name: str) -> None:
        """The rows of a window of a tensor, from the first that is wanted on: kept ones before the new ones."""
        if name not in self.first_kept:
            return
        track, begin = self.tracks[name], self.first_kept[name]
        kept = max(begin, track.left)
        window = self._tensor(name, f"{name}{_WINDOW}", track.axis, track.rows - begin)
        now, later = (self._tensor(name, f"{name}{end}", track.axis, track.fresh - kept) for end in (_NOW, _NEXT))
        sources: tuple[str, ...] = (now, self.parts[name, track.fresh])
        if begin < track.left:
            sources = (self.parts[name, 0], *sources)
        self.nodes.append(Node(name=window, op=Concat(axis=track.axis), inputs=sources, outputs=(window,)))
        self.windows[name] = (window, begin)
        self._cut(window, later, track.axis, kept + track.new - begin)
        self.states.append(State(of=name, now=now, next=later, window=window))

    def _whole(self, name: str) -> str:
        return self._rows(name, 0, self.tracks[name].rows) if name in self.tracks else name

    def _rows(self, name: str, begin: int, past: int) -> str:
        """The tensor that holds rows ``[begin, past)`` of a window."""
        track = self.tracks[name]
        if begin >= track.fresh:
            source, first = self.parts[name, track.fresh], track.fresh
        elif past <= track.left:
            source, first = self.parts[name, 0], 0
        else:
            source, first = self.windows[name]
        if past - begin == self.tensors[source].shape[track.axis]:
            return source
        key = (source, begin, past)
        if key not in self.slices:
            cut = self._tensor(name, f"{name}@{begin}:{past}", track.axis, past - begin)
            self._cut(source, cut, track.axis, begin - first)
            self.slices[key] = cut
        return self.slices[key]

    def _cut(self, source: str, target: str, axis: int, begin: int) -> None:
        shape = self.tensors[source].shape
        count = self.tensors[target].shape[axis]
        op = Slice(
            begin=tuple(begin if at == axis else 0 for at in range(len(shape))),
            end=tuple(begin + count if at == axis else size for at, size in enumerate(shape)),
            strides=(1,) * len(shape),
        )
        self.nodes.append(Node(name=target, op=op, inputs=(source,), outputs=(target,)))

    def _tensor(self, name: str, wanted: str, axis: int, rows: int) -> str:
        """A tensor as ``name`` with other rows."""
        made = fresh_name({**self.graph.tensors, **self.tensors}, wanted)
        model = self.graph.tensors[name]
        shape = (*model.shape[:axis], rows, *model.shape[axis + 1 :])
        self.tensors[made] = msgspec.structs.replace(model, name=made, shape=shape)
        return made


def _parts(track: Track) -> list[tuple[int, int]]:
    """The rows that are made at each push: those at a window's beginning, then the new ones and those at its end."""
    new = (track.fresh, track.rows)
    return [(0, track.left), new] if track.left else [new]


def _all(source: Tensor, op: Slice, axis: int) -> bool:
    """Whether a Slice takes all of a tensor whose rows along ``axis`` are cut already."""
    others = (at for at in range(len(source.shape)) if at != axis)
    return op.strides[axis] == 1 and all(
        (op.begin[at], op.end[at], op.strides[at]) == (0, source.shape[at], 1) for at in others
    )


def _of_rows(op: Operator, axis: int, to: int, rows: tuple[int, int], padding: tuple[int, int]) -> Operator:
    """An operator for ``rows`` (of its input, of its output) along ``axis``, ``to`` in its output, padded as given."""
    if isinstance(op, Conv2D | DepthwiseConv2D | AveragePool2D | MaxPool2D):
        pads = padding + op.padding[2:] if axis == 1 else op.padding[:2] + padding
        return msgspec.structs.replace(op, padding=pads)
    if isinstance(op, Pad):
        return Pad(paddings=(*op.paddings[:axis], padding, *op.paddings[axis + 1 :]), value=op.value)
    if isinstance(op, Reshape):
        return Reshape(shape=(*op.shape[:to], rows[1], *op.shape[to + 1 :]))
    if isinstance(op, Slice):
        begin, end = list(op.begin), list(op.end)
        begin[axis], end[axis] = 0, rows[0]
        return Slice(begin=tuple(begin), end=tuple(end), strides=op.strides)
    return op
