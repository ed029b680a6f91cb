"""Skipping: spans of layers that may be left out, since what enters them has the shape of what leaves them.

A span runs from tensor ``a`` to tensor ``b``: all that reads ``a`` lies inside, the inside reads only ``a`` and constants, and
of what is made inside only ``b`` is read outside. Spans are whole blocks: both ends stand where a layer with its norm and its
activation is done, never between a depthwise convolution and the pointwise one that mixes its channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Graph, Node, consumers, producers, with_nodes

_WEIGHTED = (ops.Conv2D, ops.DepthwiseConv2D, ops.TransposeConv2D, ops.Dense, ops.Lstm, ops.Gru)
_SUMS_AND_POOLS = (ops.Add, ops.Sub, ops.Mul, ops.Concat, ops.AveragePool2D, ops.MaxPool2D, ops.Resize, ops.LayerNorm)
_UNARY = (ops.Relu, ops.Relu6, ops.LeakyRelu, ops.HardSwish, ops.Sigmoid, ops.Tanh, ops.Gelu)
_TAIL = (ops.BatchNorm, *_UNARY)
"""What belongs to the layer before it."""


class Span(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Layers that may be left out: ``name`` is the tensor that they make, ``source`` the one that takes its place.

    ``nodes`` are the names of all inside, in execution order.
    """

    name: str
    source: str
    nodes: tuple[str, ...]


class _View(msgspec.Struct, frozen=True):
    graph: Graph
    writers: dict[str, Node]
    readers: dict[str, list[Node]]
    order: dict[str, int]


def spans(graph: Graph) -> tuple[Span, ...]:
    """The shortest spans from each tensor, in execution order of their ends.

    Spans may lie within one another (a layer of a residual branch in the residual block), but none overlaps another in part;
    of two that would, the one that begins earlier is listed, and of two with the same weights inside the longer. The graph's
    inputs begin no span: a first layer makes features. A bottleneck stays in a graph that gives back its input's shape:
    without it an autoencoder learns nothing.
    """
    view = _View(graph, producers(graph), consumers(graph), {node.name: index for index, node in enumerate(graph.nodes)})
    ends = [name for node in graph.nodes for name in node.outputs if _is_end(view, name)]
    found: list[Span] = []
    for index, source in enumerate(ends):
        span = next(_from(view, source, ends[index + 1 :]), None)
        if span is not None and not any(span.name == other.name or _cross(span, other) for other in found):
            found.append(span)
    whole = [span for span in found if not any(_only_adds(view, other, span) for other in found)]
    return tuple(sorted(whole, key=lambda span: view.order[span.nodes[-1]]))


def skipped(graph: Graph, names: Iterable[str]) -> Graph:
    """The graph without the named spans; a span within another that goes needs no mention, and may have one.

    Raises:
        UserError: there is no such span.
    """
    known = {span.name: span for span in spans(graph)}
    gone: set[str] = set()
    stands_for: dict[str, str] = {}
    for name in names:
        if name not in known:
            hint = f"It has {', '.join(known)}." if known else "It has none."
            raise UserError(f"there is no span {name!r}", where=f"graph {graph.name}", hint=hint)
        gone.update(known[name].nodes)
        stands_for[name] = known[name].source
    nodes = [
        msgspec.structs.replace(node, inputs=tuple(_source(stands_for, name) for name in node.inputs))
        for node in graph.nodes
        if node.name not in gone
    ]
    return with_nodes(graph, nodes)


def _source(stands_for: dict[str, str], name: str) -> str:
    while name in stands_for:
        name = stands_for[name]
    return name


def _is_end(view: _View, name: str) -> bool:
    """Whether a layer is done here: made by one, or by its norm and activation, and not read by its own alone."""
    if name in view.graph.outputs or not view.graph.tensors[name].shape:
        return False
    maker, readers = view.writers[name], view.readers[name]
    if not isinstance(maker.op, (*_WEIGHTED, *_SUMS_AND_POOLS, *_TAIL)) or not readers:
        return False
    if len(readers) > 1:
        return True
    return not isinstance(readers[0].op, _TAIL) and not (_is_depthwise(view, maker) and _is_pointwise(view, readers[0]))


def _is_depthwise(view: _View, node: Node) -> bool:
    while isinstance(node.op, _TAIL) and node.inputs[0] in view.writers:
        node = view.writers[node.inputs[0]]
    return isinstance(node.op, ops.DepthwiseConv2D)


def _is_pointwise(view: _View, node: Node) -> bool:
    return isinstance(node.op, ops.Conv2D) and view.graph.tensors[node.inputs[1]].shape[1:3] == (1, 1)


def _from(view: _View, source: str, ends: Iterable[str]) -> Iterator[Span]:
    """Spans that begin at a tensor, shortest first."""
    reached = _reached(view, source)
    for name in ends:
        if view.graph.tensors[name].shape == view.graph.tensors[source].shape and name in reached:
            inside = _inside(view, source, name)
            if inside is not None:
                if _reconstructs(view.graph) and _has_bottleneck(view, source, name, inside):
                    return
                yield Span(name=name, source=source, nodes=tuple(node.name for node in inside))


def _reached(view: _View, source: str, *, without: Node | None = None) -> set[str]:
    """Tensors that depend on one, at least by a way that avoids a node."""
    reached = {source}
    for node in view.graph.nodes:
        if node is not without and not reached.isdisjoint(node.inputs):
            reached.update(node.outputs)
    return reached


def _inside(view: _View, source: str, end: str) -> list[Node] | None:
    """The nodes between two tensors, if nothing else enters or leaves and one of them has weights."""
    inside: dict[str, Node] = {}
    waiting = [end]
    while waiting:
        name = waiting.pop()
        if name == source or name in view.graph.constants:
            continue
        if name not in view.writers:
            return None  # an input of the graph enters
        node = view.writers[name]
        if view.order[node.name] <= view.order[view.writers[source].name]:
            return None  # something from before the source enters
        if node.name not in inside:
            inside[node.name] = node
            waiting += [read for read in node.inputs if read]
    made = {name for node in inside.values() for name in node.outputs} - {end}
    leaks = made & set(view.graph.outputs) or any(
        node.name not in inside for name in (source, *made) for node in view.readers[name]
    )
    if leaks or not any(isinstance(node.op, _WEIGHTED) for node in inside.values()):
        return None
    return sorted(inside.values(), key=lambda node: view.order[node.name])


def _reconstructs(graph: Graph) -> bool:
    return {tensor.shape for tensor in graph.input_tensors} == {tensor.shape for tensor in graph.output_tensors}


def _has_bottleneck(view: _View, source: str, end: str, inside: list[Node]) -> bool:
    """Whether all that reaches the end goes through fewer elements than stand at the ends."""
    tensors = view.graph.tensors
    narrow = [node for node in inside if isinstance(node.op, _WEIGHTED) and tensors[node.outputs[0]].size < tensors[end].size]
    return any(end not in _reached(view, source, without=node) for node in narrow)


def _only_adds(view: _View, longer: Span, shorter: Span) -> bool:
    """Whether a longer span has no more weights than one inside it, such as a branch with its norm and its sum."""
    rest = set(longer.nodes) - set(shorter.nodes)
    nodes = view.graph.nodes
    weighted = any(isinstance(nodes[view.order[name]].op, _WEIGHTED) for name in rest)
    return bool(rest) and set(shorter.nodes) < set(longer.nodes) and not weighted


def _cross(a: Span, b: Span) -> bool:
    first, second = set(a.nodes), set(b.nodes)
    return bool(first & second) and not first <= second and not second <= first
