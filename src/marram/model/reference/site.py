"""Where an operator works: a node with its tensors and constants resolved. Builders take a Site and give a Kernel.

A builder does once what does not depend on the samples (packed weights, multipliers, tables); the kernel that it
returns runs on arrays whose leading axis holds any number of samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
import numpy as np

from marram.core.errors import UserError
from marram.core.graph import Array, Graph, Node, Quantisation, Tensor
from marram.core.operators import operator_name

Kernel = Callable[..., tuple[Array, ...]]
Op = TypeVar("Op")


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A node at work. ``inputs`` and ``constants`` stand in the order of the node's inputs, None where there is none."""

    graph_name: str
    node: Node
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    constants: tuple[Array | None, ...]

    @property
    def where(self) -> str:
        """The place, for error messages."""
        return f"graph {self.graph_name}, node {self.node.name} ({operator_name(self.node.op)})"

    def op(self, kind: type[Op]) -> Op:
        """The node's operator, known to be of ``kind``."""
        op: Any = self.node.op
        assert isinstance(op, kind)
        return op

    def input(self, index: int) -> Tensor:
        """The tensor of an input that must be there."""
        tensor = self.inputs[index] if index < len(self.inputs) else None
        if tensor is None:
            raise self.error(f"input {index} is missing")
        return tensor

    @property
    def output(self) -> Tensor:
        """The first output's tensor."""
        return self.outputs[0]

    def constant(self, index: int) -> Array:
        """The value of an input that must be a constant."""
        value = self.optional_constant(index)
        if value is None:
            tensor = self.input(index)
            raise self.error(f"input {index}, tensor {tensor.name}, must be a constant of the graph")
        return value

    def optional_constant(self, index: int) -> Array | None:
        """The value of an input that may be absent; an activation in its place is an error."""
        if index >= len(self.inputs) or self.inputs[index] is None:
            return None
        value = self.constants[index]
        if value is None:
            raise self.error(f"input {index}, tensor {self.input(index).name}, must be a constant of the graph")
        return value

    def quantisation(self, tensor: Tensor) -> Quantisation:
        """The tensor's quantisation; an error where it has none."""
        if tensor.quantisation is None:
            raise self.error(f"tensor {tensor.name} is {tensor.dtype} and has no quantisation")
        return tensor.quantisation

    def scale(self, tensor: Tensor) -> np.float32:
        """The one scale of an activation."""
        scales = self.quantisation(tensor).scales
        if len(scales) != 1:
            raise self.error(f"tensor {tensor.name} must have one scale and has {len(scales)}")
        return np.float32(scales[0])

    def zero_point(self, tensor: Tensor) -> int:
        """The one zero point of an activation."""
        self.scale(tensor)
        return int(self.quantisation(tensor).zero_points[0])

    def error(self, what: str, hint: str | None = None) -> UserError:
        """An error that names this place."""
        return UserError(what, where=self.where, hint=hint)

    def need_same_quantisation(self) -> None:
        """Refuses inputs and outputs of different quantisation, for operators that only move or select values."""
        tensors = [tensor for tensor in (*self.inputs, *self.outputs) if tensor is not None]
        first = tensors[0]
        for other in tensors[1:]:
            if not same_quantisation(first, other):
                raise self.error(
                    f"tensors {first.name} and {other.name} must have the same quantisation",
                    "Put a quantise node between them.",
                )


def same_quantisation(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors hold the same reals for the same integers (scales within 1e-6 relative, as float32 noise)."""
    if first.dtype != second.dtype:
        return False
    a, b = first.quantisation, second.quantisation
    if a is None or b is None:
        return a is b
    close = len(a.scales) == len(b.scales) and np.allclose(a.scales, b.scales, rtol=1e-6, atol=0.0)
    return close and a.zero_points == b.zero_points


def site_of(graph: Graph, node: Node, constants: Mapping[str, Array]) -> Site:
    """The node with its tensors and constants; ``constants`` may hold more than the graph's own."""
    return Site(
        graph_name=graph.name,
        node=node,
        inputs=tuple(graph.tensors[name] if name else None for name in node.inputs),
        outputs=tuple(graph.tensors[name] for name in node.outputs if name),
        constants=tuple(constants.get(name) for name in node.inputs),
    )
