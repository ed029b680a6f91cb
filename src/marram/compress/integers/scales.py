"""Scales: which int8 quantisation every activation of a Graph gets, from its calibrated range.

Operators that only move numbers have one quantisation for inputs and outputs, so their tensors form groups (union-find), and
a group's range is the union of its members'. The same part of the steps of an unrolled recurrent node is a group, too.
Softmax, sigmoid and tanh outputs have the one that TFLite fixes, a graph input may have one given. A fixed tensor keeps it and
the group takes it where it reaches far enough; otherwise the group has its own and reads the fixed tensor through a
requantisation. Nodes that work on int16 have a second, symmetric quantisation for every activation around them, in groups of
their own. Source: TensorFlow Lite 8-bit quantisation specification.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
import numpy as np

from marram.compress.integers.calibration import Range
from marram.compress.integers.grid import affine, coarsened, float32, span, symmetric, symmetric_weights
from marram.compress.rewrites.recurrence import tied
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Array, Graph, Node, Quantisation
from marram.model.spec import RULES


class Precision(msgspec.Struct, frozen=True, kw_only=True):
    """Other precisions than 8 bits: the bits of weights by node, for each channel or all; the nodes that work on int16."""

    weights: dict[str, Array] = {}
    int16: frozenset[str] = frozenset()

    def of_weights(self, node: Node) -> Array:
        """The bits of a node's weights: 8, or an array for all channels or each."""
        return self.weights.get(node.name, np.array(8))


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Quantisation by tensor in int8, for tensors that moving operators must read requantised that one, and in int16."""

    of: dict[str, Quantisation]
    requantised: dict[str, Quantisation]
    wide: dict[str, Quantisation] = {}

    def read_by(self, node: Node, name: str) -> Quantisation:
        """The quantisation in which a node reads a tensor."""
        moved = self.requantised.get(name) if RULES[type(node.op)].same_scale else None
        return moved or self.of[name]


def activations(node: Node) -> Iterator[str]:
    """The inputs of a node that are neither weights nor bias, then its outputs."""
    rule = RULES[type(node.op)]
    parameters = {rule.weights, rule.bias} - {None}
    yield from (name for index, name in enumerate(node.inputs) if name and index not in parameters)
    yield from node.outputs


def plan(
    graph: Graph,
    ranges: Mapping[str, Range],
    *,
    integer: frozenset[str],
    inputs: Mapping[str, Quantisation],
    dense_by_channel: bool,
    precision: Precision,
) -> Plan:
    """The quantisation of every activation that an integer node touches, and of the graph's inputs and outputs.

    Args:
        graph: a float Graph.
        ranges: calibrated ranges of its inputs and computed tensors.
        integer: names of the nodes that become integer.
        inputs: quantisations that are given for graph inputs.
        dense_by_channel: whether Dense weights have a scale for each channel.
        precision: of nodes that have others than 8 bits.
    """
    nodes = [node for node in graph.nodes if node.name in integer]
    fixed = {name: rounded(q) for name, q in inputs.items()}
    for node in nodes:
        output = RULES[type(node.op)].fixed_output
        if output is not None:
            fixed[node.outputs[0]] = output
    touched = dict.fromkeys([*graph.inputs, *graph.outputs, *(name for node in nodes for name in activations(node))])
    groups = _groups(touched, nodes)
    reach = {name: _range(graph, ranges, name) for name in touched}
    for node in nodes:
        if isinstance(node.op, ops.Pad) and node.op.value != 0:
            reach[node.outputs[0]] = _union([reach[node.outputs[0]], Range(low=node.op.value, high=node.op.value)])
    draft = Plan(of={}, requantised={})
    for members in groups:
        _settle(members, fixed, reach, draft)
    for node in nodes:
        needed = _finest(graph, node, draft.of, precision.of_weights(node), by_channel=dense_by_channel)
        if node.outputs[0] not in fixed and draft.of[node.outputs[0]].scale < needed:
            _coarsen(next(members for members in groups if node.outputs[0] in members), needed, draft, set(fixed))
    wide = _wide(graph, [node for node in nodes if node.name in precision.int16], reach, precision, by_channel=dense_by_channel)
    return msgspec.structs.replace(draft, wide=wide)


def _wide(
    graph: Graph, nodes: list[Node], reach: Mapping[str, Range], precision: Precision, *, by_channel: bool
) -> dict[str, Quantisation]:
    """The int16 quantisation of every activation that the given nodes touch."""
    found: dict[str, Quantisation] = {}
    groups = _groups(dict.fromkeys(name for node in nodes for name in activations(node)), nodes)
    for members in groups:
        whole = _union([reach[name] for name in members])
        found.update(dict.fromkeys(members, symmetric(whole.low, whole.high)))
    for node in nodes:
        needed = _finest(graph, node, found, precision.of_weights(node), by_channel=by_channel)
        if found[node.outputs[0]].scale < needed:
            for name in next(members for members in groups if node.outputs[0] in members):
                found[name] = coarsened(found[name], needed)
    return found


def rounded(quantisation: Quantisation) -> Quantisation:
    """A quantisation of one scale with that scale as a float32 value."""
    return Quantisation(scales=(float32(quantisation.scale),), zero_points=quantisation.zero_points)


def _range(graph: Graph, ranges: Mapping[str, Range], name: str) -> Range:
    if name in graph.constants:
        return Range(low=float(graph.constants[name].min()), high=float(graph.constants[name].max()))
    if name not in ranges:
        raise UserError("has no calibrated range", where=f"tensor {name}", hint="Calibrate the same Graph that is quantised.")
    return ranges[name]


def _union(members: list[Range]) -> Range:
    return Range(low=min(one.low for one in members), high=max(one.high for one in members))


def _groups(touched: Mapping[str, None], nodes: list[Node]) -> list[tuple[str, ...]]:
    """The tensors in groups that share a quantisation."""
    parent = {name: name for name in touched}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    for node in nodes:
        if RULES[type(node.op)].same_scale:
            first, *others = activations(node)
            for other in others:
                parent[root(other)] = root(first)
    for first, *others in tied(nodes):
        for other in others:
            parent[root(other)] = root(first)
    members: dict[str, list[str]] = {}
    for name in touched:
        members.setdefault(root(name), []).append(name)
    return [tuple(names) for names in members.values()]


def _settle(members: tuple[str, ...], fixed: Mapping[str, Quantisation], reach: Mapping[str, Range], draft: Plan) -> None:
    """Enter one group's quantisation into the draft."""
    given = {fixed[name] for name in members if name in fixed}
    whole = _union([reach[name] for name in members])
    own = next(iter(given)) if len(given) == 1 else None
    if own is None or not (len(members) == 1 or _covers(own, _union([reach[n] for n in members if n not in fixed] or [whole]))):
        own = affine(whole.low, whole.high)
    for name in members:
        draft.of[name] = fixed.get(name, own)
        if draft.of[name] != own:
            draft.requantised[name] = own


