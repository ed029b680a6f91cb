"""A node with the declared shapes around it: what a kernel needs to know besides its values."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from torch import Tensor

from marram.core.graph import Graph, Node
from marram.core.operators import Activation

T = TypeVar("T")


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """``input_shape`` and ``output_shape`` are those of the first input and output in the Graph, for one inference."""

    node: Node
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]

    @staticmethod
    def of(graph: Graph, node: Node) -> Site:
        """The site of one node."""
        shape = graph.tensors[node.inputs[0]].shape
        return Site(node=node, input_shape=shape, output_shape=graph.tensors[node.outputs[0]].shape)

    def op(self, kind: type[T]) -> T:
        """The node's operator, which is of this kind."""
        assert isinstance(self.node.op, kind)
        return self.node.op


def activated(x: Tensor, activation: Activation) -> Tensor:
    """``x`` after the activation that is fused into its operator."""
    if activation == "none":
        return x
    if activation == "relu":
        return x.relu()
    return x.clamp(0, 6) if activation == "relu6" else x.clamp(-1, 1)
