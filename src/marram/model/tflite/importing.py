"""The state of one import, and an operator's view of it: what the families of operators read from and emit to.

``Import`` collects the Graph while the operators are visited in order. ``Site`` is one operator at work; the families'
functions take one, ask it for operands, constants and options, and emit nodes. Shapes are computed, not believed: a node's
output shapes come from ``model/shapes``, and a file that claims others is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, cast

import msgspec
import numpy as np

from marram.core.errors import ModelFileError, UnsupportedOperator, UserError
from marram.core.graph import Array, DType, Graph, Node, Quantisation, Tensor, fresh_name
from marram.core.operators import Activation, Operator, Quantise
from marram.model.shapes import output_shapes
from marram.model.tflite.contents import Contents, FileOperator, FileTensor, unpack
from marram.model.tflite.flatbuffer import defaults
from marram.model.tflite.schema import ACTIVATIONS

_COMPUTED = frozenset({"float32", "int8", "int16"})
_GRAPH_DTYPES = frozenset({"float32", "int8", "uint8", "int16", "int32", "int64", "bool"})


class Import:
    """What is known so far of the Graph that a file becomes.

    Args:
        contents: the file's checked contents.
        supported: the names of the operators that the importer takes, for messages.
    """

    def __init__(self, contents: Contents, *, supported: tuple[str, ...]) -> None:
        self.contents = contents
        self.supported = supported
        self.folded: dict[int, Array] = {}  # tensor index -> value known at import time
        self.tensors: dict[str, Tensor] = {}
        self.constants: dict[str, Array] = {}
        self.nodes: list[Node] = []
        self.computed: set[int] = set()
        self.taken: dict[str, object] = {tensor.name: None for tensor in contents.tensors}
        self.dequantised: dict[int, str] = {}
        self.bytes_left = 8 * contents.size_bytes + 2**20
        for index in contents.inputs:
            self._open(index)

    def _open(self, index: int) -> None:
        tensor = self.contents.tensors[index]
        if tensor.data is not None or 0 in tensor.shape:
            raise ModelFileError(f"the input {tensor.name!r} is a constant", where=self.contents.where)
        if index in self.computed:
            raise ModelFileError(f"the input {tensor.name!r} is named twice", where=self.contents.where)
        self.computed.add(index)
        self.tensors[tensor.name] = self.described(tensor)

    def described(self, tensor: FileTensor) -> Tensor:
        """The Graph's description of a tensor of the file. Raises UnsupportedOperator on a dtype that no Graph has."""
        if tensor.dtype not in _GRAPH_DTYPES:
            operator = f"on {tensor.dtype} activations"
            raise UnsupportedOperator(operator, node=repr(tensor.name), where=self.contents.where, supported=self.supported)
        dtype = cast("DType", tensor.dtype)
        return Tensor(name=tensor.name, shape=tensor.shape, dtype=dtype, quantisation=tensor.quantisation)

    def spend(self, count: int) -> None:
        """Take bytes from the allowance for values that the import makes; a hostile file is stopped by it."""
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise ModelFileError("makes more constants than a file of its size can hold", where=self.contents.where)

    def value(self, index: int) -> Array | None:
        """The value of a tensor that is known at import time, in the file's dtype; None of an activation."""
        tensor = self.contents.tensors[index]
        if index not in self.folded and index not in self.computed and tensor.data is not None:
            if tensor.sparse:
                raise UnsupportedOperator("sparse tensor", node=repr(tensor.name), where=self.contents.where)
            if tensor.dtype.startswith("type"):
                raise UnsupportedOperator(f"constant of {tensor.dtype}", node=repr(tensor.name), where=self.contents.where)
            self.spend(2 * tensor.data.size + 16)
            self.folded[index] = unpack(tensor)
        return self.folded.get(index)

    def fold(self, index: int, value: Array) -> None:
        """Note that an operator's output is known at import time."""
        if value.shape != self.contents.tensors[index].shape and not self.contents.tensors[index].dynamic:
            name = self.contents.tensors[index].name
            shapes = f"{self.contents.tensors[index].shape}, but the operator gives {value.shape}"
            raise ModelFileError(f"{name!r} is said to have shape {shapes}", where=self.contents.where)
        self.folded[index] = value

    def constant(self, name: str, value: Array, quantisation: Quantisation | None) -> str:
        """The name of a constant of the Graph, made if it is not there yet."""
        if name not in self.constants:
            if value.dtype.name not in _GRAPH_DTYPES:
                raise UnsupportedOperator(f"constant of {value.dtype}", node=repr(name), where=self.contents.where)
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise ModelFileError(f"the constant {name!r} holds NaN or infinity", where=self.contents.where)
            self.constants[name] = value
            dtype = cast("DType", value.dtype.name)
            self.tensors[name] = Tensor(name=name, shape=value.shape, dtype=dtype, quantisation=quantisation)
        return name

    def real_constant(self, index: int) -> str:
        """The name of the float32 constant that a quantised or half-precision one stands for."""
        if index not in self.dequantised:
            tensor, value = self.contents.tensors[index], self.value(index)
            assert value is not None
            self.spend(4 * value.size)
            name = tensor.name if tensor.name not in self.constants else fresh_name(self.taken, f"{tensor.name}/real")
            self.taken[name] = None
            self.dequantised[index] = self.constant(name, dequantised(value, tensor.quantisation), None)
        return self.dequantised[index]

    def graph(self) -> Graph:
        """The finished Graph. Raises ModelFileError if an output was never computed."""
        names = [self.contents.tensors[index].name for index in self.contents.outputs]
        if not names or not self.contents.inputs:
            raise ModelFileError("has no inputs or no outputs", where=self.contents.where)
        for index, name in zip(self.contents.outputs, names, strict=True):
            if index not in self.computed:
                raise ModelFileError(f"nothing computes the output {name!r}", where=self.contents.where)
        return Graph(
            name=self.contents.name,
            inputs=tuple(self.contents.tensors[index].name for index in self.contents.inputs),
            outputs=tuple(names),
            tensors=self.tensors,
            constants=self.constants,
            nodes=tuple(self.nodes),
        )


