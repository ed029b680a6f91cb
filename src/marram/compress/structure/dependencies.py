"""Dependencies: what each operator ties together, so that indices can be left out of axes.

An index of an axis may go if every tensor that carries it can lose it and what the graph computes is what it computed with
that index's share in all sums (over input channels, over the inner axis of a product) taken as zero. A rule ties what a node
relates and pins what it needs whole: places of an image, time steps, the axis of a softmax or of a mean. An operator without a
rule pins everything around it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from marram.compress.structure.blocks import blocks
from marram.compress.structure.ties import Ties
from marram.core import operators as ops
from marram.core.graph import Graph, Node

Rule = Callable[[Ties, Any, Node], None]


def tied(graph: Graph) -> Ties:
    """All ties of a float Graph. Inputs and outputs are pinned, and so is what a reshape leaves no choice about."""
    ties = Ties(graph)
    for name in (*graph.inputs, *graph.outputs):
        ties.pin_whole(name)
    for node in graph.nodes:
        _RULES.get(type(node.op), _pin_all)(ties, node.op, node)
    for node in graph.nodes:
        if isinstance(node.op, ops.Reshape):
            _choose(ties, node)
    return ties


def _pin_all(ties: Ties, _op: Any, node: Node) -> None:
    for name in (*node.inputs, *node.outputs):
        if name:
            ties.pin_whole(name)


def _same(ties: Ties, _op: Any, node: Node) -> None:
    _tie_axes(ties, node.inputs[0], node.outputs[0], range(ties.rank(node.outputs[0])))


def _tie_axes(ties: Ties, x: str, y: str, axes: Any) -> None:
    for axis in axes:
        ties.tie(ties.along(x, axis), ties.along(y, axis))


def _vectors(ties: Ties, numbers: Any, names: tuple[str, ...]) -> None:
    """Vectors as long as an axis go with it."""
    for name in names:
        if name:
            ties.tie(ties.along(name, 0), numbers)


def _layer(ties: Ties, op: Any, node: Node) -> None:
    """Convolutions and dense layers: input channels with the last axis of the weights, output channels with the first."""
    x, weights, y = node.inputs[0], node.inputs[1], node.outputs[0]
    if isinstance(op, ops.Conv2D) and op.groups > 1:
        _grouped(ties, op, node)
    else:
        ties.tie(ties.along(x, -1), ties.along(weights, -1))
        ties.tie(ties.along(y, -1), ties.along(weights, 0))
    _vectors(ties, ties.along(y, -1), node.inputs[2:])
    if isinstance(op, ops.Dense):
        _tie_axes(ties, x, y, range(ties.rank(x) - 1))
    else:
        _tie_axes(ties, x, y, (0,))
        _pin_places(ties, x, y)
        ties.pin(weights, 1, 2)


def _grouped(ties: Ties, op: ops.Conv2D, node: Node) -> None:
    """A group of a convolution goes whole: its inputs, its outputs and its kernels."""
    x, weights, y = node.inputs[0], node.inputs[1], node.outputs[0]
    leaders = ties.along(x, 3).reshape(op.groups, -1)[:, :1]
    for numbers in (ties.along(x, 3), ties.along(y, 3), ties.along(weights, 0)):
        ties.tie(numbers.reshape(op.groups, -1), leaders)
    ties.pin(weights, 3)


def _depthwise(ties: Ties, _op: Any, node: Node) -> None:
    x, weights, y = node.inputs[0], node.inputs[1], node.outputs[0]
    channels = ties.size(x, 3)
    ties.tie(ties.along(y, 3).reshape(channels, -1), ties.along(x, 3)[:, None])
    ties.tie(ties.along(y, 3), ties.along(weights, 3))
    _vectors(ties, ties.along(y, 3), node.inputs[2:])
    _tie_axes(ties, x, y, (0,))
    _pin_places(ties, x, y)
    ties.pin(weights, 0, 1, 2)


def _pin_places(ties: Ties, *images: str) -> None:
    for name in images:
        ties.pin(name, 1, 2)


def _places(ties: Ties, _op: Any, node: Node) -> None:
    """Pools and resizing: samples and channels each for themselves, places pinned."""
    x, y = node.inputs[0], node.outputs[0]
    _tie_axes(ties, x, y, (0, 3))
    _pin_places(ties, x, y)


def _broadcast(ties: Ties, _op: Any, node: Node) -> None:
    for name in node.inputs:
        _broadcast_axes(ties, name, node.outputs[0], ties.rank(node.outputs[0]))


def _broadcast_axes(ties: Ties, name: str, output: str, rank: int, *, inner: int = 0) -> None:
    """Axes of an operand before its last ``inner`` ones, with the first ``rank`` of the output, right-aligned."""
    shift = rank - (ties.rank(name) - inner)
    for axis in range(ties.rank(name) - inner):
        if ties.size(name, axis) == ties.size(output, axis + shift):
            ties.tie(ties.along(name, axis), ties.along(output, axis + shift))
        else:
            ties.pin(name, axis)


def _mat_mul(ties: Ties, op: ops.MatMul, node: Node) -> None:
    (a, b), y = node.inputs, node.outputs[0]
    rows, inner_a = (-1, -2) if op.transpose_a else (-2, -1)
    inner_b, columns = (-1, -2) if op.transpose_b else (-2, -1)
    ties.tie(ties.along(a, inner_a), ties.along(b, inner_b))
    ties.tie(ties.along(a, rows), ties.along(y, -2))
    ties.tie(ties.along(b, columns), ties.along(y, -1))
    for name in (a, b):
        _broadcast_axes(ties, name, y, ties.rank(y) - 2, inner=2)


def _concat(ties: Ties, op: ops.Concat, node: Node) -> None:
    y, offset = node.outputs[0], 0
    for name in node.inputs:
        _tie_axes(ties, name, y, [axis for axis in range(ties.rank(y)) if axis != op.axis])
        size = ties.size(name, op.axis)
        ties.tie(ties.along(name, op.axis), ties.along(y, op.axis)[offset : offset + size])
        offset += size


def _split(ties: Ties, op: ops.Split, node: Node) -> None:
    x, offset = node.inputs[0], 0
    for name, size in zip(node.outputs, op.sizes, strict=False):
        _tie_axes(ties, x, name, [axis for axis in range(ties.rank(x)) if axis != op.axis])
        ties.tie(ties.along(x, op.axis)[offset : offset + size], ties.along(name, op.axis))
        offset += size


def _slice(ties: Ties, op: ops.Slice, node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    for axis, (begin, end, step) in enumerate(zip(op.begin, op.end, op.strides, strict=True)):
        ties.tie(ties.along(x, axis)[begin:end:step], ties.along(y, axis))
        if step > 1:  # what is left of a strided slice is none
            ties.pin(x, axis)


def _pad(ties: Ties, op: ops.Pad, node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    for axis, (before, after) in enumerate(op.paddings):
        numbers, size = ties.along(y, axis), ties.size(x, axis)
        ties.tie(ties.along(x, axis), numbers[before : before + size])
        if before or after:
            ties.pin_numbers(np.concatenate([numbers[:before], numbers[before + size :]]))


def _transpose(ties: Ties, op: ops.Transpose, node: Node) -> None:
    for after, before in enumerate(op.permutation):
        ties.tie(ties.along(node.inputs[0], before), ties.along(node.outputs[0], after))


def _reduce(ties: Ties, op: ops.Mean | ops.Sum, node: Node) -> None:
    """A mean is over all it was over; a sum may lose a share."""
    x, y = node.inputs[0], node.outputs[0]
    kept = [axis for axis in range(ties.rank(x)) if axis not in op.axes]
    for place, axis in enumerate(kept):
        ties.tie(ties.along(x, axis), ties.along(y, axis if op.keep_dims else place))
    if isinstance(op, ops.Mean):
        ties.pin(x, *op.axes)


def _softmax(ties: Ties, op: Any, node: Node) -> None:
    _same(ties, op, node)
    ties.pin(node.inputs[0], -1)


def _normalise(ties: Ties, op: Any, node: Node) -> None:
    """A batch norm works channel by channel; a layer norm's statistics are of the channels that are left."""
    _same(ties, op, node)
    _vectors(ties, ties.along(node.inputs[0], -1), node.inputs[1:])
    if isinstance(op, ops.LayerNorm):
        ties.mark_inexact(ties.along(node.inputs[0], -1))


