"""The Graph: a model as typed operators in execution order. Every importer makes one, every pass takes and gives one.

A Graph describes one inference: the leading axis of an activation is the batch, 1 as a rule. Whoever runs a Graph may
run many samples at once when no operator mixes samples (``model/batching.py`` decides).

Weights are numpy arrays in ``constants``; treat them as read-only. Whether a Graph is legal at a stage (float, integer)
is the business of ``model/spec.py``; here is only the shape of the data and what every room needs to walk it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, Literal

import msgspec
import numpy as np

from marram.core.operators import Operator

Array = np.ndarray[Any, Any]
DType = Literal["float32", "int8", "uint8", "int16", "int32", "int64", "bool"]


class Quantisation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Affine quantisation: ``real = scale * (integer - zero_point)``.

    ``scales`` are float32 values; one for the tensor, or one for each index along ``axis``. ``zero_points`` has the
    same length. Source: TensorFlow Lite 8-bit quantisation specification.
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int | None = None

    @property
    def scale(self) -> float:
        """The scale of a tensor that has one."""
        (only,) = self.scales
        return only

    @property
    def zero_point(self) -> int:
        """The zero point of a tensor that has one scale."""
        (only,) = self.zero_points
        return only


class Tensor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a tensor before it has a value: name, shape, dtype and, if it is an integer image of reals, how."""

    name: str
    shape: tuple[int, ...]
    dtype: DType = "float32"
    quantisation: Quantisation | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes of the unpacked elements."""
        return self.size * np.dtype(self.dtype).itemsize


class Node(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One operator at work: it reads the tensors named in ``inputs`` (``""`` for an absent one) and writes ``outputs``."""

    name: str
    op: Operator
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Graph(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model. ``tensors`` has an entry for every name in use, constants included; ``nodes`` stand in execution order.

    Example::

        x = Tensor(name="x", shape=(1, 4))
        y = Tensor(name="y", shape=(1, 2))
        w = Tensor(name="w", shape=(2, 4))
        Graph(name="tiny", inputs=("x",), outputs=("y",), tensors={"x": x, "w": w, "y": y},
              constants={"w": np.ones((2, 4), np.float32)},
              nodes=(Node(name="fc", op=Dense(), inputs=("x", "w", ""), outputs=("y",)),))
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: dict[str, Tensor]
    constants: dict[str, Array]
    nodes: tuple[Node, ...]

    @property
    def input_tensors(self) -> tuple[Tensor, ...]:
        """The tensors a caller provides, in order."""
        return tuple(self.tensors[name] for name in self.inputs)

    @property
    def output_tensors(self) -> tuple[Tensor, ...]:
        """The tensors a caller receives, in order."""
        return tuple(self.tensors[name] for name in self.outputs)


class OpaqueModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model file with operators outside the Graph: it is carried as it came, for runtimes that take it.

    ``inputs`` and ``outputs`` are the file's own; ``unsupported`` names the operators that kept it from being a Graph.
    """

    name: str
    format: Literal["onnx", "tflite"]
    blob: bytes
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    unsupported: tuple[str, ...]


def with_nodes(
    graph: Graph,
    nodes: Iterable[Node],
    *,
    tensors: Mapping[str, Tensor] | None = None,
    constants: Mapping[str, Array] | None = None,
    inputs: tuple[str, ...] | None = None,
    outputs: tuple[str, ...] | None = None,
) -> Graph:
    """The graph with other nodes; given tensors and constants are added or replace those of their names, unused ones go."""
    kept = tuple(nodes)
    new_inputs = graph.inputs if inputs is None else inputs
    new_outputs = graph.outputs if outputs is None else outputs
    used = set(new_inputs) | set(new_outputs)
    for node in kept:
        used.update(node.inputs, node.outputs)
    all_tensors = {**graph.tensors, **(tensors or {})}
    all_constants = {**graph.constants, **(constants or {})}
    return msgspec.structs.replace(
        graph,
        nodes=kept,
        inputs=new_inputs,
        outputs=new_outputs,
        tensors={name: all_tensors[name] for name in all_tensors if name in used},
        constants={name: all_constants[name] for name in all_constants if name in used},
    )


def producers(graph: Graph) -> dict[str, Node]:
    """The node that writes each computed tensor."""
    return {name: node for node in graph.nodes for name in node.outputs}


def consumers(graph: Graph) -> dict[str, list[Node]]:
    """The nodes that read each tensor, in execution order; a tensor nobody reads has an empty list."""
    readers: dict[str, list[Node]] = {name: [] for name in graph.tensors}
    for node in graph.nodes:
        for name in dict.fromkeys(node.inputs):
            if name:
                readers[name].append(node)
    return readers


def fresh_name(taken: Mapping[str, object], wanted: str) -> str:
    """``wanted``, or ``wanted_1``, ``wanted_2`` ... where it is taken."""
    if wanted not in taken:
        return wanted
    number = 1
    while f"{wanted}_{number}" in taken:
        number += 1
    return f"{wanted}_{number}"
