"""Structure: what is wrong with a Graph whatever its stage, in sentences: names, producers, shapes, constants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from marram.core.errors import UserError
from marram.core.graph import Graph, Node, Quantisation, Tensor
from marram.model.shapes import output_shapes


def structural_problems(graph: Graph) -> Iterator[str]:
    """One sentence for each fault: undefined or doubly defined names, wrong shapes, constants that do not match, NaN or inf."""
    yield from _names(graph)
    for name in graph.constants:
        yield from _constant(graph, name)
    for tensor in graph.tensors.values():
        yield from _tensor(tensor)
    for node in graph.nodes:
        yield from _node_shapes(graph, node)


def _names(graph: Graph) -> Iterator[str]:
    """Every name is defined once, before it is used, and has its entry."""
    yield from _repeated("nodes", [node.name for node in graph.nodes])
    yield from _repeated("inputs", list(graph.inputs))
    yield from (f"input {name!r} is a constant as well" for name in graph.inputs if name in graph.constants)
    defined = set(graph.inputs) | set(graph.constants)
    for node in graph.nodes:
        for name in node.inputs:
            if name and name not in defined:
                yield f"node {node.name}: input {name!r} is not defined before it"
        for name in node.outputs:
            if not name or name in defined:
                yield f"node {node.name}: output {name!r} {'is defined already' if name else 'is no name'}"
            defined.add(name)
    if not graph.outputs:
        yield "the graph has no outputs"
    yield from (f"output {name!r} of the graph is defined nowhere" for name in graph.outputs if name not in defined)
    yield from (f"tensor {name!r} has no entry in tensors" for name in sorted(defined - set(graph.tensors) - {""}))
    yield from (f"tensor {name!r} calls itself {t.name!r}" for name, t in graph.tensors.items() if t.name != name)


def _repeated(what: str, names: list[str]) -> Iterator[str]:
    return (f"{count} {what} are named {name!r}" for name, count in Counter(names).items() if count > 1)


def _constant(graph: Graph, name: str) -> Iterator[str]:
    value, tensor = graph.constants[name], graph.tensors.get(name)
    if tensor is not None and (tuple(value.shape), value.dtype.name) != (tensor.shape, tensor.dtype):
        yield f"constant {name!r} is {value.dtype.name} {tuple(value.shape)}, its tensor says {tensor.dtype} {tensor.shape}"
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        yield f"constant {name!r} holds NaN or infinity"


def _tensor(tensor: Tensor) -> Iterator[str]:
    if any(n < 1 for n in tensor.shape):
        yield f"tensor {tensor.name!r} has the empty shape {tensor.shape}"
    if tensor.quantisation is not None:
        for fault in _quantisation(tensor, tensor.quantisation):
            yield f"tensor {tensor.name!r}: {fault}"


def _quantisation(tensor: Tensor, quantisation: Quantisation) -> Iterator[str]:
    scales, zeros, axis = quantisation.scales, quantisation.zero_points, quantisation.axis
    if tensor.dtype in {"float32", "bool"}:
        yield f"dtype {tensor.dtype} takes no quantisation"
        return
    if not scales or len(scales) != len(zeros):
        yield f"{len(scales)} scales and {len(zeros)} zero points"
    if not all(np.isfinite(scale) and scale > 0 for scale in scales):
        yield "a scale is not a positive number"
    limits = np.iinfo(tensor.dtype)
    if any(not limits.min <= zero <= limits.max for zero in zeros):
        yield f"a zero point lies outside {tensor.dtype}"
    if axis is None and len(scales) > 1:
        yield f"{len(scales)} scales without an axis"
    if axis is not None and (not 0 <= axis < len(tensor.shape) or tensor.shape[axis] != len(scales)):
        yield f"{len(scales)} scales along axis {axis} of shape {tensor.shape}"


def _node_shapes(graph: Graph, node: Node) -> Iterator[str]:
    if any(name and name not in graph.tensors for name in (*node.inputs, *node.outputs)):
        return  # reported by name already
    try:
        shapes = output_shapes(node.op, [graph.tensors[name].shape if name else () for name in node.inputs])
    except UserError as error:
        yield f"node {node.name}: {error.what}"
        return
    for name, shape in zip(node.outputs, shapes, strict=False):
        if name and graph.tensors[name].shape != shape:
            yield f"node {node.name}: output {name!r} has shape {shape}, its tensor says {graph.tensors[name].shape}"
