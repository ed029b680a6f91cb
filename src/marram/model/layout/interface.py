"""The Graph's own inputs and outputs, turned from channels first to channels last where the model inside works so."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from marram.core import operators as ops
from marram.core.graph import Graph, Node, Tensor, fresh_name, with_nodes
from marram.model.layout.cancelling import cancel_transposes, transposed_elements
from marram.model.layout.permutations import channels_first, invert, permute

_MOST_TURNED = 16
"""Inputs or outputs that are tried; each try is a whole search."""


def channels_last_inputs(graph: Graph) -> Graph:
    """The graph whose (N,C,H,W) or (N,C,T) inputs are taken channels last, each where that saves transposes.

    Raises:
        UserError: the graph's shapes do not fit.
    """
    return _turned(graph, graph.inputs, _with_input_turned)


def channels_last_outputs(graph: Graph) -> Graph:
    """The graph whose (N,C,H,W) or (N,C,T) outputs are given channels last, each where that saves transposes.

    Raises:
        UserError: the graph's shapes do not fit.
    """
    return _turned(graph, graph.outputs, _with_output_turned)


def _turned(graph: Graph, names: tuple[str, ...], turn: Callable[[Graph, str], Graph]) -> Graph:
    best = cancel_transposes(graph)
    for name in tuple(dict.fromkeys(names))[:_MOST_TURNED]:
        if len(best.tensors[name].shape) < 3 or (name in best.inputs and name in best.outputs):
            continue
        tried = cancel_transposes(turn(best, name))
        if _cost(tried) < _cost(best):
            best = tried
    return best


def _cost(graph: Graph) -> tuple[int, int]:
    """Elements that transposes move; where those are equal, the number of nodes."""
    return transposed_elements(graph), len(graph.nodes)


def _with_input_turned(graph: Graph, name: str) -> Graph:
    """The graph that takes this input channels last and transposes it itself."""
    tensor = graph.tensors[name]
    first = channels_first(len(tensor.shape))
    inner = fresh_name(graph.tensors, f"{name}_channels_first")
    nodes = [Node(name=_node_name(graph, inner), op=ops.Transpose(permutation=first), inputs=(name,), outputs=(inner,))]
    nodes += [replace(n, inputs=tuple(inner if i == name else i for i in n.inputs)) for n in graph.nodes]
    outer = replace(tensor, shape=permute(tensor.shape, invert(first)))
    return with_nodes(graph, nodes, tensors={name: outer, inner: _named(tensor, inner)})


def _with_output_turned(graph: Graph, name: str) -> Graph:
    """The graph that transposes this output to channels last before giving it."""
    tensor = graph.tensors[name]
    last = invert(channels_first(len(tensor.shape)))
    inner = fresh_name(graph.tensors, f"{name}_channels_first")

    def renamed(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(inner if n == name else n for n in names)

    nodes = [replace(n, inputs=renamed(n.inputs), outputs=renamed(n.outputs)) for n in graph.nodes]
    nodes.append(Node(name=_node_name(graph, inner), op=ops.Transpose(permutation=last), inputs=(inner,), outputs=(name,)))
    outer = replace(tensor, shape=permute(tensor.shape, last))
    return with_nodes(graph, nodes, tensors={name: outer, inner: _named(tensor, inner)})


def _named(tensor: Tensor, name: str) -> Tensor:
    return replace(tensor, name=name)


def _node_name(graph: Graph, wanted: str) -> str:
    return fresh_name(dict.fromkeys(node.name for node in graph.nodes), wanted)
