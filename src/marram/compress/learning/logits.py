"""Training form of a Graph: what a loss wants. A final softmax is cut off, scores become ``(N, classes)``.

Constants keep their names, so that what was trained goes back into the Graph as it was: ``with_constants``.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Array, Graph, Node, Tensor, fresh_name, producers, with_nodes


def training_form(graph: Graph, *, classes: bool) -> Graph:
    """The Graph that is trained in a Graph's stead.

    Args:
        graph: a float Graph of one input and one output.
        classes: whether it scores classes: then its output becomes logits of shape ``(1, classes)``. A final softmax, reshapes
            after it or not, is left out; one with a beta is a product with beta. False: the Graph stays as it is.

    Raises:
        UserError: several inputs or outputs, or, with ``classes``, an output that is not one vector of scores.
    """
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise UserError(
            f"has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; one of each can be trained",
            where=f"graph {graph.name}",
        )
    return _flat(_without_softmax(graph)) if classes else graph


def with_constants(graph: Graph, constants: Mapping[str, Array]) -> Graph:
    """The Graph with those of its constants replaced that are given by name; other names are taken no notice of."""
    kept = {name: constants[name] for name in graph.constants if name in constants}
    return with_nodes(graph, graph.nodes, constants=kept)


def final_softmax(graph: Graph) -> Node | None:
    """The softmax over all scores at a Graph's end, behind reshapes or not; None where there is none."""
    makers, name = producers(graph), graph.outputs[0]
    while (node := makers.get(name)) is not None and isinstance(node.op, ops.Reshape):
        (name,) = node.inputs
    if node is None or not isinstance(node.op, ops.Softmax):
        return None
    shape = graph.tensors[name].shape
    return node if shape[-1] == graph.tensors[name].size else None


def _without_softmax(graph: Graph) -> Graph:
    node = final_softmax(graph)
    if node is None:
        return graph
    assert isinstance(node.op, ops.Softmax)
    beta = fresh_name(graph.tensors, f"{node.name}/beta")
    # a product even where beta is 1: names of tensors and the order of nodes stay
    scaled = Node(name=node.name, op=ops.Mul(), inputs=(node.inputs[0], beta), outputs=node.outputs)
    return with_nodes(
        graph,
        [scaled if other.name == node.name else other for other in graph.nodes],
        tensors={beta: Tensor(name=beta, shape=(1,))},
        constants={beta: np.array([node.op.beta], np.float32)},
    )


def _flat(graph: Graph) -> Graph:
    """The Graph whose output has two axes."""
    output = graph.tensors[graph.outputs[0]]
    if output.size != output.shape[-1]:
        raise UserError(
            f"its output {output.shape} is not one vector of class scores",
            where=f"graph {graph.name}",
            hint="Only classifiers can be trained against classes.",
        )
    if len(output.shape) == 2:
        return graph
    shape = (1, output.size)
    flat = msgspec.structs.replace(output, name=fresh_name(graph.tensors, f"{output.name}/flat"), shape=shape)
    name = fresh_name({node.name: node for node in graph.nodes}, "flat")
    node = Node(name=name, op=ops.Reshape(shape=shape), inputs=(output.name,), outputs=(flat.name,))
    return with_nodes(graph, (*graph.nodes, node), tensors={flat.name: flat}, outputs=(flat.name,))
