"""Layout: reshapes and transposes merge, and step aside for the operators that look at single elements."""

from __future__ import annotations

from math import prod

import msgspec

from marram.compress.rewriting import View, substitute
from marram.core import operators as ops
from marram.core.graph import Graph, Node, Tensor, fresh_name


def merge_reshapes(seen: View, node: Node) -> Graph | None:
    """Reshape of a Reshape -> one Reshape."""
    inner = seen.producers.get(node.inputs[0])
    if inner is None or not isinstance(inner.op, ops.Reshape):
        return None
    return substitute(seen.graph, {node.name: (msgspec.structs.replace(node, inputs=inner.inputs),)})


def merge_transposes(seen: View, node: Node) -> Graph | None:
    """Transpose of a Transpose -> one Transpose."""
    inner = seen.producers.get(node.inputs[0])
    if inner is None or not isinstance(inner.op, ops.Transpose) or not isinstance(node.op, ops.Transpose):
        return None
    first = inner.op.permutation
    op = ops.Transpose(permutation=tuple(first[axis] for axis in node.op.permutation))
    return substitute(seen.graph, {node.name: (msgspec.structs.replace(node, op=op, inputs=inner.inputs),)})


def transpose_to_reshape(seen: View, node: Node) -> Graph | None:
    """Transpose that moves only axes of size 1 -> Reshape; the batch axis counts as longer than 1."""
    if not isinstance(node.op, ops.Transpose):
        return None
    shape, permutation = seen.shape(node.inputs[0]), node.op.permutation
    long = [axis for axis in permutation if shape[axis] > 1 or axis == 0]
    if permutation[:1] != (0,) or long != sorted(long):
        return None
    op = ops.Reshape(shape=tuple(shape[axis] for axis in permutation))
    return substitute(seen.graph, {node.name: (msgspec.structs.replace(node, op=op),)})


def lift_over_reshape(seen: View, node: Node) -> Graph | None:
    """f(reshape(x)) -> reshape(f(x)) for element-wise f, so that f meets the layer before the reshape.

    f has no constants, or one for each channel while the reshape keeps the channels apart. Both one-dimensional
    convolutions (a Reshape on each side) and flattened heads need it.
    """
    activations = [name for name in node.inputs if name and name not in seen.graph.constants]
    constants = [name for name in node.inputs if name in seen.graph.constants]
    reshape = seen.private_producer(activations[0], node) if len(activations) == 1 else None
    if reshape is None or not isinstance(reshape.op, ops.Reshape):
        return None
    (inner,) = reshape.inputs
    shape, outer = seen.shape(inner), seen.shape(node.outputs[0])
    if inner in seen.graph.constants or outer != seen.shape(activations[0]) or not _fits(seen, constants, shape, outer):
        return None
    return _swapped(seen, node, reshape, {activations[0]: inner}, shape)


def _fits(seen: View, constants: list[str], inner: tuple[int, ...], outer: tuple[int, ...]) -> bool:
    """Whether constants mean the same on both sides of the reshape: scalars always, vectors if the last axis stays."""
    shapes = [seen.shape(name) for name in constants]
    if any(prod(shape) > 1 and shape != (prod(shape),) for shape in shapes):
        return False
    largest = max((len(shape) for shape in shapes), default=0)
    return largest <= len(inner) and (all(prod(shape) == 1 for shape in shapes) or (bool(inner) and inner[-1] == outer[-1]))


def _swapped(seen: View, node: Node, reshape: Node, names: dict[str, str], shape: tuple[int, ...]) -> Graph:
    """The node moved in front of the reshape, reading ``names`` instead; the reshape takes its output's name."""
    middle = fresh_name(seen.graph.tensors, f"{node.outputs[0]}/unshaped")
    inputs = tuple(names.get(name, name) for name in node.inputs)
    first = msgspec.structs.replace(node, inputs=inputs, outputs=(middle,))
    then = msgspec.structs.replace(reshape, inputs=(middle,), outputs=node.outputs)
    tensors = {middle: Tensor(name=middle, shape=shape)}
    others = {other.name: () for name in names if (other := seen.producers[name]).name != reshape.name}
    return substitute(seen.graph, {**others, reshape.name: (), node.name: (first, then)}, tensors=tensors)


def lift_both_over_reshape(seen: View, node: Node) -> Graph | None:
    """f(reshape(a), reshape(b)) -> reshape(f(a, b)) for a and b of one shape."""
    pair = [seen.private_producer(name, node) for name in node.inputs]
    if len(pair) != 2 or any(other is None or not isinstance(other.op, ops.Reshape) for other in pair):
        return None
    first, second = (other for other in pair if other is not None)
    a, b = first.inputs[0], second.inputs[0]
    if first.op != second.op or seen.shape(a) != seen.shape(b) or a in seen.graph.constants or b in seen.graph.constants:
        return None
    return _swapped(seen, node, second, {node.inputs[0]: a, node.inputs[1]: b}, seen.shape(a))
