"""Low rank: a dense layer or a convolution becomes two, through fewer channels in between, by truncated singular values.

The weights as a matrix, output channels by everything that one of them reads, are replaced by their nearest of a given rank in
Frobenius norm (Eckart and Young 1936). A convolution keeps its kernel in the first layer; the second has kernel 1x1. Source:
Zhang et al., Accelerating Very Deep Convolutional Networks for Classification and Detection, 2015 (there by responses).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
import numpy as np

from marram.compress.rewrites.rewriting import float_constant, substitute, view
from marram.compress.rewrites.weights import layer
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Array, Graph, Node, Tensor, fresh_name
from marram.model.spec import verify


def factorised(graph: Graph, ranks: Mapping[str, int]) -> Graph:
    """Split layers in two.

    Args:
        graph: a float Graph.
        ranks: channels in between, by the name of a Dense or an ungrouped Conv2D. The second of the two keeps the name, the
            bias and the activation; the first is called after it.

    Raises:
        UserError: no such node, one that cannot be split, or a rank that gains nothing: as many multiply-accumulates or more.
    """
    for name, rank in ranks.items():
        graph = _split(graph, name, rank)
    verify(graph, "float")
    return graph


def rank_for(graph: Graph, node: str, macs_share: float) -> int:
    """The largest rank at which both layers together need at most this share of the one layer's multiply-accumulates.

    Raises:
        UserError: as ``factorised``; a share that is not between 0 and 1, or below what rank 1 needs.
    """
    if not 0 < macs_share < 1:
        raise UserError(f"macs_share is {macs_share}, not between 0 and 1", where=f"node {node}")
    rows, columns = _matrix(layer_named(graph, node)[1]).shape
    rank = int(macs_share * rows * columns / (rows + columns))
    if rank < 1:
        least = (rows + columns) / (rows * columns)
        raise UserError(
            f"rank 1 needs {least:.3g} of its multiply-accumulates already, not {macs_share:.3g}", where=f"node {node}"
        )
    return rank


def low_rank(matrix: Array, rank: int) -> tuple[Array, Array]:
    """The nearest product ``left @ right`` of a rank, ``(O, rank)`` and ``(rank, I)`` float64.

    Each singular value is shared by both sides alike; of either sign that one is taken in which the right side's entry
    of largest magnitude is positive.
    """
    u, values, v = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    u, v, root = u[:, :rank], v[:rank], np.sqrt(values[:rank])
    largest = np.take_along_axis(v, np.abs(v).argmax(axis=1)[:, None], axis=1)[:, 0]
    signs = np.where(largest < 0, -1.0, 1.0) * root
    return u * signs, v * signs[:, None]


def layer_named(graph: Graph, name: str) -> tuple[Node, Array]:
    """A Dense or an ungrouped Conv2D by its name, and its weights.

    Raises:
        UserError: there is none of that name.
    """
    node = next((node for node in graph.nodes if node.name == name), None)
    if node is None:
        raise UserError(f"there is no node {name!r}", where=f"graph {graph.name}")
    parts = layer(view(graph), node)
    grouped = isinstance(node.op, ops.Conv2D) and node.op.groups > 1
    if parts is None or grouped or not isinstance(node.op, ops.Dense | ops.Conv2D):
        raise UserError("only dense layers and ungrouped convolutions can be split in two", where=f"node {name}")
    return node, parts[1]


def two_layers(
    graph: Graph,
    node: Node,
    *,
    first: ops.Operator,
    second: ops.Operator,
    weights: tuple[Array, Array],
    part: Literal["low_rank", "depthwise"],
) -> Graph:
    """The Graph with a node replaced by two: ``first`` is called after ``part``, ``second`` keeps name, bias and output."""
    middle = fresh_name(graph.tensors, f"{node.outputs[0]}/{part}")
    output = graph.tensors[node.outputs[0]]
    channels = weights[1].shape[-1]
    name = fresh_name({other.name: other for other in graph.nodes}, f"{node.name}/{part}")
    one, constants = float_constant(graph, f"{name}/weights", weights[0])
    two, more = float_constant(graph, f"{node.name}/weights", weights[1])
    nodes = (
        Node(name=name, op=first, inputs=(node.inputs[0], one, ""), outputs=(middle,)),
        msgspec.structs.replace(node, op=second, inputs=(middle, two, *node.inputs[2:])),
    )
    tensors = {middle: Tensor(name=middle, shape=(*output.shape[:-1], channels))}
    return substitute(graph, {node.name: nodes}, constants={**constants, **more}, tensors=tensors)


def _split(graph: Graph, name: str, rank: int) -> Graph:
    node, weights = layer_named(graph, name)
    matrix = _matrix(weights)
    rows, columns = matrix.shape
    most = -(-rows * columns // (rows + columns)) - 1
    if not 1 <= rank <= most:
        raise UserError(
            f"rank {rank} gains nothing: {rows} x {columns} weights need one from 1 to {most}"
            if most
            else f"{rows} x {columns} weights gain nothing from any rank",
            where=f"node {name}",
        )
    left, right = low_rank(matrix, rank)
    if isinstance(node.op, ops.Dense):
        return two_layers(graph, node, first=ops.Dense(), second=node.op, weights=(right, left), part="low_rank")
    assert isinstance(node.op, ops.Conv2D)
    first = msgspec.structs.replace(node.op, activation="none")
    second = ops.Conv2D(activation=node.op.activation)
    kernels = right.reshape(rank, *weights.shape[1:]), left.reshape(-1, 1, 1, rank)
    return two_layers(graph, node, first=first, second=second, weights=kernels, part="low_rank")


def _matrix(weights: Array) -> Array:
    """Output channels by everything that one of them reads."""
    return weights.reshape(len(weights), -1)
