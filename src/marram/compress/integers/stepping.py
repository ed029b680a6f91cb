"""Stepping: a Graph is run node by node over batches, so that a pass can look at, and change, one layer at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from marram.compress.integers.calibration import Samples, batches, named
from marram.compress.integers.grid import to_integers, to_reals
from marram.core.graph import Array, Graph, Node, with_nodes
from marram.model.reference import interpret

Values = dict[str, Array]

_MEMORY_BYTES = 512 << 20


def first_batches(graph: Graph, samples: Samples, *, limit: int, size: int = 32) -> list[Values]:
    """The first ``limit`` samples, in batches by input name; an array is cut into batches of ``size``."""
    taken: list[Values] = []
    left = limit
    for batch in batches(graph, samples, size=min(size, limit)):
        values = {name: np.asarray(array)[:left] for name, array in named(graph, batch).items()}
        taken.append(values)
        left -= len(next(iter(values.values())))
        if left <= 0:
            break
    return taken


def samples_in_memory(bytes_per_sample: int, *, limit: int) -> int:
    """How many samples, at least one and at most ``limit``, fit into the memory that a pass may take."""
    return max(1, min(limit, _MEMORY_BYTES // max(bytes_per_sample, 1)))


def run_node(graph: Graph, node: Node, values: Values) -> tuple[Array, ...]:
    """What one node computes from values of its inputs; constants come from the graph."""
    inputs = tuple(dict.fromkeys(name for name in node.inputs if name and name not in graph.constants))
    alone = with_nodes(graph, (node,), inputs=inputs, outputs=node.outputs)
    return interpret(alone, {name: values[name] for name in inputs})


def last_reads(graph: Graph) -> dict[str, int]:
    """For each tensor the position of the last node that reads it; graph outputs and unread tensors are not in it."""
    last = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs if name}
    return {name: index for name, index in last.items() if name not in graph.outputs}


def step(graph: Graph, index: int, states: Sequence[Values], forget: dict[str, int]) -> None:
    """Run one node on every batch's values in place, and drop the values that nobody reads any more."""
    node = graph.nodes[index]
    for state in states:
        state.update(zip(node.outputs, run_node(graph, node, state), strict=True))
        for name in set(node.inputs):
            if forget.get(name) == index:
                state.pop(name, None)


def to_inputs(integer: Graph, values: Values) -> Values:
    """Float inputs as the integer graph takes them."""
    return {name: _entered(integer, name, array) for name, array in values.items()}


def _entered(integer: Graph, name: str, array: Array) -> Array:
    tensor = integer.tensors[name]
    return array if tensor.quantisation is None else to_integers(array, tensor.quantisation, dtype=tensor.dtype)


def to_float(graph: Graph, name: str, array: Array) -> Array:
    """A tensor's value as real numbers."""
    quantisation = graph.tensors[name].quantisation
    return np.asarray(array, np.float32) if quantisation is None else to_reals(array, quantisation)


def run_quantised(integer: Graph, values: Values) -> Iterator[tuple[str, Array]]:
    """The outputs of an integer graph for float inputs, as real numbers, by name."""
    results = interpret(integer, to_inputs(integer, values))
    return ((name, to_float(integer, name, array)) for name, array in zip(integer.outputs, results, strict=True))
