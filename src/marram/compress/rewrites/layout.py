"""Layout: reshapes and transposes merge, and step aside for the operators that look at single elements."""

from __future__ import annotations

from math import prod

import msgspec

from marram.compress.rewrites.rewriting import View, substitute
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


def slice_of_concat(seen: View, node: Node) -> Graph | None:
    """Slice of a Concat that lies in one of its inputs -> Slice of that input: the last step of a sequence's outputs."""
    joined = seen.producers.get(node.inputs[0])
    if joined is None or not isinstance(joined.op, ops.Concat) or not isinstance(node.op, ops.Slice):
        return None
    axis, past = joined.op.axis, 0
    first, length = node.op.begin[axis], seen.shape(node.outputs[0])[axis]
    last = first + (length - 1) * node.op.strides[axis]
    for name in joined.inputs:
        start, past = past, past + seen.shape(name)[axis]
        if start <= first <= last < past:
            begin = tuple(at - start if index == axis else at for index, at in enumerate(node.op.begin))
            end = tuple(last + 1 - start if index == axis else at for index, at in enumerate(node.op.end))
            op = msgspec.structs.replace(node.op, begin=begin, end=end)
            return substitute(seen.graph, {node.name: (msgspec.structs.replace(node, op=op, inputs=(name,)),)})
    return None


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


def lift_over_movement(seen: View, node: Node) -> Graph | None:
    """f(reshape(x)) -> reshape(f(x)), and so for transpose, with element-wise f, so that f meets the layer before.

    f has no constants, or one for each channel while the channels stay the last axis. One-dimensional convolutions (a Reshape
    on each side), flattened heads and channels-first remains need it.
    """
    activations = [name for name in node.inputs if name and name not in seen.graph.constants]
    constants = [name for name in node.inputs if name in seen.graph.constants]
    mover = seen.private_producer(activations[0], node) if len(activations) == 1 else None
    if mover is None or not isinstance(mover.op, ops.Reshape | ops.Transpose):
        return None
    (inner,) = mover.inputs
    if inner in seen.graph.constants or seen.shape(node.outputs[0]) != seen.shape(activations[0]):
        return None
    if not _fits(seen, constants, mover):
        return None
    return _swapped(seen, node, mover, {activations[0]: inner}, seen.shape(inner))


def _fits(seen: View, constants: list[str], mover: Node) -> bool:
    """Whether constants mean the same on both sides of the mover: scalars always, vectors if the channels stay last."""
    inner, outer = seen.shape(mover.inputs[0]), seen.shape(mover.outputs[0])
    shapes = [seen.shape(name) for name in constants]
    if any(prod(shape) > 1 and shape != (prod(shape),) for shape in shapes) or any(len(s) > len(inner) for s in shapes):
        return False
    if all(prod(shape) == 1 for shape in shapes):
        return True
    return mover.op.permutation[-1] == len(inner) - 1 if isinstance(mover.op, ops.Transpose) else inner[-1:] == outer[-1:]


def _swapped(seen: View, node: Node, mover: Node, names: dict[str, str], shape: tuple[int, ...]) -> Graph:
    """The node moved in front of the mover, reading ``names`` instead; the mover takes its output's name."""
    middle = fresh_name(seen.graph.tensors, f"{node.outputs[0]}/unmoved")
    inputs = tuple(names.get(name, name) for name in node.inputs)
    first = msgspec.structs.replace(node, inputs=inputs, outputs=(middle,))
    then = msgspec.structs.replace(mover, inputs=(middle,), outputs=node.outputs)
    tensors = {middle: Tensor(name=middle, shape=shape)}
    others = {other.name: () for name in names if (other := seen.producers[name]).name != mover.name}
    return substitute(seen.graph, {**others, mover.name: (), node.name: (first, then)}, tensors=tensors)


def lift_both_over_movement(seen: View, node: Node) -> Graph | None:
    """f(reshape(a), reshape(b)) -> reshape(f(a, b)) for a and b of one shape, and so for transpose."""
    pair = [seen.private_producer(name, node) for name in node.inputs]
    if len(pair) != 2 or any(other is None or not isinstance(other.op, ops.Reshape | ops.Transpose) for other in pair):
        return None
    first, second = (other for other in pair if other is not None)
    a, b = first.inputs[0], second.inputs[0]
    if first.op != second.op or seen.shape(a) != seen.shape(b) or a in seen.graph.constants or b in seen.graph.constants:
        return None
    return _swapped(seen, node, second, {node.inputs[0]: a, node.inputs[1]: b}, seen.shape(a))
