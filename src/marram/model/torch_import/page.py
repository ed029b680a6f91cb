"""The page: a Graph while it is written, in torch's own axes. Translators read values from it and add operators to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import msgspec
import numpy as np
import torch

from marram.core.errors import UnsupportedOperator
from marram.core.graph import Array, Graph, Node, Tensor, fresh_name
from marram.core.operators import Operator, Reshape, Transpose
from marram.model.shapes import output_shapes

Shape = tuple[int, ...]


class Activation(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor that is computed when the Graph runs."""

    name: str
    shape: Shape


class Constant(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor that is known now, with the name it will have if it is needed."""

    name: str
    value: torch.Tensor

    @property
    def shape(self) -> Shape:
        """Sizes of the axes."""
        return tuple(self.value.shape)


Value = Activation | Constant


class Page:
    """What has been written so far, and where in the module the translation stands.

    ``place`` is the module path and operator that new nodes are named after; ``shape`` is the shape that torch says the current
    call's result has, ``()`` where it has several results.
    """

    def __init__(self, supported: tuple[str, ...]) -> None:
        self.place = ""
        self.operator = ""
        self.shape: Shape = ()
        self._supported = supported
        self._nodes: list[Node] = []
        self._node_names: dict[str, None] = {}
        self._tensors: dict[str, Tensor] = {}
        self._constants: dict[str, Array] = {}

    def input(self, name: str, shape: Shape) -> Activation:
        """Declare an input of the Graph."""
        self._tensors[name] = Tensor(name=name, shape=shape)
        return Activation(name=name, shape=shape)

    def add(self, op: Operator, *inputs: Value | None, suffix: str = "") -> Activation:
        """Write a node with one output; None stands for an absent optional input."""
        return self.add_many(op, *inputs, suffix=suffix)[0]

    def add_many(self, op: Operator, *inputs: Value | None, suffix: str = "") -> tuple[Activation, ...]:
        """Write a node with all of its operator's outputs."""
        names = tuple(self._name_of(value) if value is not None else "" for value in inputs)
        shapes = output_shapes(op, [self._tensors[name].shape if name else () for name in names])
        wanted = f"{self.place}.{suffix}" if suffix else self.place
        results = []
        for index, shape in enumerate(shapes):
            name = fresh_name(self._tensors, wanted if len(shapes) == 1 else f"{wanted}.{index}")
            self._tensors[name] = Tensor(name=name, shape=shape)
            results.append(Activation(name=name, shape=shape))
        node_name = fresh_name(self._node_names, wanted)
        self._node_names[node_name] = None
        self._nodes.append(Node(name=node_name, op=op, inputs=names, outputs=tuple(value.name for value in results)))
        return tuple(results)

    def transposed(self, x: Value, permutation: Sequence[int], *, suffix: str = "transposed") -> Value:
        """``x`` with its axes permuted; ``x`` itself where nothing changes."""
        order = tuple(permutation)
        if order == tuple(range(len(order))):
            return x
        if isinstance(x, Constant):
            return Constant(name=x.name, value=x.value.permute(order))
        return self.add(Transpose(permutation=order), x, suffix=suffix)

    def reshaped(self, x: Value, shape: Sequence[int], *, suffix: str = "reshaped") -> Value:
        """``x`` in another shape; ``x`` itself where it has that shape."""
        if x.shape == tuple(shape):
            return x
        if isinstance(x, Constant):
            return Constant(name=x.name, value=x.value.reshape(tuple(shape)))
        return self.add(Reshape(shape=tuple(shape)), x, suffix=suffix)

    def number(self, value: float) -> Constant:
        """A constant of one element, which broadcasts."""
        return Constant(name=f"{self.place}.constant", value=torch.tensor([float(value)]))

    def refuse(self, what: str) -> NoReturn:
        """Give up on the current call.

        Raises:
            UnsupportedOperator: always; names the ATen operator, what about it is unsupported, and the module's path.
        """
        raise UnsupportedOperator(f"{self.operator} {what}".rstrip(), node=self.place, supported=self._supported)

    def finish(self, name: str, inputs: Sequence[Activation], outputs: Sequence[Value]) -> Graph:
        """The Graph with these inputs and outputs."""
        self.place = "output"
        names = []
        for value in outputs:
            copied = isinstance(value, Constant) or value in inputs or value.name in names
            names.append(self.add(Reshape(shape=value.shape), value).name if copied else self._name_of(value))
        return Graph(
            name=name,
            inputs=tuple(value.name for value in inputs),
            outputs=tuple(names),
            tensors=self._tensors,
            constants=self._constants,
            nodes=tuple(self._nodes),
        )

    def _name_of(self, value: Value) -> str:
        """The tensor's name; a constant is entered when it is first needed."""
        if isinstance(value, Activation):
            return value.name
        array = np.ascontiguousarray(value.value.detach().to(torch.float32).numpy()).copy()
        known = self._constants.get(value.name)
        if known is not None and known.shape == array.shape and np.array_equal(known, array):
            return value.name
        name = fresh_name(self._tensors, value.name)
        self._tensors[name] = Tensor(name=name, shape=tuple(array.shape))
        self._constants[name] = array
        return name
