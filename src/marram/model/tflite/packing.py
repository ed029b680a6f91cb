"""Weights of 4 bits in a TFLite file: which layers have them.

The format packs two to a byte (TensorType INT4). LiteRT reads them in convolutions, depthwise convolutions and fully connected
layers on int8; TensorFlow Lite for Microcontrollers need not have all three. Weights of 2 bits go into 4: the format has
no kernels for fewer.
"""

from __future__ import annotations

from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.core.operators import Conv2D, Dense, DepthwiseConv2D, TransposeConv2D, operator_name
from marram.model.four_bits import fit


def packable(graph: Graph) -> frozenset[str]:
    """Names of the constants that a packed file holds in 4 bits.

    Raises:
        UserError: no layer's weights fit, or some do that TFLite has no 4-bit form for; names the node.
    """
    found: set[str] = set()
    for node in graph.nodes:
        if not isinstance(node.op, Conv2D | DepthwiseConv2D | Dense | TransposeConv2D):
            continue
        name = node.inputs[1]
        if name not in graph.constants or not fit(graph.constants[name]):
            continue
        reason = _reason(graph, node.op, node.inputs[0])
        if reason:
            raise UserError(
                f"its weights fit 4 bits, and TFLite has no 4-bit weights {reason}",
                where=f"node {node.name} ({operator_name(node.op)})",
                hint="Write without packing, or quantise this layer's weights to 8 bits.",
            )
        found.add(name)
    if not found:
        raise UserError(
            "no layer's weights fit 4 bits, so nothing can be packed",
            where=f"graph {graph.name}",
            hint="Quantise with weight_bits, or write without packing.",
        )
    return frozenset(found)


def _reason(graph: Graph, op: object, source: str) -> str:
    if isinstance(op, TransposeConv2D):
        return "for a transposed convolution"
    if isinstance(op, Conv2D) and op.groups > 1:
        return "for a grouped convolution"
    return "" if graph.tensors[source].dtype == "int8" else f"beside {graph.tensors[source].dtype} activations"