def _recurrent(ties: Ties, op: ops.Lstm | ops.Gru, node: Node) -> None:
    """A hidden unit goes with its row in every gate, its column in the recurrent weights and its place in every output."""
    x, weights, recurrent, *biases = node.inputs
    ties.tie(ties.along(x, 2), ties.along(weights, 1))
    hidden = ties.along(recurrent, 1)
    for name in (weights, recurrent, *biases):
        if name:
            ties.tie(ties.along(name, 0).reshape(-1, op.hidden), hidden)
    for name in node.outputs:
        ties.tie(ties.along(name, -1), hidden)
        ties.tie(ties.along(name, 0), ties.along(x, 0))
    ties.pin(x, 1)
    ties.pin(node.outputs[0], 1)


def _reshape(ties: Ties, _op: Any, node: Node) -> None:
    """Axes that stay as they are; ``_choose`` sees to those that are merged or parted."""
    x, y = node.inputs[0], node.outputs[0]
    for name in (x, y):
        ties.pin(name, *[axis for axis in range(ties.rank(name)) if ties.size(name, axis) == 1])
    for before, after in blocks(ties.graph.tensors[x].shape, ties.graph.tensors[y].shape):
        if len(before) == len(after) == 1:
            ties.tie(ties.along(x, before[0]), ties.along(y, after[0]))
        elif min(len(before), len(after)) > 1:
            ties.pin(x, *before)
            ties.pin(y, *after)