def dequantised(value: Array, quantisation: Quantisation | None) -> Array:
    """The real values, float32, that integers of that quantisation stand for; computed as TFLite's DEQUANTIZE does."""
    if quantisation is None:
        return value.astype(np.float32)
    shape = [1] * value.ndim
    if quantisation.axis is not None:
        shape[quantisation.axis] = -1
    scales = np.array(quantisation.scales, np.float32).reshape(shape)
    zero_points = np.array(quantisation.zero_points, np.int32).reshape(shape)
    return (scales * (value.astype(np.int32) - zero_points).astype(np.float32)).reshape(value.shape)


class Site:
    """One operator of the file at work.

    Args:
        state: the import so far.
        operator: the operator as the file has it.
    """

    def __init__(self, state: Import, operator: FileOperator) -> None:
        self.state = state
        self.operator = operator
        self.name = f"{operator.name.lower()}_{operator.index}"

    # What is said of it in messages.

    @property
    def where(self) -> str:
        """The file and the operator, for messages."""
        return f"{self.state.contents.where}, operator {self.operator.index} {self.operator.name}"

    def damaged(self, what: str) -> NoReturn:
        """Refuse the file: it contradicts itself or its format."""
        raise ModelFileError(what, where=self.where, hint="The file is damaged or was made for another version of TFLite.")

    def refuse(self, form: str) -> NoReturn:
        """Refuse the operator: sound TFLite, in a form that the Graph does not have."""
        raise UnsupportedOperator(
            f"{self.operator.name} ({form})",
            node=str(self.operator.index),
            where=self.state.contents.where,
            supported=self.state.supported,
        )

    # What it reads.

    def has(self, place: int) -> bool:
        """Whether there is an input at that place."""
        return place < len(self.operator.inputs) and self.operator.inputs[place] >= 0

    def index(self, place: int) -> int:
        """The tensor at that place among the inputs."""
        if not self.has(place):
            self.damaged(f"has no input {place}")
        return self.operator.inputs[place]

    def value(self, place: int) -> Array | None:
        """The input's value if it is known at import time."""
        return self.state.value(self.index(place))

    def integers(self, place: int, *, limit: int = 64) -> tuple[int, ...]:
        """A constant input of integers that describes the operator (axes, sizes), flattened."""
        return self.integers_of(self.index(place), limit=limit)

    def integers_of(self, index: int, *, limit: int = 64) -> tuple[int, ...]:
        """The integers of a constant tensor of the file."""
        value, name = self.state.value(index), self.state.contents.tensors[index].name
        if value is None:
            self.refuse(f"with the computed {name!r}")
        if value.dtype.kind not in "iu" or value.size > limit:
            self.damaged(f"{name!r} is {value.dtype} of shape {value.shape}, not a few integers")
        return tuple(value.reshape(-1).tolist())

    def described(self, place: int) -> FileTensor:
        """The input as the file describes it."""
        return self.state.contents.tensors[self.index(place)]

    def shape(self, place: int) -> tuple[int, ...]:
        """The input's shape: that of its value, or as it was computed."""
        value = self.value(place)
        return value.shape if value is not None else self.state.tensors[self.operand(place)].shape

    def output(self, place: int = 0) -> FileTensor:
        """The output as the file describes it."""
        if place >= len(self.operator.outputs):
            self.damaged(f"has no output {place}")
        return self.state.contents.tensors[self.operator.outputs[place]]

    @property
    def is_real(self) -> bool:
        """Whether the operator computes in float32."""
        return self.output().dtype == "float32"

    def operand(self, place: int) -> str:
        """The Graph's name of an input. A quantised or float16 constant beside float activations becomes float32."""
        return self.name_of(self.index(place))

    def name_of(self, index: int) -> str:
        """The Graph's name of a tensor of the file, as ``operand`` gives it."""
        tensor = self.state.contents.tensors[index]
        value = self.state.value(index)
        if value is None:
            if index not in self.state.computed:
                self.damaged(f"reads {tensor.name!r} before anything computes it")
            return tensor.name
        if self.is_real and value.dtype != np.float32 and (tensor.quantisation or value.dtype == np.float16):
            return self.state.real_constant(index)
        return self.state.constant(tensor.name, value, tensor.quantisation)

    def weights(self, place: int) -> str:
        """The name of an input that must be a constant."""
        if self.value(place) is None:
            self.refuse("with computed weights")
        return self.operand(place)

    def options(self, table: str) -> dict[str, Any]:
        """The operator's options, the defaults where the file has none."""
        given = self.operator.options
        if given is None:
            return defaults(table)
        if given[0] != table:
            self.damaged(f"has {given[0]}, not {table}")
        return given[1]

    def activation(self, table: str) -> Activation:
        """The fused activation."""
        code = self.options(table)["fused_activation_function"]
        if code not in ACTIVATIONS:
            self.damaged(f"has the unknown fused activation {code}")
        name = ACTIVATIONS[code]
        if name in {"tanh", "sign_bit"}:
            self.refuse(f"with fused {name}")
        return cast("Activation", name)

    def axis(self, value: int, rank: int) -> int:
        """An axis counted from the front."""
        if not -rank <= value < rank:
            self.damaged(f"axis {value} is outside a tensor of {rank} axes")
        return value % rank

    # What it writes.

    def temporary(self, part: str, *, like: str | None = None) -> str:
        """The name of a new tensor between two nodes of this operator, of the dtype and scale of ``like`` or of the output."""
        name = fresh_name(self.state.taken, f"{self.output().name}/{part}")
        self.state.taken[name] = None
        source = self.state.tensors[like] if like else self.state.described(self.output())
        self.state.tensors[name] = msgspec.structs.replace(source, name=name, shape=())
        return name

    def emit(self, op: Operator, inputs: Sequence[str], outputs: Sequence[str] | None = None, *, part: str = "") -> None:
        """Add a node; without ``outputs`` it computes the operator's own."""
        state = self.state
        names = tuple(outputs) if outputs is not None else tuple(state.contents.tensors[i].name for i in self.operator.outputs)
        self._check_dtypes(op)
        try:
            shapes = output_shapes(op, [state.tensors[name].shape if name else () for name in inputs])
        except ModelFileError:
            raise
        except UserError as error:
            if any(state.contents.tensors[index].is_open for index in state.contents.inputs):
                self.refuse("on an input whose size the file leaves open")
            raise ModelFileError(error.what, where=self.where, hint=error.hint) from error
        if len(names) != len(shapes):
            self.damaged(f"has {len(names)} outputs, not {len(shapes)}")
        if outputs is None:
            self._close(shapes)
        else:
            for name, shape in zip(names, shapes, strict=True):
                state.tensors[name] = msgspec.structs.replace(state.tensors[name], shape=shape)
        state.nodes.append(Node(name=f"{self.name}{part}", op=op, inputs=tuple(inputs), outputs=names))

    def _check_dtypes(self, op: Operator) -> None:
        """A Graph computes on float32, int8 and int16; other integers may only be quantised or dequantised."""
        for index in self.operator.outputs:
            dtype = self.state.contents.tensors[index].dtype
            if dtype not in _COMPUTED and not isinstance(op, Quantise):
                self.refuse(f"on {dtype}")

    def _close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Note the operator's own outputs as computed, with the shapes they really have."""
        state = self.state
        for index, shape in zip(self.operator.outputs, shapes, strict=True):
            tensor = state.contents.tensors[index]
            if index in state.computed or index in state.folded or tensor.data is not None:
                self.damaged(f"writes {tensor.name!r}, which is a constant, an input or was written before")
            if shape != tensor.shape and not tensor.dynamic:
                self.damaged(f"{tensor.name!r} is said to have shape {tensor.shape}, but the operator gives {shape}")
            state.computed.add(index)
            state.tensors[tensor.name] = msgspec.structs.replace(state.described(tensor), shape=shape)
