"""Kernels: a convolution's kernel cut to its middle, the padding less by as much, so that every shape stays.

What is left computes what the whole kernel did if its outer taps were zero. Kernels in the middle of larger ones share their
weights in a supernet. Source: Cai et al., Once-for-All, ICLR 2020.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import msgspec
import numpy as np

from marram.compress.structure.cutting import Slices, sliced
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Array, Graph, Node, consumers
from marram.core.operators import Pair
from marram.model.shapes import infer

_Convolution = ops.Conv2D | ops.DepthwiseConv2D


def croppable(graph: Graph) -> dict[str, tuple[Pair, ...]]:
    """By node the smaller kernels (height, width) that it can be cropped to, odd, largest first; nodes that have some.

    A convolution can lose a tap where it pads for it: an unpadded one cannot, for its output would grow. Nor can one whose
    weights another node reads.
    """
    found = {}
    for node in graph.nodes:
        if isinstance(node.op, _Convolution) and _owns_weights(graph, node):
            sizes = _sizes(graph, node)
            if sizes:
                found[node.name] = sizes
    return found


def cropped(graph: Graph, kernels: Mapping[str, Pair]) -> Graph:
    """The graph with the kernels of named nodes cut to their middle.

    Args:
        graph: a float Graph.
        kernels: by node the kernel to cut to; the one it has leaves the node as it is.

    Raises:
        UserError: a node is not there, or its kernel is none of ``croppable``.
    """
    cuts = kernel_slices(graph, kernels)
    nodes = tuple(_less_padded(graph, node, kernels[node.name]) if node.name in kernels else node for node in graph.nodes)
    return infer(msgspec.structs.replace(graph, nodes=nodes, constants=sliced(graph, cuts)))


def kernel_slices(graph: Graph, kernels: Mapping[str, Pair]) -> Slices:
    """For every constant the (axis, kept indices) that make it the constant of ``cropped(graph, kernels)``; errors as there."""
    possible, nodes = croppable(graph), {node.name: node for node in graph.nodes}
    cuts: Slices = dict.fromkeys(graph.constants, ())
    for name, wanted in kernels.items():
        if name not in nodes or not isinstance(nodes[name].op, _Convolution):
            raise UserError(f"there is no convolution {name!r}", where=f"graph {graph.name}")
        kernel = _kernel(graph, nodes[name])
        if tuple(wanted) != kernel and tuple(wanted) not in possible.get(name, ()):
            raise UserError(
                f"the kernel {kernel} cannot be cropped to {tuple(wanted)}",
                where=f"node {name}",
                hint=f"It can be to {', '.join(map(str, possible[name]))}." if name in possible else "It cannot be cropped.",
            )
        pairs = ((axis + 1, _middle(kernel[axis], wanted[axis])) for axis in (0, 1) if wanted[axis] != kernel[axis])
        cuts[nodes[name].inputs[1]] = tuple(pairs)
    return cuts


def _kernel(graph: Graph, node: Node) -> Pair:
    _, height, width, _ = graph.tensors[node.inputs[1]].shape
    return height, width


def _owns_weights(graph: Graph, node: Node) -> bool:
    name = node.inputs[1]
    return name in graph.constants and name not in graph.outputs and len(consumers(graph)[name]) == 1


def _sizes(graph: Graph, node: Node) -> tuple[Pair, ...]:
    """All pairs of odd lengths that the padding allows, but for the kernel itself."""
    op, kernel = node.op, _kernel(graph, node)
    assert isinstance(op, _Convolution)
    lengths = [
        [n for n in range(size, 0, -1) if n % 2 and _spared(op, axis, size, n) is not None] for axis, size in enumerate(kernel)
    ]
    return tuple((height, width) for height, width in product(*lengths) if (height, width) != kernel)


def _spared(op: _Convolution, axis: int, size: int, wanted: int) -> Pair | None:
    """Padding before and after along an axis once the kernel is shorter; None where there was too little."""
    cut = (size - wanted) // 2
    before = op.padding[2 * axis] - op.dilation[axis] * cut
    after = op.padding[2 * axis + 1] - op.dilation[axis] * (size - wanted - cut)
    return (before, after) if min(before, after) >= 0 else None


def _middle(size: int, wanted: int) -> Array:
    """Taps that are kept; of an even kernel one more goes at the end."""
    first = (size - wanted) // 2
    return np.arange(first, first + wanted)


def _less_padded(graph: Graph, node: Node, wanted: Pair) -> Node:
    op, kernel = node.op, _kernel(graph, node)
    assert isinstance(op, _Convolution)
    rows, columns = (_spared(op, axis, kernel[axis], wanted[axis]) for axis in (0, 1))
    assert rows is not None
    assert columns is not None
    return msgspec.structs.replace(node, op=msgspec.structs.replace(op, padding=(*rows, *columns)))
