"""Which front of a graph is made in bands of columns, and in how many, so that its arena becomes as small as is asked for."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from marram.compile.c.geometry import rows_of
from marram.compile.c.layers import Layers, layers_of
from marram.compile.c.patches import Columns, Cut, Patched, cuts, needed, patched
from marram.compile.c.place import POINTWISE, Window
from marram.compile.memory.explanation import BY_ROWS, NOTHING_SMALLER
from marram.compile.memory.layout import Placed
from marram.compile.memory.menu import Menu, Tails
from marram.compile.memory.plan import MemoryPlan, Problem, Value
from marram.compile.memory.rolling import Flow, Segment, schedule
from marram.core import operators as ops
from marram.core.graph import Graph, Node

_BANDS = (2, 3, 4, 5, 6, 8, 12)
_MOST_AGAIN = 1.0
_TRIALS = 6
_WORTH = 0.97
"""A front end that is tried after another must promise to be smaller by this factor."""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A graph, its layers and a plan of them; versions of one model have the same inputs and outputs."""

    graph: Graph
    found: Layers
    plan: MemoryPlan


class FrontEnd(msgspec.Struct, frozen=True, kw_only=True):
    """A front end in bands, and bytes that it is estimated to need with all that comes after it."""

    patched: Patched
    need: int


def in_bands(version: Version, limit: int, problem_of: Callable[[Layers], Problem], *, pack_weights: bool) -> Version:
    """A version whose front is made in bands of columns, where that is smaller.

    Front ends are tried from the one that makes least again; the first that fits the limit is taken, in the plan with the
    fewest instructions. Where none does, it is the smallest of them and the version given.

    Args:
        version: lowered, with the smallest plan of it; its arena does not fit.
        limit: bytes that the arena may have.
        problem_of: makes a planner's problem of layers.
        pack_weights: as for ``layers_of``.
    """
    tails = Tails(problem_of(version.found))
    below = version.plan.arena_bytes
    tried: list[_Tried] = []
    for front in front_ends(version, tails):
        found = layers_of(front.patched.graph, pack_weights=pack_weights, joined=front.patched.joined)
        tried.append(_Tried(made=front.patched, found=found, menu=Menu(problem_of(found), below=below)))
        if tried[-1].menu.may_fit(limit):
            chosen = next((plan for plan in tried[-1].menu.plans if plan.arena_bytes <= limit), None)
            if chosen is not None:
                return _version(version, tried[-1], chosen, tails.fastest(), smallest=False)
    plans = [(plan, one) for one in tried for plan in one.menu.plans]
    if not plans:
        return version
    smallest, one = min(plans, key=lambda each: each[0].arena_bytes)
    return _version(version, one, smallest, tails.fastest(), smallest=True)


class _Tried(msgspec.Struct, frozen=True, kw_only=True):
    made: Patched
    found: Layers
    menu: Menu


def _version(version: Version, tried: _Tried, chosen: Placed, fastest: float, *, smallest: bool) -> Version:
    plan = tried.menu.plan(chosen, fastest=fastest, front=version.plan.front)
    peak, *others = plan.explanation
    sentences = (peak, _cost(tried.made, tried.found, version.plan.arena_bytes), *_likewise(others))
    if not smallest:  # front ends that make more again were not looked at
        sentences = tuple(text for text in sentences if text != NOTHING_SMALLER)
    plan = msgspec.structs.replace(plan, explanation=sentences)
    return Version(graph=tried.made.graph, found=tried.found, plan=plan)


def _cost(made: Patched, found: Layers, ordinary: int) -> str:
    """What is made in bands, why, and what of it is made again."""
    joins = [index for index, layer in enumerate(found.layers) if layer.at_column is not None]
    first, last = found.layers[0], found.layers[joins[0] - 1]
    share = "none of the MACs are" if not made.macs_again else f"{100 * made.again:.1f} % of all MACs are"
    return (
        f"{first.name} to {last.name} are made in {len(made.bands)} bands of columns, as no plan without bands takes less than "
        f"{ordinary:,} B: {share} made again."
    )


def _likewise(sentences: list[str]) -> list[str]:
    """Sentences of rolled stretches that say the same of several bands, said once."""
    kept: dict[str, list[str]] = {}
    for text in sentences:
        _, found, tail = text.partition(BY_ROWS)
        kept.setdefault(tail if found else text, []).append(text)
    return [
        same[0] if len(same) == 1 else f"{same[0]} {len(same) - 1} other band{'s' * (len(same) > 2)} likewise."
        for same in kept.values()
    ]


