"""Graph -> TFLite file, valid for LiteRT (XNNPACK included) and for TensorFlow Lite for Microcontrollers.

The Graph is lowered to operators that TFLite has, each is turned into a ``Record`` by its family, and the records become one
subgraph with one signature, ``serving_default``. Equal graphs give equal bytes, and ``write(read(write(g))) == write(g)``.
A layer norm becomes nine float operators of ``normalisation``.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from marram.core.graph import Array, Graph, Node, Quantisation, Tensor, fresh_name
from marram.core.operators import LayerNorm, operator_name
from marram.model.four_bits import packed
from marram.model.tflite import elementwise, flatbuffer, layers, movement, normalisation, reductions
from marram.model.tflite.flatbuffer import Table
from marram.model.tflite.lowering import lower
from marram.model.tflite.packing import packable
from marram.model.tflite.records import Parameter, Record, Write, unwritable
from marram.model.tflite.schema import DTYPES, OPERATORS, VERSION

WRITERS: dict[type, Write] = {**layers.WRITERS, **elementwise.WRITERS, **movement.WRITERS, **reductions.WRITERS}

_VERSION_WITH_INT4 = {"CONV_2D": 7, "DEPTHWISE_CONV_2D": 7, "FULLY_CONNECTED": 10}
"""Source: tensorflow/lite/tools/versioning/op_version.cc."""
_CODES = {name: code for code, name in enumerate(OPERATORS)}
_TYPES = {name: code for code, name in DTYPES.items()}


def write(graph: Graph, *, pack: bool = False) -> bytes:
    """The TFLite file of a Graph, float or integer.

    Args:
        graph: a legal Graph; its name becomes the subgraph's.
        pack: weights that fit 4 bits stand so in the file, two to a byte; without it all of them take a byte each.

    Raises:
        UserError: a node has no form in TFLite, or weights are to be packed that cannot be; names it and says what to do.
    """
    lowered = lower(graph)
    draft = _Draft(lowered, packable(lowered) if pack else frozenset())
    for name in lowered.inputs:
        draft.tensor(name)
    for node in lowered.nodes:
        for record, outputs in _records(node, lowered):
            draft.operator(record, outputs)
    return flatbuffer.encode(draft.model())


def _records(node: Node, graph: Graph) -> list[tuple[Record, tuple[Tensor, ...]]]:
    """The operators that a node becomes, each with the tensors it writes."""
    if isinstance(node.op, LayerNorm):
        return normalisation.records(node, graph)
    if type(node.op) not in WRITERS:
        raise unwritable(node, f"{operator_name(node.op)} is no operator of TFLite", hint="Write ONNX instead.")
    return [(WRITERS[type(node.op)](node, graph, node.op), tuple(graph.tensors[name] for name in node.outputs))]


class _Draft:
    """The file's tables as they fill up."""

    def __init__(self, graph: Graph, packed_names: frozenset[str]) -> None:
        self.graph = graph
        self.packed = packed_names
        self.taken: dict[str, object] = dict(graph.tensors)
        self.places: dict[str, int] = {}  # tensor name -> index
        self.tensors: list[Table] = []
        self.buffers: list[Table] = [{}]  # buffer 0 is empty by convention
        self.codes: dict[tuple[int, int], int] = {}  # (operator code, version) -> index
        self.operators: list[Table] = []

    def tensor(self, name: str) -> int:
        """The index of a tensor of the graph."""
        if name not in self.places:
            self.add(self.graph.tensors[name], self.graph.constants.get(name))
        return self.places[name]

    def add(self, tensor: Tensor, value: Array | None = None) -> int:
        """Add a tensor, a constant if it has a value."""
        table: Table = {
            "shape": np.array(tensor.shape, np.int32),
            "type": _TYPES["int4" if tensor.name in self.packed else tensor.dtype],
            "buffer": len(self.buffers) if value is not None else 0,
            "name": tensor.name,
        }
        if tensor.quantisation is not None:
            table["quantization"] = _quantisation(tensor.quantisation)
        if value is not None:
            self.buffers.append({"data": packed(value) if tensor.name in self.packed else _raw(value)})
        self.taken[tensor.name] = tensor
        self.places[tensor.name] = len(self.tensors)
        self.tensors.append(table)
        return self.places[tensor.name]

    def parameter(self, parameter: Parameter, output: Tensor) -> int:
        """Add a constant that describes an operator, named after what the operator writes."""
        name = fresh_name(self.taken, f"{output.name}/{parameter.label}")
        dtype = cast("Any", parameter.value.dtype.name)
        tensor = Tensor(name=name, shape=parameter.value.shape, dtype=dtype, quantisation=parameter.quantisation)
        return self.add(tensor, parameter.value)

    def operator(self, record: Record, outputs: tuple[Tensor, ...]) -> None:
        """Add an operator with its tensors."""
        halves = any(isinstance(item, str) and item in self.packed for item in record.inputs)
        number = _VERSION_WITH_INT4[record.operator] if halves else record.version
        code = self.codes.setdefault((_CODES[record.operator], number), len(self.codes))
        inputs = [self.input(item, outputs[0]) for item in record.inputs]
        places = [self.places[tensor.name] if tensor.name in self.places else self.add(tensor) for tensor in outputs]
        self.operators.append(
            {
                "opcode_index": code,
                "inputs": np.array(inputs, np.int32),
                "outputs": np.array(places, np.int32),
                "builtin_options": record.options,
            }
        )

    def input(self, item: str | Parameter, output: Tensor) -> int:
        """The index of an operator's input, -1 for an absent one."""
        if isinstance(item, Parameter):
            return self.parameter(item, output)
        return self.tensor(item) if item else -1

    def model(self) -> Table:
        """The root table."""
        inputs, outputs = ([self.tensor(name) for name in names] for names in (self.graph.inputs, self.graph.outputs))
        main = {
            "tensors": self.tensors,
            "inputs": np.array(inputs, np.int32),
            "outputs": np.array(outputs, np.int32),
            "operators": self.operators,
            "name": self.graph.name,
        }
        signature = {
            "inputs": self.signature(self.graph.inputs),
            "outputs": self.signature(self.graph.outputs),
            "signature_key": "serving_default",
        }
        return {
            "version": VERSION,
            "operator_codes": [_code(code, number) for code, number in self.codes],
            "subgraphs": [main],
            "description": "marram",
            "buffers": self.buffers,
            "signature_defs": [signature],
        }

    def signature(self, names: tuple[str, ...]) -> list[Table]:
        """The names by which a caller hands over tensors."""
        return [{"name": name, "tensor_index": self.places[name]} for name in names]


def _code(code: int, number: int) -> Table:
    """An operator and its version; the old field is a byte."""
    return {"deprecated_builtin_code": min(code, 127), "version": number, "builtin_code": code}


def _quantisation(quantisation: Quantisation) -> Table:
    return {
        "scale": np.array(quantisation.scales, np.float32),
        "zero_point": np.array(quantisation.zero_points, np.int64),
        "quantized_dimension": quantisation.axis if quantisation.axis is not None and len(quantisation.scales) > 1 else 0,
    }


def _raw(value: Array) -> Array:
    """An array's little-endian bytes."""
    return np.frombuffer(np.ascontiguousarray(value, value.dtype.newbyteorder("<")).tobytes(), np.uint8)
