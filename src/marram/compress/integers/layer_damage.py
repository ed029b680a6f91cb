"""Damage: what quantisation does to each layer: noise, saturation, and the accuracy when only that layer is quantised."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec
import numpy as np

from marram.compress.integers.calibration import Samples
from marram.compress.integers.grid import span
from marram.compress.integers.stepping import Values, first_batches, samples_in_memory, to_float, to_inputs
from marram.core import operators as ops
from marram.core.graph import Array, Graph, Node, Tensor, fresh_name, with_nodes
from marram.core.operators import operator_name
from marram.model.reference import interpret


class LayerDamage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One layer of an integer Graph beside the same layer of the float Graph.

    ``sqnr_db`` is the signal-to-quantisation-noise ratio of its output in the whole integer graph, so it holds the noise of the
    layers before it; infinite where nothing differs. ``low`` and ``high`` are the float values seen, ``saturated`` the share of
    them outside what int8 can hold. ``accuracy`` is the task's with only this layer integer, None without targets.
    """

    node: str
    operator: str
    tensor: str
    sqnr_db: float
    low: float
    high: float
    scale: float
    saturated: float
    accuracy: float | None = None


class _Tally(msgspec.Struct, kw_only=True):
    """Sums over the samples of one tensor."""

    signal: float = 0.0
    noise: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    outside: int = 0
    count: int = 0


def damage(
    float_graph: Graph, integer: Graph, samples: Samples, targets: Array | None = None, *, limit: int = 256
) -> tuple[LayerDamage, ...]:
    """The damage of every integer layer, in execution order.

    Args:
        float_graph: the Graph that ``integer`` was quantised from (folded, with the same node names).
        integer: an integer Graph.
        samples: float32 samples, not those of the test set.
        targets: class indices of the samples in order; with them the accuracy of each layer alone is measured.
        limit: the most samples that are used.
    """
    activations = sum(tensor.size_bytes for name, tensor in float_graph.tensors.items() if name not in float_graph.constants)
    size = samples_in_memory(activations, limit=limit)
    inputs = first_batches(float_graph, samples, limit=limit, size=size)
    tallies = _tallies(float_graph, integer, inputs)
    found = []
    for node in _shared(float_graph, integer):
        tensor = node.outputs[0]
        tally, quantisation = tallies[tensor], integer.tensors[tensor].quantisation
        assert quantisation is not None
        alone = None if targets is None else accuracy(only(float_graph, integer, node.name), inputs, targets)
        found.append(
            LayerDamage(
                node=node.name,
                operator=operator_name(node.op),
                tensor=tensor,
                sqnr_db=decibels(tally.signal, tally.noise),
                low=tally.low,
                high=tally.high,
                scale=quantisation.scale,
                saturated=tally.outside / tally.count,
                accuracy=alone,
            )
        )
    return tuple(found)


def decibels(signal: float, noise: float) -> float:
    """10 log10(signal / noise); infinite without noise, minus infinite with noise and no signal."""
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def _shared(float_graph: Graph, integer: Graph) -> Iterator[Node]:
    """The integer nodes of the integer graph that the float graph has as well."""
    known = {node.name for node in float_graph.nodes}
    return (node for node in integer.nodes if node.name in known and integer.tensors[node.outputs[0]].dtype == "int8")


def _tallies(float_graph: Graph, integer: Graph, inputs: list[Values]) -> dict[str, _Tally]:
    wanted = {node.outputs[0] for node in _shared(float_graph, integer)}
    tallies = {name: _Tally() for name in wanted}
    for values in inputs:
        exact = _observed(float_graph, values, wanted)
        places = dict.fromkeys(wanted, 0)

        def compare(name: str, array: Array, exact: Values = exact, places: dict[str, int] = places) -> None:
            if name in wanted:  # the integer run may come in other blocks of samples than the float one
                start = places[name]
                places[name] = start + len(array)
                _count(tallies[name], integer, name, exact[name][start : start + len(array)], array)

        interpret(integer, to_inputs(integer, values), observe=compare)
    return tallies


def _observed(graph: Graph, values: Values, wanted: set[str]) -> Values:
    """The values of some tensors for a batch, whatever blocks they are computed in."""
    blocks: dict[str, list[Array]] = {name: [] for name in wanted}

    def keep(name: str, array: Array) -> None:
        if name in wanted:
            blocks[name].append(array)

    interpret(graph, values, observe=keep)
    return {name: np.concatenate(parts) for name, parts in blocks.items()}


def _count(tally: _Tally, integer: Graph, name: str, exact: Array, whole: Array) -> None:
    quantisation = integer.tensors[name].quantisation
    assert quantisation is not None
    wide = exact.astype(np.float64)
    low, high = span(quantisation)
    tally.signal += float((wide**2).sum())
    tally.noise += float(((wide - to_float(integer, name, whole)) ** 2).sum())
    tally.low, tally.high = min(tally.low, float(wide.min())), max(tally.high, float(wide.max()))
    half = quantisation.scale / 2
    tally.outside += int(((wide < low - half) | (wide > high + half)).sum())
    tally.count += wide.size


def only(float_graph: Graph, integer: Graph, name: str) -> Graph:
    """The float graph with one node as it is in the integer graph, between a Quantise and a Dequantise.

    Args:
        float_graph: the Graph that ``integer`` was quantised from.
        integer: an integer Graph.
        name: a node that both have.
    """
    whole = next(node for node in integer.nodes if node.name == name)
    taken = {**float_graph.tensors, **integer.tensors}
    tensors: dict[str, Tensor] = {}
    constants: dict[str, Array] = {}
    nodes: list[Node] = []
    names: dict[str, str] = {}
    for node in float_graph.nodes:
        if node.name != name:
            nodes.append(node)
            continue
        for source, target in zip(node.inputs, whole.inputs, strict=False):
            if not target or target in names:
                continue
            names[target] = made = fresh_name({**taken, **tensors}, f"{target}/int8")
            tensors[made] = msgspec.structs.replace(integer.tensors[target], name=made)
            if target in integer.constants:
                constants[made] = integer.constants[target]
            else:
                nodes.append(Node(name=f"{made}/quantise", op=ops.Quantise(), inputs=(source,), outputs=(made,)))
        outputs = tuple(f"{output}/int8" for output in node.outputs)
        for output, made in zip(node.outputs, outputs, strict=True):
            tensors[made] = msgspec.structs.replace(integer.tensors[output], name=made)
        nodes.append(msgspec.structs.replace(whole, inputs=tuple(names.get(n, "") for n in whole.inputs), outputs=outputs))
        nodes += [
            Node(name=f"{made}/dequantise", op=ops.Dequantise(), inputs=(made,), outputs=(output,))
            for output, made in zip(node.outputs, outputs, strict=True)
        ]
    return with_nodes(float_graph, nodes, tensors=tensors, constants=constants)


def accuracy(graph: Graph, inputs: list[Values], targets: Array) -> float:
    """Share of samples whose largest element along the first output's last axis is at the target's place."""
    guesses = [interpret(graph, to_inputs(graph, values))[0].argmax(axis=-1).reshape(-1) for values in inputs]
    guess = np.concatenate(guesses)
    return float((guess == targets[: guess.size]).mean())
