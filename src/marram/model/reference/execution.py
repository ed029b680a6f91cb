"""Running a Graph: prepared once, then block after block of samples through its kernels."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from marram.core.graph import Array, Graph, Node
from marram.model.batching import keeps_samples_apart
from marram.model.reference.feeding import Inputs, fed
from marram.model.reference.site import Kernel, site_of
from marram.model.reference.tables import kernel_of

Observe = Callable[[str, Array], None]

_BLOCK_BYTES = 32 * 1024 * 1024
_MOST_SAMPLES = 64


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One node ready to run; ``dead`` names the tensors that nobody reads after it."""

    node: Node
    kernel: Kernel
    dead: tuple[str, ...]


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A Graph with all that does not depend on the samples computed: packed weights, multipliers, tables.

    ``constants`` are the graph's own and what nodes compute from constants alone. ``block`` is the number of samples that
    run at once: 1 where the graph does not keep samples apart.
    """

    graph: Graph
    constants: dict[str, Array]
    steps: tuple[Step, ...]
    block: int


def prepare(graph: Graph) -> Prepared:
    """Makes a Graph ready for many runs.

    Raises:
        UserError: a node whose tensors do not fit its operator's rule.
    """
    constants = dict(graph.constants)
    ready: list[tuple[Node, Kernel]] = []
    for node in graph.nodes:
        kernel = kernel_of(site_of(graph, node, constants))
        if all(name in constants for name in node.inputs if name):
            results = kernel(*(constants[name] if name else None for name in node.inputs))
            constants.update(zip(node.outputs, results, strict=False))
        else:
            ready.append((node, kernel))
    steps = _with_deaths(ready, kept={*graph.outputs, *constants, ""})
    return Prepared(graph=graph, constants=constants, steps=steps, block=_block(graph, steps))


def _with_deaths(ready: list[tuple[Node, Kernel]], *, kept: set[str]) -> tuple[Step, ...]:
    """The steps, each with the tensors that it is the last to touch."""
    last = {name: position for position, (node, _) in enumerate(ready) for name in (*node.inputs, *node.outputs)}
    steps = []
    for position, (node, kernel) in enumerate(ready):
        touched = dict.fromkeys((*node.inputs, *node.outputs))
        dead = tuple(name for name in touched if last[name] == position and name not in kept)
        steps.append(Step(node=node, kernel=kernel, dead=dead))
    return tuple(steps)


def _block(graph: Graph, steps: tuple[Step, ...]) -> int:
    """How many samples keep the live tensors within bounds."""
    if not keeps_samples_apart(graph):
        return 1
    live = peak = sum(tensor.size_bytes for tensor in graph.input_tensors)
    for step in steps:
        live += sum(graph.tensors[name].size_bytes for name in step.node.outputs if name)
        peak = max(peak, live)
        live -= sum(graph.tensors[name].size_bytes for name in step.dead)
    return max(1, min(_MOST_SAMPLES, _BLOCK_BYTES // max(1, peak)))


def run(prepared: Prepared, inputs: Inputs, *, observe: Observe | None = None) -> tuple[Array, ...]:
    """Runs a prepared Graph; arguments, results and errors as ``interpret``."""
    graph = prepared.graph
    arrays, samples = fed(graph, inputs)
    blocks = []
    for start in range(0, samples, prepared.block):
        stop = min(start + prepared.block, samples)
        part = {name: _part(array, graph.tensors[name].shape, start, stop) for name, array in arrays.items()}
        blocks.append(_run_block(prepared, part, observe))
    if len(blocks) == 1:
        return blocks[0]
    return tuple(np.concatenate([np.atleast_1d(out) for out in outs]) for outs in zip(*blocks, strict=True))


def _part(array: Array, shape: tuple[int, ...], start: int, stop: int) -> Array:
    return array[start * shape[0] : stop * shape[0]] if shape else array


def _run_block(prepared: Prepared, arrays: dict[str, Array], observe: Observe | None) -> tuple[Array, ...]:
    """One block of samples through all nodes."""
    values: dict[str, Array | None] = {"": None, **prepared.constants, **arrays}
    for step in prepared.steps:
        results = step.kernel(*(values[name] for name in step.node.inputs))
        for name, result in zip(step.node.outputs, results, strict=False):
            if name:
                values[name] = result
                if observe is not None:
                    observe(name, result)
        for name in step.dead:
            values[name] = None
    found = [values[name] for name in prepared.graph.outputs]
    return tuple(value for value in found if value is not None)


def interpret(graph: Graph, inputs: Inputs, *, observe: Observe | None = None) -> tuple[Array, ...]:
    """What a Graph computes: its outputs, in order.

    Float graphs run in float32; integer graphs in their own dtypes, bit for bit as TensorFlow Lite Micro's reference
    kernels. Which rule applies is decided node by node by the tensors' dtypes. For many calls on one Graph use ``prepare``
    once and ``run``.

    Args:
        graph: the model; each tensor declares the shape of one inference.
        inputs: one array, arrays in the graph's order, or arrays by name; dtypes as declared, the leading axis holds any
            number of samples (a multiple of the declared one).
        observe: called as ``observe(name, array)`` for each computed tensor, once for each block of samples, in order.

    Returns:
        One array for each output; leading axis: samples x the declared one.

    Raises:
        UserError: inputs that do not match, or a node whose tensors do not fit its operator's rule.
        DataError: NaN or infinity in a float input.
    """
    return run(prepare(graph), inputs, observe=observe)
