"""Recurrence: LSTM and GRU nodes become the dense layers, splits and gates that they stand for, step by step.

Integer graphs and TFLite have no such operators here. The steps of an unrolled node are named ``<node>/<part>@<step>``; what
has the same part shares one quantisation (``tied``), so that all steps but the first are the same integer computation and
code for one of them serves all. The input projection of all steps is one Dense. Sources: Hochreiter & Schmidhuber, Long
Short-Term Memory, 1997; Cho et al., Learning Phrase Representations using RNN Encoder-Decoder, 2014, in the form of cuDNN and
torch (reset gate after the product).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import get_args

import msgspec
import numpy as np

from marram.compress.rewrites.identities import remove_dead, remove_identity
from marram.compress.rewrites.layout import merge_reshapes, slice_of_concat
from marram.compress.rewrites.rewriting import Rules, run
from marram.core import operators as ops
from marram.core.graph import Array, Graph, Node, Tensor, fresh_name, with_nodes
from marram.core.operators import Operator

_STEP = re.compile(r"(.+)@\d+")
_TIDY: Rules = {
    **dict.fromkeys(get_args(Operator), (remove_dead, remove_identity)),
    ops.Slice: (remove_dead, remove_identity, slice_of_concat),
    ops.Reshape: (remove_dead, remove_identity, merge_reshapes),
}


def unroll(graph: Graph) -> Graph:
    """The graph with every Lstm and Gru written out over its time steps; any other graph as it came."""
    for node in graph.nodes:
        if isinstance(node.op, ops.Lstm | ops.Gru):
            graph = run(_unrolled(graph, node), _TIDY)
    return graph


def tied(nodes: Iterable[Node]) -> list[tuple[str, ...]]:
    """Tensors that hold the same part of an unrolled node's steps, group by group, each of two tensors or more."""
    groups: dict[tuple[str, int], list[str]] = {}
    for node in nodes:
        part = _STEP.fullmatch(node.name)
        if part is not None:
            for index, name in enumerate(node.outputs):
                groups.setdefault((part[1], index), []).append(name)
    return [tuple(names) for names in groups.values() if len(names) > 1]


class _Steps:
    """The nodes, tensors and constants that one recurrent node turns into; lives while it is unrolled."""

    def __init__(self, graph: Graph, node: Node) -> None:
        self.graph, self.prefix = graph, node.name
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = {}
        self.constants: dict[str, Array] = {}

    def _free(self, wanted: str) -> str:
        return fresh_name({**self.graph.tensors, **self.tensors}, f"{self.prefix}/{wanted}")

    def constant(self, wanted: str, value: Array) -> str:
        name = self._free(wanted)
        self.constants[name] = np.ascontiguousarray(value, dtype=np.float32)
        self.tensors[name] = Tensor(name=name, shape=tuple(value.shape))
        return name

    def add(self, wanted: str, op: Operator, inputs: tuple[str, ...], *shapes: tuple[int, ...]) -> tuple[str, ...]:
        """A node with one output for each shape."""
        outputs = []
        for index, shape in enumerate(shapes):
            name = self._free(wanted if len(shapes) == 1 else f"{wanted}/{index}")
            self.tensors[name] = Tensor(name=name, shape=shape)
            outputs.append(name)
        self.nodes.append(Node(name=f"{self.prefix}/{wanted}", op=op, inputs=inputs, outputs=tuple(outputs)))
        return tuple(outputs)

    def one(self, wanted: str, op: Operator, inputs: tuple[str, ...], shape: tuple[int, ...]) -> str:
        """A node with one output."""
        return self.add(wanted, op, inputs, shape)[0]


def _unrolled(graph: Graph, node: Node) -> Graph:
    steps, op = _Steps(graph, node), node.op
    assert isinstance(op, ops.Lstm | ops.Gru)
    batch, length, _ = graph.tensors[node.inputs[0]].shape
    outputs, last = (_lstm if isinstance(op, ops.Lstm) else _gru)(steps, graph, node)
    if op.reverse:
        outputs = outputs[::-1]
    rows = [
        steps.one(f"row@{i}", ops.Reshape(shape=(batch, 1, op.hidden)), (h,), (batch, 1, op.hidden))
        for i, h in enumerate(outputs)
    ]
    y = rows[0] if length == 1 else steps.one("rows", ops.Concat(axis=1), tuple(rows), (batch, length, op.hidden))
    names = {made: wanted for made, wanted in zip((y, *last), node.outputs, strict=False) if wanted}
    return _spliced(graph, node, steps, names)


def _spliced(graph: Graph, node: Node, steps: _Steps, names: dict[str, str]) -> Graph:
    """The graph with the steps in the node's place, their results under the names of its outputs."""
    wanted = set(names.values())
    nodes = [
        msgspec.structs.replace(
            step,
            inputs=tuple(names.get(name, name) for name in step.inputs),
            outputs=tuple(names.get(name, name) for name in step.outputs),
        )
        for step in steps.nodes
    ]
    at = graph.nodes.index(node)
    every = (*graph.nodes[:at], *nodes, *graph.nodes[at + 1 :])
    return with_nodes(
        graph, every, tensors={**steps.tensors, **{n: graph.tensors[n] for n in wanted}}, constants=steps.constants
    )


