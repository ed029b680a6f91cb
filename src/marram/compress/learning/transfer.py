"""Transfer: the head of a known Graph is replaced by a fresh one for other classes, what stands before it is its backbone."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from marram.compress.rewrites.rewriting import float_constant, substitute, view
from marram.compress.rewrites.weights import layer
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Array, Graph, Node, producers
from marram.model.shapes import infer
from marram.model.spec import RULES, verify

_AFTER_A_HEAD = (ops.Softmax, ops.Reshape, ops.Mean, ops.AveragePool2D, ops.Relu)
"""What may stand between the last layer and the scores."""


def replace_head(graph: Graph, classes: int, *, seed: int) -> Graph:
    """The Graph with a fresh last layer, for other classes.

    Args:
        graph: a float classifier of one output, which ends in a dense layer or a convolution, with a softmax, reshapes and
            means over places after it or not.
        classes: how many the new head scores, at least 2.
        seed: of the new weights: uniform within ``1 / sqrt(inputs of a class)``, as torch has them; the new bias is 0.

    Returns:
        A Graph whose tensors and nodes have the names that they had.

    Raises:
        UserError: fewer than 2 classes, or a Graph that does not end in such a layer.
    """
    if classes < 2:
        raise UserError(f"a classifier needs at least 2 classes, not {classes}", where=f"graph {graph.name}")
    node = head(graph)
    weights = graph.constants[node.inputs[1]]
    shape = (classes, *weights.shape[1:])
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    fresh = np.random.default_rng(seed).uniform(-bound, bound, shape)
    names: list[str] = []
    constants: dict[str, Array] = {}
    for part, value in (("weights", fresh), ("bias", np.zeros(classes))):
        name, made = float_constant(graph, f"{node.name}/{part}", value)
        names.append(name)
        constants |= made
    changes = {node.name: (msgspec.structs.replace(node, inputs=(node.inputs[0], *names)),)}
    for other in _after(graph, node):
        if isinstance(other.op, ops.Reshape):
            shaped = ops.Reshape(shape=(*other.op.shape[:-1], classes))
            changes[other.name] = (msgspec.structs.replace(other, op=shaped),)
    made_graph = infer(substitute(graph, changes, constants=constants))
    verify(made_graph, "float")
    return made_graph


def backbone_nodes(graph: Graph) -> tuple[str, ...]:
    """The nodes with weights or statistics before the head, in order: what ``FineTune.frozen`` takes.

    Raises:
        UserError: as ``replace_head``.
    """
    last = head(graph).name
    holders = [
        node.name
        for node in graph.nodes
        if any(name in graph.constants for place, name in enumerate(node.inputs) if place in RULES[type(node.op)].constants)
    ]
    return tuple(name for name in holders if name != last)


def head(graph: Graph) -> Node:
    """The layer that scores the classes.

    Raises:
        UserError: several outputs, or no such layer at the end.
    """
    if len(graph.outputs) != 1:
        raise UserError(f"has {len(graph.outputs)} outputs; a classifier has one", where=f"graph {graph.name}")
    makers, seen = producers(graph), view(graph)
    classes = graph.output_tensors[0].shape[-1]
    node = makers.get(graph.outputs[0])
    while node is not None and isinstance(node.op, _AFTER_A_HEAD) and graph.tensors[node.inputs[0]].shape[-1] == classes:
        node = makers.get(node.inputs[0])
    is_layer = node is not None and isinstance(node.op, ops.Dense | ops.Conv2D) and layer(seen, node) is not None
    if node is None or not is_layer or (isinstance(node.op, ops.Conv2D) and node.op.groups > 1):
        found = f"{type(node.op).__name__} {node.name}" if node is not None else "an input"
        raise UserError(
            f"does not end in a layer that scores classes, but in {found}",
            where=f"graph {graph.name}",
            hint="Products and sums with constants become layers by compress.fold.",
        )
    return node


def _after(graph: Graph, node: Node) -> list[Node]:
    """The nodes from the head to the output."""
    makers, nodes = producers(graph), []
    other = makers[graph.outputs[0]]
    while other.name != node.name:
        nodes.append(other)
        other = makers[other.inputs[0]]
    return nodes
