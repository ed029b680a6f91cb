"""The ONNX file while it is written: values by Graph tensor, constants, and the way in and out of integers.

An int8 activation of the Graph is kept as uint8 with its zero point raised by 128 (runtimes fuse and run unsigned activations
with signed weights fastest). ``stored`` is a tensor as it is kept, ``real`` its float value: the tensor itself or a
DequantizeLinear of it. Arithmetic is written on reals and quantised behind; what only moves values is written on ``stored``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from marram.core.errors import UserError
from marram.core.graph import Array, Graph, Node, Quantisation, Tensor, fresh_name
from marram.core.operators import operator_name
from marram.model.layout.permutations import Label

SHIFT = 128
Attribute = int | float | str | Sequence[int]


class Kept(NamedTuple):
    """How a quantised activation is kept: dtype, scale and zero point."""

    dtype: str
    scale: float
    zero_point: int


def kept(tensor: Tensor) -> Kept | None:
    """How an activation is kept in the file; None of a float one."""
    if tensor.dtype == "float32":
        return None
    if tensor.quantisation is None or tensor.dtype not in {"int8", "uint8", "int16"}:
        raise UserError(f"{tensor.dtype} without one scale has no form in ONNX", where=f"tensor {tensor.name}")
    zero = tensor.quantisation.zero_point
    if tensor.dtype == "int8":
        return Kept("uint8", tensor.quantisation.scale, zero + SHIFT)
    return Kept(tensor.dtype, tensor.quantisation.scale, zero)


class Page:
    """Collects nodes and constants."""

    def __init__(self, graph: Graph, packed: frozenset[str] = frozenset()) -> None:
        self.graph = graph
        self.packed = packed  # constants of the Graph that stand in 4 bits
        self.halves: set[str] = set()  # those of the file that do
        self.nodes: list[Any] = []
        self.constants: dict[str, Array] = {}
        self.taken: dict[str, object] = dict.fromkeys((*graph.inputs, *graph.outputs))
        self.names: dict[str, str] = {}  # Graph tensor -> the value that keeps it
        self.reals: dict[str, str] = {}
        self.known: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        for name in graph.inputs:
            self._enter(graph.tensors[name])

    def tensor(self, name: str) -> Tensor:
        """What the Graph says of a tensor."""
        return self.graph.tensors[name]

    def fresh(self, wanted: str) -> str:
        """A value name that nothing has."""
        name = fresh_name(self.taken, wanted)
        self.taken[name] = None
        return name

    def node(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Attribute) -> None:
        """Add an ONNX node, named after its first output."""
        from onnx import helper

        given = {key: list(value) if isinstance(value, tuple | list) else value for key, value in attributes.items()}
        self.nodes.append(helper.make_node(operator, list(inputs), list(outputs), name=f"{operator}:{outputs[0]}", **given))

    def step(self, operator: str, inputs: Sequence[str], wanted: str, **attributes: Attribute) -> str:
        """Add a node with one output of a new name."""
        name = self.fresh(wanted)
        self.node(operator, inputs, (name,), **attributes)
        return name

    def constant(self, wanted: str, value: Array, *, halves: bool = False) -> str:
        """A constant of the file, of 4 bits an element where ``halves`` says so; equal ones are kept once."""
        little = np.array(value, order="C")
        key = ("int4" if halves else little.dtype.name, little.shape, little.tobytes())
        if key not in self.known:
            self.known[key] = self.fresh(wanted)
            self.constants[self.known[key]] = little
            if halves:
                self.halves.add(self.known[key])
        return self.known[key]

    def sizes(self, values: Sequence[int]) -> str:
        """A constant list of whole numbers."""
        return self.constant("sizes_" + "x".join(map(str, values)), np.array(values, np.int64))

    def number(self, value: float) -> str:
        """A constant float."""
        return self.constant(f"number_{value:g}", np.array(value, np.float32))

    def _enter(self, tensor: Tensor) -> None:
        """An input of the file has the Graph's dtype; int8 is turned into uint8 first."""
        how = kept(tensor)
        if how is None or tensor.dtype != "int8":
            self.names[tensor.name] = tensor.name
            return
        entry = self._dequantised(tensor.name, Kept("int8", how.scale, how.zero_point - SHIFT), f"{tensor.name}_entry")
        self.names[tensor.name] = self._quantised(entry, how, self.fresh(f"{tensor.name}_uint8"))

    def leave(self, name: str) -> None:
        """Give an output of the file in the Graph's dtype and under its name."""
        tensor, held = self.tensor(name), self.stored(name)
        how = kept(tensor)
        if how is not None and tensor.dtype == "int8":
            exit_value = self._dequantised(held, how, f"{name}_exit")
            self._quantised(exit_value, Kept("int8", how.scale, how.zero_point - SHIFT), name)
        elif held != name:
            self.node("Identity", (held,), (name,))

    def _parameters(self, how: Kept) -> tuple[str, str]:
        scale = self.constant(f"scale_{how.scale:.9g}", np.array(how.scale, np.float32))
        return scale, self.constant(f"zero_{how.dtype}_{how.zero_point}", np.array(how.zero_point, how.dtype))

    def _dequantised(self, value: str, how: Kept, wanted: str) -> str:
        return self.step("DequantizeLinear", (value, *self._parameters(how)), wanted)

    def dequantised(self, value: str, like: Tensor, wanted: str) -> str:
        """The float value of a tensor's integers that were moved; of a float one, the value itself."""
        how = kept(like)
        return value if how is None else self._dequantised(value, how, wanted)

    def _quantised(self, value: str, how: Kept, name: str) -> str:
        self.node("QuantizeLinear", (value, *self._parameters(how)), (name,))
        return name

    def stored(self, name: str) -> str:
        """The value that keeps a tensor as it is; constants are made when first asked for."""
        if name not in self.names:
            value, tensor = self.graph.constants[name], self.tensor(name)
            shifted = (value.astype(np.int16) + SHIFT).astype(np.uint8) if tensor.dtype == "int8" else value
            self.names[name] = self.constant(name, shifted)
        return self.names[name]

    def real(self, name: str) -> str:
        """The float value of a tensor."""
        how = kept(self.tensor(name))
        if how is None:
            return self.stored(name)
        if name not in self.reals:
            self.reals[name] = self._dequantised(self.stored(name), how, f"{name}_real")
        return self.reals[name]

    def weights(self, name: str, permutation: Label | None = None, *, zeros: bool = False) -> str:
        """The float value of weights or a bias, their axes permuted; integers keep their own dtype and scales.

        ``zeros`` writes their zero points out though they are 0: ONNX Runtime fuses a Gemm only then.
        """
        value, tensor = self.graph.constants[name], self.tensor(name)
        turned = value if permutation is None else value.transpose(permutation)
        wanted = name if permutation is None else f"{name}_{''.join(map(str, permutation))}"
        if tensor.dtype == "float32":
            return self.constant(wanted, turned)
        quantisation = tensor.quantisation
        if quantisation is None:
            raise UserError(f"{tensor.dtype} weights without scales have no form in ONNX", where=f"tensor {name}")
        whole = self.constant(f"{wanted}_quantised", turned, halves=name in self.packed)
        key = f"{whole} of {quantisation.scales} {zeros}"  # equal integers may stand for different reals
        if key not in self.reals:
            self.reals[key] = self._dequantised_weights(whole, quantisation, permutation, wanted, zeros=zeros)
        return self.reals[key]

    def _dequantised_weights(
        self, whole: str, quantisation: Quantisation, permutation: Label | None, wanted: str, *, zeros: bool
    ) -> str:
        one = quantisation.axis is None
        scale_values = np.array(quantisation.scale if one else quantisation.scales, np.float32)
        scales = self.constant(f"{wanted}_scale", scale_values)
        inputs = [whole, scales]
        if zeros:
            zero = np.zeros(scale_values.shape, self.constants[whole].dtype)
            inputs.append(self.constant(f"{wanted}_zero", zero, halves=whole in self.halves))
        if quantisation.axis is None:
            return self.step("DequantizeLinear", inputs, f"{wanted}_real")
        axis = quantisation.axis if permutation is None else permutation.index(quantisation.axis)
        return self.step("DequantizeLinear", inputs, f"{wanted}_real", axis=axis)

    def name(self, output: str) -> str:
        """The name under which a computed tensor is to be kept."""
        if output not in self.names:
            as_is = output in self.graph.outputs and self.tensor(output).dtype != "int8"
            self.names[output] = output if as_is else self.fresh(f"{output}_uint8" if output in self.taken else output)
            self.taken[self.names[output]] = None
        return self.names[output]

    def moves(self, node: Node, operator: str, inputs: Sequence[str], **attributes: Attribute) -> None:
        """An operator that moves values: written on the tensors as they are kept."""
        self.node(operator, inputs, tuple(self.name(output) for output in node.outputs), **attributes)

    def gives(
        self, node: Node, operator: str, inputs: Sequence[str], *, target: str | None = None, **attributes: Attribute
    ) -> None:
        """An operator on reals: its activation and, where the output is integer, its quantisation behind it."""
        (output,) = node.outputs
        how = kept(self.tensor(output))
        activation = _clamp(getattr(node.op, "activation", "none"), how)
        target = target or self.name(output)
        value = target if how is None and activation == "none" else self.fresh(f"{output}_sum")
        self.node(operator, inputs, (value,), **attributes)
        if activation != "none":
            bent = target if how is None else self.fresh(f"{output}_{activation}")
            self._activate(activation, value, bent)
            value = bent
        if how is not None:
            self._quantised(value, how, target)

    def _activate(self, activation: str, value: str, target: str) -> None:
        if activation == "relu":
            self.node("Relu", (value,), (target,))
            return
        low, high = {"relu6": (0.0, 6.0), "relu_n1_to_1": (-1.0, 1.0)}[activation]
        self.node("Clip", (value, self.number(low), self.number(high)), (target,))

    def gives_value(self, node: Node, value: str) -> None:
        """The node's output is a value that was made by steps."""
        (output,) = node.outputs
        how = kept(self.tensor(output))
        if how is None:
            self.node("Identity", (value,), (self.name(output),))
        else:
            self._quantised(value, how, self.name(output))

    def refuse(self, node: Node, why: str) -> UserError:
        """The error of an operator's form that ONNX does not have."""
        return UserError(f"{operator_name(node.op)} {why} has no form in ONNX", where=f"node {node.name}")


def _clamp(activation: str, how: Kept | None) -> str:
    """The activation that is still to be written: none where saturation at the ends of the integers does the same."""
    if how is None or activation == "none":
        return activation
    limits = np.iinfo(how.dtype)
    low, high = {"relu": (0.0, np.inf), "relu6": (0.0, 6.0), "relu_n1_to_1": (-1.0, 1.0)}[activation]
    below = round(low / how.scale) + how.zero_point <= limits.min
    above = high == np.inf or round(high / how.scale) + how.zero_point >= limits.max
    if below and above:
        return "none"
    return activation
