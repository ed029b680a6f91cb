"""Freezing: nodes whose constants take no gradient, and whose batch norms use and keep their statistics."""

from __future__ import annotations

import difflib
from collections.abc import Collection

import numpy as np

from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Array, Graph, Node, Tensor, fresh_name, with_nodes


def check_frozen(graph: Graph, frozen: Collection[str]) -> None:
    """Refuse names that no node has.

    Raises:
        UserError: names the first such name, and nodes that are called nearly so.
    """
    known = [node.name for node in graph.nodes]
    for name in frozen:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3)
            guess = f"Did you mean {' or '.join(near)}?" if near else f"The first nodes are {', '.join(known[:5])}."
            raise UserError(f"there is no node {name!r} to freeze", where=f"graph {graph.name}", hint=guess)


def frozen_constants(graph: Graph, frozen: Collection[str]) -> frozenset[str]:
    """The constants that frozen nodes read; one that others share is frozen for them, too."""
    read = (name for node in graph.nodes if node.name in frozen for name in node.inputs)
    return frozenset(name for name in read if name in graph.constants)


def with_frozen_norms(graph: Graph, frozen: Collection[str]) -> Graph:
    """The Graph with every frozen batch norm as a product and a sum, which have no statistics of batches.

    The same function up to float32 rounding as the batch norm has outside training. Other nodes stay.
    """
    nodes: list[Node] = []
    tensors: dict[str, Tensor] = {}
    constants: dict[str, Array] = {}
    for node in graph.nodes:
        if node.name not in frozen or not isinstance(node.op, ops.BatchNorm):
            nodes.append(node)
            continue
        scale, shift = _affine(graph, node)
        names = [fresh_name(graph.tensors, f"{node.name}/{part}") for part in ("scale", "shift", "scaled")]
        constants |= {names[0]: scale, names[1]: shift}
        tensors |= {name: Tensor(name=name, shape=scale.shape) for name in names[:2]}
        tensors[names[2]] = Tensor(name=names[2], shape=graph.tensors[node.outputs[0]].shape)
        nodes += [
            Node(name=f"{node.name}/scale", op=ops.Mul(), inputs=(node.inputs[0], names[0]), outputs=(names[2],)),
            Node(name=node.name, op=ops.Add(), inputs=(names[2], names[1]), outputs=node.outputs),
        ]
    return with_nodes(graph, nodes, tensors=tensors, constants=constants) if constants else graph


def _affine(graph: Graph, node: Node) -> tuple[Array, Array]:
    """What a batch norm multiplies with and adds: float32 (C) each."""
    assert isinstance(node.op, ops.BatchNorm)
    gamma, beta, mean, variance = (graph.constants[name].astype(np.float64) for name in node.inputs[1:])
    scale = gamma / np.sqrt(variance + node.op.epsilon)
    return scale.astype(np.float32), (beta - mean * scale).astype(np.float32)