def _covers(quantisation: Quantisation, wanted: Range) -> bool:
    low, high = span(quantisation)
    slack = quantisation.scale
    return low - slack <= wanted.low and wanted.high <= high + slack


def _coarsen(members: tuple[str, ...], needed: float, draft: Plan, fixed: set[str]) -> None:
    """Raise a group's scale where a kernel's requantisation would have to multiply by more than it can.

    Outputs as fine as this only come from layers that are nearly constant; finer steps would show the input's rounding.
    """
    for name in members:
        if name in fixed:
            draft.requantised[name] = coarsened(draft.requantised.get(name, draft.of[name]), needed)
        else:
            draft.of[name] = coarsened(draft.of[name], needed)


def _finest(graph: Graph, node: Node, of: Mapping[str, Quantisation], bits: Array, *, by_channel: bool) -> float:
    """The finest useful scale of a node's output."""
    read = [of[name].scale for name in activations(node)][: -len(node.outputs)]
    rule = RULES[type(node.op)]
    if rule.same_scale:
        return 0.0
    match node.op:
        case ops.Conv2D() | ops.DepthwiseConv2D() | ops.TransposeConv2D() | ops.Dense():
            bias = graph.constants[node.inputs[2]] if len(node.inputs) > 2 and node.inputs[2] else None
            axis = channel_axis(node, dense_by_channel=by_channel)
            assert rule.weights is not None
            values = graph.constants[node.inputs[rule.weights]]
            weights = symmetric_weights(values, bias, axis=axis, input_scale=read[0], bits=bits)
            return read[0] * max(weights.scales)
        case ops.MatMul() | ops.Mul():
            return read[0] * read[1]
        case ops.Add() | ops.Sub():
            return max(read) * 2.0**-12
        case _:
            return max(read) * 2.0**-10


def channel_axis(node: Node, *, dense_by_channel: bool) -> int | None:
    """The axis along which a layer's weights have scales of their own; None for one scale."""
    if isinstance(node.op, ops.Dense) and not dense_by_channel:
        return None
    return RULES[type(node.op)].channel_axis
