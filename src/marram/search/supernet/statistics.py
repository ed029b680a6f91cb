"""Statistics: batch norms of a sub-architecture measured anew, since the whole net's belong to other activations."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from marram.core.graph import Array, Graph, with_nodes
from marram.core.operators import BatchNorm
from marram.model.torch_graph import TorchGraph


def recalibrated(graph: Graph, inputs: Array) -> Graph:
    """A float Graph whose batch norms have the statistics of these inputs, layer after layer, all samples as one batch.

    Args:
        graph: with its BatchNorms; without any it comes back as it is.
        inputs: ``(N, ...)`` float32, as the Graph takes them; some hundreds.
    """
    norms = {node.inputs[0]: node for node in graph.nodes if isinstance(node.op, BatchNorm)}
    if not norms:
        return graph
    constants: dict[str, Array] = {}

    def watch(name: str, value: Tensor) -> Tensor:
        if name in norms:
            rows = value.reshape(-1, value.shape[-1])
            _, _, _, mean, variance = norms[name].inputs
            constants[mean] = rows.mean(dim=0).numpy().astype(np.float32)
            constants[variance] = rows.var(dim=0, unbiased=False).numpy().astype(np.float32)
        return value

    module = TorchGraph(graph, after_node=watch)
    module.train()
    with torch.no_grad():
        module(torch.from_numpy(inputs))
    return with_nodes(graph, graph.nodes, constants=constants)