def _choose(ties: Ties, node: Node) -> None:
    """Where one axis stands for several: it follows the outermost of those that nothing pins, and the others stay.

    So a flattened image follows its channels, as its places are pinned, and the width of an attention its heads.
    """
    x, y = node.inputs[0], node.outputs[0]
    shapes = ties.graph.tensors[x].shape, ties.graph.tensors[y].shape
    for before, after in blocks(*shapes):
        if (len(before) == 1) == (len(after) == 1):
            continue
        one, (many, axes) = ((y, after[0]), (x, before)) if len(after) == 1 else ((x, before[0]), (y, after))
        _, pinned, _ = ties.solved()
        free = [axis for axis in axes if not pinned[ties.along(many, axis)].all()]
        sizes = [ties.size(many, axis) for axis in axes]
        for axis, place in zip(axes, np.indices(sizes).reshape(len(axes), -1), strict=True):
            if free and axis == free[0]:
                ties.tie(ties.along(*one), ties.along(many, axis)[place])
            else:
                ties.pin(many, axis)
        if not free:
            ties.pin(*one)


_UNARY = (ops.Relu, ops.Relu6, ops.LeakyRelu, ops.HardSwish, ops.Sigmoid, ops.Tanh, ops.Gelu)
_RULES: dict[type, Rule] = {
    **dict.fromkeys(_UNARY, _same),
    **dict.fromkeys((ops.Conv2D, ops.TransposeConv2D, ops.Dense), _layer),
    **dict.fromkeys((ops.AveragePool2D, ops.MaxPool2D, ops.Resize), _places),
    **dict.fromkeys((ops.Add, ops.Sub, ops.Mul), _broadcast),
    **dict.fromkeys((ops.Mean, ops.Sum), _reduce),
    **dict.fromkeys((ops.LayerNorm, ops.BatchNorm), _normalise),
    **dict.fromkeys((ops.Lstm, ops.Gru), _recurrent),
    ops.DepthwiseConv2D: _depthwise,
    ops.MatMul: _mat_mul,
    ops.Concat: _concat,
    ops.Split: _split,
    ops.Slice: _slice,
    ops.Pad: _pad,
    ops.Reshape: _reshape,
    ops.Transpose: _transpose,
    ops.Softmax: _softmax,
}
