"""What no plan of a Graph can go below, for a search that leaves out what cannot fit before it prices it."""

from __future__ import annotations

import msgspec

from marram.core.graph import Graph
from marram.core.target import Target
from marram.measure.prediction.prediction import known_costs
from marram.model.counts import counts
from marram.model.spec import RULES


class Bounds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bytes of one inference in int8.

    ``ram_bytes``: no plan can go below. The model's inputs stand whole before the first layer and its outputs after the last;
    everything between may be made row by row. ``flash_bytes``: the weights, 8 bits each; nothing of the code.
    ``live_bytes``: the largest set of whole tensors that live together, which plans do go below, by overlapping and rolling.
    """

    ram_bytes: int
    flash_bytes: int
    live_bytes: int


def lower_bounds(graph: Graph, target: Target) -> Bounds:
    """The bounds of a Graph, integer or float.

    Raises:
        UserError: the target takes no C, or its core's costs were not learned.
    """
    known_costs(target)
    integer = any(tensor.quantisation is not None for tensor in graph.tensors.values())
    item = 1 if integer else 4
    inputs, outputs = (
        sum(graph.tensors[name].size_bytes // (item if graph.tensors[name].dtype == "float32" else 1) for name in names)
        for names in (graph.inputs, graph.outputs)
    )
    weights = {
        node.inputs[position]
        for node in graph.nodes
        if (position := RULES[type(node.op)].weights) is not None and node.inputs[position] in graph.constants
    }
    return Bounds(
        ram_bytes=max(inputs, outputs),
        flash_bytes=sum(graph.tensors[name].size for name in weights),
        live_bytes=counts(graph).peak_live_bytes // item,
    )