def _projected(steps: _Steps, graph: Graph, node: Node, gates: int) -> list[str]:
    """The input's part of every gate, one tensor (N, gates * H) for each step in the order in which they run."""
    op = node.op
    assert isinstance(op, ops.Lstm | ops.Gru)
    batch, length, _ = graph.tensors[node.inputs[0]].shape
    width = gates * op.hidden
    bias = node.inputs[3] if len(node.inputs) > 3 else ""
    whole = steps.one("projection", ops.Dense(), (node.inputs[0], node.inputs[1], bias), (batch, length, width))
    parts = (
        (whole,)
        if length == 1
        else steps.add("steps", ops.Split(axis=1, sizes=(1,) * length), (whole,), *[(batch, 1, width)] * length)
    )
    flat = [steps.one(f"in@{i}", ops.Reshape(shape=(batch, width)), (part,), (batch, width)) for i, part in enumerate(parts)]
    return flat[::-1] if op.reverse else flat


def _lstm(steps: _Steps, graph: Graph, node: Node) -> tuple[list[str], tuple[str, ...]]:
    """The steps c' = f * c + i * g, h' = o * tanh(c'), from zero states; outputs as run, and the last h and c."""
    op = node.op
    assert isinstance(op, ops.Lstm)
    batch, size = graph.tensors[node.inputs[0]].shape[0], op.hidden
    shape, h, c, outputs = (batch, size), "", "", []
    for t, projected in enumerate(_projected(steps, graph, node, 4)):
        summed = projected
        if h:
            recurrent = steps.one(f"recurrent@{t}", ops.Dense(), (h, node.inputs[2], ""), (batch, 4 * size))
            summed = steps.one(f"sum@{t}", ops.Add(), (projected, recurrent), (batch, 4 * size))
        i, f, g, o = steps.add(f"gates@{t}", ops.Split(axis=1, sizes=(size,) * 4), (summed,), *[shape] * 4)
        i, o = (steps.one(f"{name}@{t}", ops.Sigmoid(), (gate,), shape) for name, gate in (("i", i), ("o", o)))
        g = steps.one(f"g@{t}", ops.Tanh(), (g,), shape)
        fresh = steps.one(f"fresh@{t}" if c else f"c@{t}", ops.Mul(), (i, g), shape)
        if c:
            f = steps.one(f"f@{t}", ops.Sigmoid(), (f,), shape)
            kept = steps.one(f"kept@{t}", ops.Mul(), (f, c), shape)
            fresh = steps.one(f"c@{t}", ops.Add(), (kept, fresh), shape)
        c = fresh
        squashed = steps.one(f"squashed@{t}", ops.Tanh(), (c,), shape)
        h = steps.one(f"h@{t}", ops.Mul(), (o, squashed), shape)
        outputs.append(h)
    return outputs, _copies(steps, shape, h, c)


def _gru(steps: _Steps, graph: Graph, node: Node) -> tuple[list[str], tuple[str, ...]]:
    """The steps h' = n + z * (h - n), n = tanh(x_n + r * (R_n h + b_n)), from a zero state; outputs as run, and the last h."""
    op = node.op
    assert isinstance(op, ops.Gru)
    batch, size = graph.tensors[node.inputs[0]].shape[0], op.hidden
    shape, wide, h, outputs = (batch, size), (batch, 2 * size), "", []
    for t, projected in enumerate(_projected(steps, graph, node, 3)):
        summed, new = steps.add(f"x@{t}", ops.Split(axis=1, sizes=(2 * size, size)), (projected,), wide, shape)
        state = _gru_state_part(steps, graph, node, h, t)
        if state:
            summed = steps.one(f"sum@{t}", ops.Add(), (summed, state[0]), wide)
        gates = steps.one(f"gates@{t}", ops.Sigmoid(), (summed,), wide)
        r, z = steps.add(f"rz@{t}", ops.Split(axis=1, sizes=(size, size)), (gates,), shape, shape)
        if state:
            reset = steps.one(f"reset@{t}", ops.Mul(), (r, state[1]), shape)
            new = steps.one(f"new@{t}", ops.Add(), (new, reset), shape)
        n = steps.one(f"n@{t}", ops.Tanh(), (new,), shape)
        away = steps.one(f"away@{t}", ops.Sub(), (h, n), shape) if h else n
        kept = steps.one(f"kept@{t}", ops.Mul(), (z, away), shape)
        h = steps.one(f"h@{t}", ops.Add() if h else ops.Sub(), (n, kept), shape)
        outputs.append(h)
    return outputs, _copies(steps, shape, h)


def _gru_state_part(steps: _Steps, graph: Graph, node: Node, h: str, t: int) -> tuple[str, str] | None:
    """What the state adds to the gates (N, 2H) and to the new value (N, H); at the zero start its bias, None without one."""
    op = node.op
    assert isinstance(op, ops.Gru)
    batch, size = graph.tensors[node.inputs[0]].shape[0], op.hidden
    bias = node.inputs[4] if len(node.inputs) > 4 else ""
    if h:
        whole = steps.one(f"recurrent@{t}", ops.Dense(), (h, node.inputs[2], bias), (batch, 3 * size))
        cut = ops.Split(axis=1, sizes=(2 * size, size))
        gates, new = steps.add(f"r@{t}", cut, (whole,), (batch, 2 * size), (batch, size))
        return gates, new
    if not bias:
        return None
    value = graph.constants[bias]
    return steps.constant("start/gates", value[: 2 * size]), steps.constant("start/new", value[2 * size :])


def _copies(steps: _Steps, shape: tuple[int, ...], *states: str) -> tuple[str, ...]:
    """The last states under names of their own, for a state may also be one of the steps' outputs."""
    return tuple(steps.one(f"last/{i}", ops.Reshape(shape=shape), (state,), shape) for i, state in enumerate(states))
