"""What a family's writer gives: one operator of a TFLite file, its tensors still by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from marram.core.errors import UserError
from marram.core.graph import Array, Graph, Node, Quantisation
from marram.core.operators import Activation, Pair
from marram.model.tflite.schema import ACTIVATIONS


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A constant that describes the operator in the file and is an attribute in the Graph: axes, sizes, paddings."""

    label: str
    value: Array
    quantisation: Quantisation | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """An operator as the file has it. ``options`` is the pair of the table's name and its fields."""

    operator: str
    inputs: tuple[str | Parameter, ...]
    version: int = 1
    options: tuple[str, dict[str, Any]] | None = None


Write = Callable[[Node, Graph, Any], Record]
"""A family's writer: the node, its graph and its operator (of the writer's own type)."""


def integers(label: str, *values: int) -> Parameter:
    """A vector of int32 that describes an operator."""
    return Parameter(label=label, value=np.array(values, np.int32))


def version(node: Node, graph: Graph, *, float32: int = 1, int8: int = 2, int16: int = 3) -> int:
    """The version that runtimes ask for by the dtype of the first input.

    Source: tensorflow/lite/tools/versioning/op_version.cc.
    """
    return {"int8": int8, "int16": int16, "uint8": 1}.get(graph.tensors[node.inputs[0]].dtype, float32)


def shape(node: Node, graph: Graph, place: int = 0) -> tuple[int, ...]:
    """The shape of an input."""
    return graph.tensors[node.inputs[place]].shape


def area(node: Node, graph: Graph, place: int = 0) -> Pair:
    """Height and width of an input that is an image or a filter."""
    _, height, width, _ = shape(node, graph, place)
    return height, width


def present(node: Node) -> tuple[str, ...]:
    """The inputs up to the last one that is there."""
    names = list(node.inputs)
    while names and not names[-1]:
        names.pop()
    return tuple(names)


def fused(activation: Activation) -> int:
    """The code of a fused activation."""
    return next(code for code, name in ACTIVATIONS.items() if name == activation)


def unwritable(node: Node, what: str, *, hint: str) -> UserError:
    """The error for a node that TFLite cannot hold."""
    return UserError(f"cannot be written to TFLite: {what}", where=f"node {node.name}", hint=hint)