def front_ends(version: Version, tails: Tails) -> list[FrontEnd]:
    """A few front ends that promise a smaller arena than a version has, from the one that makes least again."""
    graph, most = version.graph, version.plan.arena_bytes
    places = list(cuts(graph))
    if not places:
        return []
    names = {layer.node.name: index for index, layer in enumerate(version.found.layers)}
    after = tails.bytes_from(most)
    found: list[FrontEnd] = []
    for cut in places:
        tail = after[max(names.get(node.name, -1) for node in graph.nodes[: cut.nodes]) + 1]
        if tail >= most:
            continue
        rows = ring_rows(graph, cut)
        for bands in _BANDS:
            need = max(tail, front_bytes(graph, cut, bands, rows))
            made = patched(graph, cut, bands) if need < most else None
            if made is not None and made.again <= _MOST_AGAIN:
                found.append(FrontEnd(patched=made, need=need))
    found.sort(key=lambda front: (front.patched.macs_again, front.need))
    return _few(found)


def _few(found: list[FrontEnd]) -> list[FrontEnd]:
    """Those that promise to be smaller than all before them; where these are many, some of them."""
    kept: list[FrontEnd] = []
    for front in found:
        if not kept or front.need < kept[-1].need * _WORTH:
            kept.append(front)
    if len(kept) <= _TRIALS:
        return kept
    return [kept[round(index)] for index in np.linspace(0, len(kept) - 1, _TRIALS)]


def front_bytes(graph: Graph, cut: Cut, bands: int, rows: dict[str, int]) -> int:
    """Bytes that a front end needs, about: its input, its output, and of all between rings as wide as the widest band."""
    tensor = graph.tensors[cut.tensor]
    width = tensor.shape[2]
    if width < bands:
        return 1 << 62
    widest = 0
    for band in range(bands):
        columns: Columns = (width * band // bands, width * (band + 1) // bands)
        found = needed(graph, cut, columns)
        if found is None:
            return 1 << 62
        held = {name: past - first for name, (first, past) in found.items() if name in rows}
        widest = max(widest, sum(rows[name] * held[name] * _value(graph, name).pixel_bytes for name in held))
    return graph.input_tensors[0].size_bytes + tensor.size_bytes + widest


def ring_rows(graph: Graph, cut: Cut) -> dict[str, int]:
    """Rows of the rings when all nodes up to a cut take turns, row by row: by tensor, the input's copy by its name."""
    values = {name: _value(graph, name) for name in graph.tensors if name not in graph.constants}
    source = f"{graph.inputs[0]}, columns"
    values[source] = msgspec.structs.replace(values[graph.inputs[0]], name=source)
    flows = [Flow(inputs=graph.inputs, windows=(POINTWISE,), output=source, elementwise=False)]
    for node in graph.nodes[: cut.nodes]:
        read = [name for name in node.inputs if name and name not in graph.constants]
        inputs = tuple(source if name == graph.inputs[0] else name for name in read)
        window = _rows(graph, node)
        flows.append(Flow(inputs=inputs, windows=(window,) * len(inputs), output=node.outputs[0], elementwise=False))
    inner = tuple(flow.output for flow in flows[:-1])
    problem = Problem(tasks=(), values=values, inputs=graph.inputs, outputs=(cut.tensor,))
    segment = Segment(first=0, past=len(flows), flows=tuple(flows), inner=inner, dying=(), leaving=(cut.tensor,), follow=())
    found = [schedule(problem, segment, most=1, backwards=backwards) for backwards in (False, True)]
    sizes = [
        (sum(count * values[name].row_bytes for name, count in each.rows.items()), index)
        for index, each in enumerate(found)
        if each is not None
    ]
    if not sizes:
        return {}
    best = found[min(sizes)[1]]
    assert best is not None
    return {graph.inputs[0] if name == source else name: count for name, count in best.rows.items()}


def _value(graph: Graph, name: str) -> Value:
    tensor = graph.tensors[name]
    rows, width, pixel = rows_of(tensor.shape)
    return Value(name=name, rows=rows, width=width, pixel_bytes=pixel * np.dtype(tensor.dtype).itemsize)


def _rows(graph: Graph, node: Node) -> Window:
    """Which rows a node reads for one of its own."""
    op = node.op
    if isinstance(op, ops.AveragePool2D | ops.MaxPool2D):
        return Window(kernel=op.kernel[0], stride=op.stride[0], pad=op.padding[0])
    if isinstance(op, ops.Conv2D | ops.DepthwiseConv2D):
        height = graph.tensors[node.inputs[1]].shape[1]
        return Window(kernel=height, stride=op.stride[0], dilation=op.dilation[0], pad=op.padding[0])
    if isinstance(op, ops.Pad):
        return Window(pad=op.paddings[1][0])
    return POINTWISE
