"""The state of one import and a node's view of it: what the families of operators read from and emit to.

An ONNX value is an activation (a Graph tensor), a constant, or a constant that is stored as integers with a scale (``Stored``).
Shapes are computed as nodes are emitted, never believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np
from msgspec.structs import replace

from marram.core import operators as ops
from marram.core.errors import ModelFileError, UnsupportedOperator, UserError
from marram.core.graph import Array, DType, Graph, Node, Quantisation, Tensor, fresh_name
from marram.core.operators import Operator
from marram.model.layout.permutations import Label
from marram.model.onnx.contents import Contents, FileNode, FileValue
from marram.model.shapes import output_shapes

T = TypeVar("T")
_MOVING = (ops.Reshape, ops.Transpose, ops.Slice, ops.Split, ops.Concat, ops.Pad, ops.MaxPool2D)


def _moves(op: Operator) -> bool:
    return isinstance(op, _MOVING) or (isinstance(op, ops.Resize) and op.method == "nearest")


def _numbered(taken: dict[str, object], counts: dict[str, int], wanted: str) -> str:
    """``fresh_name``, taken at once, in a time that does not grow with the number of equal wishes."""
    name = wanted
    while name in taken:
        counts[wanted] = counts.get(wanted, 0) + 1
        name = f"{wanted}_{counts[wanted]}"
    taken[name] = None
    return name


class Stored(NamedTuple):
    """A constant of integers that stand for reals."""

    integers: Array
    quantisation: Quantisation

    @property
    def reals(self) -> Array:
        """The real values, float32."""
        scales = np.array(self.quantisation.scales, np.float32)
        zeros = np.array(self.quantisation.zero_points, np.int64)
        if self.quantisation.axis is not None:
            column = [1] * self.integers.ndim
            column[self.quantisation.axis] = -1
            scales, zeros = scales.reshape(column), zeros.reshape(column)
        return ((self.integers.astype(np.int64) - zeros).astype(np.float32) * scales).astype(np.float32)


class Import:
    """What is known so far of the Graph that a file becomes."""

    def __init__(self, contents: Contents, *, supported: tuple[str, ...]) -> None:
        self.contents = contents
        self.supported = supported
        self.constants: dict[str, Array] = dict(contents.constants)  # ONNX name -> value known at import
        self.stored: dict[str, Stored] = {}
        self.active: dict[str, str] = {}  # ONNX name -> Graph tensor
        self.tensors: dict[str, Tensor] = {}
        self.weights: dict[str, Array] = {}  # the Graph's constants
        self.nodes: list[Node] = []
        self.taken: dict[str, object] = dict.fromkeys((name for node in contents.nodes for name in node.outputs), None)
        self.node_names: dict[str, object] = {}
        self.counts: dict[str, int] = {}  # how far the numbers behind each wanted name have come
        self.bytes_left = 16 * contents.size_bytes + 2**22
        for value in contents.inputs:
            self._open(value)

    def _open(self, value: FileValue) -> None:
        if value.dtype not in {"float32", "int8", "uint8"}:
            raise UnsupportedOperator(f"{value.dtype} input", node=repr(value.name), where=self.contents.where)
        if value.name in self.active:
            raise ModelFileError(f"the input {value.name!r} is named twice", where=self.contents.where)
        dtype: DType = "int8" if value.dtype == "int8" else "uint8" if value.dtype == "uint8" else "float32"
        self.tensors[value.name] = Tensor(name=value.name, shape=concrete(value, self.contents.where), dtype=dtype)
        self.active[value.name] = value.name
        self.taken[value.name] = None

    def spend(self, size_bytes: int) -> None:
        """Take bytes from the allowance for values made while importing; a hostile file is stopped by it."""
        self.bytes_left -= size_bytes
        if self.bytes_left < 0:
            raise ModelFileError("makes more constants than a file of its size can need", where=self.contents.where)

    def fresh(self, wanted: str) -> str:
        """A tensor name that nothing has."""
        return _numbered(self.taken, self.counts, wanted)

    def add_constant(self, wanted: str, value: Array, quantisation: Quantisation | None = None) -> str:
        """A constant of the Graph; reals become float32."""
        name = self.fresh(wanted)
        kept = np.array(value if quantisation else value.astype(np.float32), order="C")
        self.spend(kept.nbytes)
        self.weights[name] = kept
        dtype: Any = kept.dtype.name
        self.tensors[name] = Tensor(name=name, shape=kept.shape, dtype=dtype, quantisation=quantisation)
        return name

    def known(self, name: str) -> bool:
        """Whether the value of an ONNX name is a plain constant."""
        return name in self.constants

    def graph(self) -> Graph:
        """All that was emitted, as a Graph.

        Raises:
            ModelFileError: an output that nothing provides.
        """
        claimed = {value.name for value in self.contents.outputs} | {value.name for value in self.contents.inputs}
        renamed: dict[str, str] = {}
        for value in self.contents.outputs:
            if value.name not in self.active:
                fault = "is a constant" if value.name in self.constants else "is provided by nothing"
                raise ModelFileError(f"the output {value.name!r} {fault}", where=self.contents.where)
            held = self.active[value.name]
            if held != value.name:
                self._name_output(held, value.name, claimed, renamed)
        if not self.contents.outputs:
            raise ModelFileError("has no outputs", where=self.contents.where)
        return Graph(
            name=self.contents.name,
            inputs=tuple(value.name for value in self.contents.inputs),
            outputs=tuple(value.name for value in self.contents.outputs),
            tensors={renamed.get(n, n): replace(t, name=renamed.get(n, n)) for n, t in self.tensors.items()},
            constants=self.weights,
            nodes=tuple(_renamed(node, renamed) for node in self.nodes),
        )

    def _name_output(self, held: str, name: str, claimed: set[str], renamed: dict[str, str]) -> None:
        """Give a tensor the name of the output that it is; one that has a name to keep is copied."""
        if held in claimed or held in renamed or held in self.weights:
            self.tensors[name] = replace(self.tensors[held], name=name)
            node_name = fresh_name(self.node_names, name)
            self.node_names[node_name] = None
            op = ops.Reshape(shape=self.tensors[held].shape)
            self.nodes.append(Node(name=node_name, op=op, inputs=(held,), outputs=(name,)))
        else:
            renamed[held] = name


def _renamed(node: Node, names: dict[str, str]) -> Node:
    return replace(
        node,
        inputs=tuple(names.get(name, name) for name in node.inputs),
        outputs=tuple(names.get(name, name) for name in node.outputs),
    )


def concrete(value: FileValue, where: str) -> tuple[int, ...]:
    """The shape with an open leading axis taken as 1.

    Raises:
        ModelFileError: the shape is unknown, or another axis is open.
    """
    if value.shape is None:
        raise ModelFileError(f"the input {value.name!r} has no shape", where=where, hint="Export the model with a shape.")
    sizes = tuple(1 if axis == 0 and size is None else size for axis, size in enumerate(value.shape))
    for axis, size in enumerate(sizes):
        if size is None:
            hint = "Export the model with a fixed size; only the batch may stay open."
            raise ModelFileError(f"axis {axis} of the input {value.name!r} is open", where=where, hint=hint)
    return tuple(size for size in sizes if size is not None)


class Site:
    """One node at work."""

    def __init__(self, state: Import, node: FileNode) -> None:
        self.state = state
        self.node = node

    @property
    def opset(self) -> int:
        """The file's operator set."""
        return self.state.contents.opset

    def refuse(self, form: str) -> NoReturn:
        """Raise UnsupportedOperator for a form of the operator that has no translation."""
        raise UnsupportedOperator(
            f"{self.node.operator} {form}", node=self.node.name, where=self.state.contents.where, supported=self.state.supported
        )

    def damaged(self, what: str) -> NoReturn:
        """Raise ModelFileError naming this node."""
        raise ModelFileError(f"node {self.node.name} ({self.node.operator}): {what}", where=self.state.contents.where)

    def lost(self, name: str) -> ModelFileError:
        """The error of reading what nothing provides."""
        what = f"node {self.node.name} ({self.node.operator}): reads {name!r}, which nothing before it provides"
        return ModelFileError(what, where=self.state.contents.where)

    def need(self, condition: bool, form: str) -> None:  # noqa: FBT001  # reads as a sentence at each use
        """Refuse a form unless the condition holds."""
        if not condition:
            self.refuse(form)

    def has(self, index: int) -> bool:
        """Whether an optional input is there."""
        return index < len(self.node.inputs) and self.node.inputs[index] != ""

    def name(self, index: int) -> str:
        """The ONNX name of an input that must be there."""
        if not self.has(index):
            self.damaged(f"input {index} is missing")
        return self.node.inputs[index]

    def attribute(self, name: str, default: T) -> T:
        """An attribute of the default's type."""
        value = self.node.attributes.get(name, default)
        if default is not None and not isinstance(value, type(default)):
            self.damaged(f"attribute {name} is not a {type(default).__name__}")
        return value  # type: ignore[no-any-return]

    def integers(self, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """An attribute that is a list of whole numbers, of modest size."""
        values = self.attribute(name, default)
        if any(not isinstance(value, int) or abs(value) > 2**31 for value in values):
            self.damaged(f"attribute {name} is not a list of sizes")
        return values

    def is_constant(self, index: int) -> bool:
        """Whether an input's real values are known, plain or stored as integers."""
        return self.has(index) and (self.name(index) in self.state.constants or self.name(index) in self.state.stored)

    def array(self, index: int) -> Array:
        """The value of an input that must be constant."""
        name = self.name(index)
        if name in self.state.constants:
            return self.state.constants[name]
        if name in self.state.stored:
            return self.state.stored[name].reals
        if name in self.state.active:
            self.refuse(f"with input {name!r} computed at run time")
        raise self.lost(name)

    def sizes(self, index: int) -> tuple[int, ...]:
        """An input that is a constant list of whole numbers."""
        value = self.array(index)
        if value.dtype.kind not in "iu" or value.ndim > 1 or value.size > 64:
            self.damaged(f"input {index} is not a list of sizes")
        return tuple(int(n) for n in value.reshape(-1))

    def real(self, index: int) -> float:
        """An input that is one constant number."""
        value = self.array(index)
        if value.size != 1:
            self.damaged(f"input {index} is not one number")
        return float(value.reshape(()))

    def tensor(self, index: int) -> str:
        """The Graph tensor of an input, constants included."""
        name = self.name(index)
        if name in self.state.active:
            return self.state.active[name]
        if name in self.state.stored or name in self.state.constants:
            if self.array(index).dtype.kind != "f":
                self.refuse(f"on the {self.array(index).dtype.name} constant {name!r}")
            return self.weights(index)
        raise self.lost(name)

    def shape(self, index: int) -> tuple[int, ...]:
        """The shape of an input."""
        name = self.name(index)
        if name in self.state.active:
            return self.state.tensors[self.state.active[name]].shape
        return tuple(self.array(index).shape)

    def shape_of(self, tensor: str) -> tuple[int, ...]:
        """The shape of a Graph tensor."""
        return self.state.tensors[tensor].shape

    def weights(self, index: int, *, insert: int | None = None, permutation: Label | None = None) -> str:
        """A constant input as a Graph tensor, an axis of one inserted first, then permuted.

        One stored as integers stays so, with a Dequantise behind it.
        """
        name = self.name(index)
        stored = self.state.stored.get(name)
        value = stored.integers if stored else self.array(index)
        axis = stored.quantisation.axis if stored else None
        if insert is not None:
            value = np.expand_dims(value, insert)
            axis = axis + 1 if axis is not None and axis >= insert else axis
        if permutation is not None:
            value = value.transpose(permutation)
            axis = None if axis is None else permutation.index(axis)
        if stored is None:
            return self.state.add_constant(name, value)
        quantisation = replace(stored.quantisation, axis=axis)
        whole = self.state.add_constant(f"{name}_quantised", value, quantisation)
        return self.step(ops.Dequantise(), whole, wanted=name)

    def constant(self, suffix: str, value: Array) -> str:
        """A new constant of the Graph, named after the node."""
        return self.state.add_constant(f"{self.node.outputs[0]}_{suffix}", value)

    def step(self, op: Operator, *inputs: str, wanted: str | None = None) -> str:
        """Emit a node with one output of a new name."""
        (name,) = self.steps(op, inputs, (wanted or f"{self.node.outputs[0]}_inner",))
        return name

    def steps(self, op: Operator, inputs: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
        """Emit a node with outputs of new names."""
        names = tuple(self.state.fresh(name) for name in wanted)
        self._emit(op, inputs, names)
        return names

    def result(self, op: Operator, *inputs: str, output: int = 0) -> None:
        """Emit a node that gives one of the ONNX node's outputs."""
        self.bind(self._own(op, inputs, output), output)

    def results(self, op: Operator, *inputs: str) -> None:
        """Emit a node that gives all of the ONNX node's outputs."""
        names = tuple(name or self.state.fresh(f"{self.node.name}_unused") for name in self.node.outputs)
        self._emit(op, inputs, names)
        for index, name in enumerate(names):
            if self.node.outputs[index]:
                self.bind(name, index)

    def bind(self, tensor: str, output: int = 0) -> None:
        """Let an output of the ONNX node be a Graph tensor."""
        self.state.active[self.node.outputs[output]] = tensor

    def _own(self, op: Operator, inputs: Sequence[str], output: int) -> str:
        name = self.node.outputs[output]
        self._emit(op, inputs, (name,))
        return name

    def _emit(self, op: Operator, inputs: Sequence[str], outputs: tuple[str, ...]) -> None:
        try:
            shapes = output_shapes(op, [self.state.tensors[name].shape if name else () for name in inputs])
        except UserError as error:
            raise ModelFileError(
                error.what, where=f"{self.state.contents.where}, node {self.node.name}", hint=error.hint
            ) from error
        source = self.state.tensors.get(inputs[0])
        for name, shape in zip(outputs, shapes, strict=False):
            if source is not None and _moves(op):  # integers stay integers
                self.state.tensors[name] = replace(source, name=name, shape=shape)
            else:
                self.state.tensors[name] = Tensor(name=name, shape=shape)
        name = _numbered(self.state.node_names, self.state.counts, self.node.name)
        self.state.nodes.append(Node(name=name, op=op, inputs=tuple(inputs), outputs=outputs))

    def transposed(self, tensor: str, permutation: Label) -> str:
        """The tensor with its axes permuted."""
        return self.step(ops.Transpose(permutation=permutation), tensor)

    def reshaped(self, tensor: str, shape: tuple[int, ...]) -> str:
        """The tensor in another shape of as many elements."""
        return self.step(ops.Reshape(shape=shape), tensor)

    def to_last(self, tensor: str) -> str:
        """A channels-first tensor of three or four axes as an image (N,H,W,C); a sequence has height 1."""
        shape = self.shape_of(tensor)
        if len(shape) == 3:
            tensor = self.reshaped(tensor, (*shape[:2], 1, shape[2]))
        return self.transposed(tensor, (0, 2, 3, 1))

    def from_last(self, tensor: str, *, rank: int, output: int = 0) -> None:
        """Give an output from an image (N,H,W,C), in the file's order and rank."""
        if rank == 4:
            self.result(ops.Transpose(permutation=(0, 3, 1, 2)), tensor, output=output)
            return
        first = self.transposed(tensor, (0, 3, 1, 2))
        n, c, _, w = self.shape_of(first)
        self.result(ops.Reshape(shape=(n, c, w)), first, output=output)


def normalised(site: Site, axis: int, rank: int) -> int:
    """An axis counted from the front."""
    if not -rank <= axis < rank:
        site.damaged(f"axis {axis} of {rank}")
    return axis % rank
