"""Zoo models as Graphs with lively batch norms; what a dropped channel means, without the code under test."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from marram.core import operators as ops
from marram.core.graph import Graph, Node, Tensor, with_nodes
from marram.model import load, zoo

INPUTS = {
    "conv1d": (64, 6),
    "conv_autoencoder": (8, 8, 3),
    "ds_cnn": (20, 10),
    "fc_autoencoder": (32,),
    "mobilenet_v1": (16, 16, 3),
    "mobilenet_v2": (16, 16, 3),
    "resnet8": (8, 8, 3),
    "transformer": (32, 6),
}


@cache
def zoo_graph(name: str) -> Graph:
    """A zoo model whose batch norms do something."""
    module = zoo.make(name, input_shape=INPUTS[name], classes=4).eval()
    graph = load(module, example=np.zeros((1, *INPUTS[name]), np.float32))
    random = np.random.default_rng(0)
    drawn = {}
    for node in graph.nodes:
        if isinstance(node.op, ops.BatchNorm):
            for position, constant in enumerate(node.inputs[1:]):
                size = graph.constants[constant].shape
                values = random.uniform(0.5, 1.5, size) if position in {0, 3} else random.normal(size=size) * 0.3
                drawn[constant] = values.astype(np.float32)
    return with_nodes(graph, graph.nodes, constants=drawn)


def summed_over(node: Node, rank: int) -> list[tuple[int, int]]:
    """Where a node sums over an axis of an input: (position, axis)."""
    op = node.op
    if isinstance(op, ops.Conv2D | ops.TransposeConv2D | ops.Dense | ops.Lstm | ops.Gru):
        return [(0, rank - 1)]
    if isinstance(op, ops.MatMul):
        return [(0, rank - 2 if op.transpose_a else rank - 1)]
    return [(0, axis) for axis in op.axes] if isinstance(op, ops.Sum) else []


def masked(graph: Graph, groups, keep) -> Graph:
    """The same architecture in which dropped channels are multiplied by zero wherever a node sums over them."""
    dropped = {}
    for group in groups:
        gone = np.setdiff1d(np.arange(group.size), keep.get(group.name, np.arange(group.size)))
        for tensor, slots in group.tensors.items():
            for slot in slots:
                dropped.setdefault((tensor, slot.axis), []).extend(slot.places[gone].ravel().tolist())
    nodes, tensors, constants = [], {}, {}
    for node in graph.nodes:
        inputs = list(node.inputs)
        for position, axis in summed_over(node, len(graph.tensors[node.inputs[0]].shape)):
            source = inputs[position]
            shape = graph.tensors[node.inputs[position]].shape
            gates = np.ones(shape[axis], np.float32)
            gates[dropped.get((node.inputs[position], axis), [])] = 0
            gate, product = f"gate {node.name} {axis}", f"gated {node.name} {axis}"
            constants[gate] = gates.reshape([-1 if i == axis else 1 for i in range(len(shape))])
            tensors[gate] = Tensor(name=gate, shape=constants[gate].shape)
            tensors[product] = Tensor(name=product, shape=shape)
            nodes.append(Node(name=product, op=ops.Mul(), inputs=(source, gate), outputs=(product,)))
            inputs[position] = product
        if isinstance(node.op, ops.Lstm | ops.Gru):
            recurrent, copy = inputs[2], f"gated {node.name} recurrent"
            constants[copy] = graph.constants[recurrent].copy()
            constants[copy][:, dropped.get((recurrent, 1), [])] = 0
            tensors[copy] = graph.tensors[recurrent].__class__(name=copy, shape=constants[copy].shape)
            inputs[2] = copy
        nodes.append(Node(name=node.name, op=node.op, inputs=tuple(inputs), outputs=node.outputs))
    return with_nodes(graph, nodes, tensors=tensors, constants=constants)


@pytest.fixture(params=sorted(INPUTS))
def zoo_model(request) -> Graph:
    """Each zoo model in turn."""
    return zoo_graph(request.param)
