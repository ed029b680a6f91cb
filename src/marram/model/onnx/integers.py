"""A Graph whose float operators stand between Dequantise and Quantise -> the Graph of integer operators that they describe.

An operator becomes integer when all its inputs come from integers, its one output goes to one Quantise alone, and the spec's
rules hold; operators that only move values become integer wherever their input is. The rest stay a float island. A bias that
is still real is rounded to the scale that the spec asks for. Averages and resizes keep their input's scale, as the spec asks,
and are requantised behind where the file has another.
"""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from marram.core import operators as ops
from marram.core.graph import Array, Graph, Node, Quantisation, Tensor, consumers, fresh_name, with_nodes
from marram.model.onnx.activations import fuse_activations
from marram.model.onnx.requantising import drop_idle, hoist
from marram.model.spec import RULES

_MOVING = (ops.Reshape, ops.Transpose, ops.Slice, ops.Split, ops.Pad, ops.MaxPool2D)


def integers(graph: Graph) -> Graph:
    """The graph with every complete Dequantise, operator, Quantise made one integer operator."""
    if not any(isinstance(node.op, ops.Quantise | ops.Dequantise) for node in graph.nodes):
        return graph
    page = _Page(fuse_activations(hoist(graph)))
    for node in page.graph.nodes:
        page.visit(node)
    return drop_idle(page.finish())


def _moves(node: Node) -> bool:
    """Whether a node only moves values, so that integers may take the way of their reals."""
    if isinstance(node.op, ops.MaxPool2D) and node.op.activation != "none":
        return False
    return isinstance(node.op, _MOVING) or (isinstance(node.op, ops.Resize) and node.op.method == "nearest")


class _Page:
    """The new Graph while it is written."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.readers = consumers(graph)
        self.whole: dict[str, str] = {}  # float tensor -> the integer tensor that it is the image of
        self.made: set[str] = set()  # float tensors that exist in the new graph
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = dict(graph.tensors)
        self.constants: dict[str, Array] = dict(graph.constants)
        self.names: dict[str, object] = dict.fromkeys(node.name for node in graph.nodes)
        self.done: set[str] = set()  # Quantise nodes that an integer operator has taken in

    def visit(self, node: Node) -> None:
        """One node of the old graph."""
        if isinstance(node.op, ops.Dequantise):
            self.whole[node.outputs[0]] = node.inputs[0]
        elif isinstance(node.op, ops.Quantise):
            if node.name not in self.done:
                self._quantise(node)
        elif _moves(node) and node.inputs[0] in self.whole:
            self._move(node)
        elif not self._integer(node):
            self._emit(replace(node, inputs=tuple(self._real(name) for name in node.inputs)))

    def _emit(self, node: Node) -> None:
        self.nodes.append(node)

    def _node(self, wanted: str, op: object, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        name = fresh_name(self.names, wanted)
        self.names[name] = None
        self._emit(Node(name=name, op=op, inputs=inputs, outputs=outputs))  # type: ignore[arg-type]

    def _tensor(self, wanted: str, like: Tensor, quantisation: Quantisation) -> str:
        name = fresh_name(self.tensors, wanted)
        self.tensors[name] = Tensor(name=name, shape=like.shape, dtype="int8", quantisation=quantisation)
        return name

    def _real(self, name: str) -> str:
        """A float tensor of that name, dequantised if need be; constants are worked out."""
        if name not in self.whole or name in self.made:
            return name
        self.made.add(name)
        source = self.whole[name]
        if source in self.constants:
            tensor = self.tensors[source]
            assert tensor.quantisation is not None
            self.constants[name] = _reals(self.constants[source], tensor.quantisation)
        else:
            self._node(f"{name}_dequantised", ops.Dequantise(), (source,), (name,))
        return name

    def _quantise(self, node: Node) -> None:
        source, (target,) = node.inputs[0], node.outputs
        if source in self.whole:
            self._emit(replace(node, inputs=(self.whole[source],)))
            return
        self._emit(replace(node, inputs=(self._real(source),)))
        assert target in self.tensors

    def _move(self, node: Node) -> None:
        """The same operator on the integers; its outputs are images of integers again."""
        source = self.whole[node.inputs[0]]
        quantisation = self.tensors[source].quantisation
        if source in self.constants or quantisation is None or self.tensors[source].dtype != "int8":
            self._emit(replace(node, inputs=(self._real(node.inputs[0]), *node.inputs[1:])))
            return
        outputs = tuple(self._tensor(f"{name}_int8", self.tensors[name], quantisation) for name in node.outputs)
        self._emit(replace(node, inputs=(source,), outputs=outputs))
        self.whole.update(zip(node.outputs, outputs, strict=True))

    def _integer(self, node: Node) -> bool:
        """Write the integer form of a node, if there is one."""
        rule = RULES[type(node.op)]
        quantise = self._only_quantise(node)
        if not rule.integer or quantise is None:
            return False
        target = self.tensors[quantise.outputs[0]]
        parameters = {rule.weights, rule.bias}
        moving = [name for i, name in enumerate(node.inputs) if name and i not in parameters]
        if target.dtype != "int8" or not all(self._is_int8(name) for name in moving):
            return False
        fixed = rule.fixed_output
        if fixed is not None and _pair(target.quantisation) != _pair(fixed):
            return False
        inputs = self._with_weights(node, rule.weights, rule.bias, rule.channel_axis)
        if inputs is None:
            return False
        self._write(node, quantise, inputs, same_scale=rule.same_scale)
        return True

    def _write(self, node: Node, quantise: Node, inputs: tuple[str, ...], *, same_scale: bool) -> None:
        self.done.add(quantise.name)
        (output,) = quantise.outputs
        target = self.tensors[output].quantisation
        assert target is not None
        if same_scale and isinstance(node.op, ops.Concat):
            inputs = tuple(self._rescaled(name, target) for name in inputs)
        source = self.tensors[inputs[0]].quantisation
        if same_scale and source is not None and _pair(source) != _pair(target):
            inner = self._tensor(f"{output}_before", self.tensors[output], source)
            self._emit(replace(node, inputs=inputs, outputs=(inner,)))
            self._emit(replace(quantise, inputs=(inner,)))
        else:
            self._emit(replace(node, inputs=inputs, outputs=(output,)))

    def _rescaled(self, name: str, target: Quantisation) -> str:
        if _pair(self.tensors[name].quantisation) == _pair(target):
            return name
        scaled = self._tensor(f"{name}_rescaled", self.tensors[name], target)
        self._node(scaled, ops.Quantise(), (name,), (scaled,))
        return scaled

    def _only_quantise(self, node: Node) -> Node | None:
        """The Quantise that alone reads a node's only output."""
        if len(node.outputs) != 1 or node.outputs[0] in self.graph.outputs:
            return None
        readers = self.readers[node.outputs[0]]
        return readers[0] if len(readers) == 1 and isinstance(readers[0].op, ops.Quantise) else None

    def _is_int8(self, name: str) -> bool:
        tensor = self.tensors.get(self.whole.get(name, ""))
        return tensor is not None and tensor.dtype == "int8" and _pair(tensor.quantisation) is not None

    def _with_weights(self, node: Node, weights: int | None, bias: int | None, axis: int | None) -> tuple[str, ...] | None:
        """The integer inputs of a node, its bias as the spec asks; None where the weights have no legal form."""
        inputs = [self.whole.get(name, name) for name in node.inputs]
        if weights is None:
            return tuple(inputs)
        tensor = self.tensors[inputs[weights]]
        quantised = tensor.quantisation
        if inputs[weights] not in self.constants or tensor.dtype != "int8" or quantised is None:
            return None
        if any(quantised.zero_points) or quantised.axis not in {None, axis}:
            return None
        if bias is not None and bias < len(node.inputs) and node.inputs[bias]:
            source = self.tensors[inputs[0]].quantisation
            assert source is not None
            made = self._bias(node.inputs[bias], source.scale, quantised)
            if made is None:
                return None
            inputs[bias] = made
        return tuple(inputs)

    def _bias(self, name: str, input_scale: float, weights: Quantisation) -> str | None:
        """A constant bias as int32 of scale input times weights."""
        scales = np.float32(input_scale) * np.array(weights.scales, np.float32)
        axis = 0 if len(weights.scales) > 1 else None
        wanted = Quantisation(scales=tuple(float(s) for s in scales), zero_points=(0,) * len(scales), axis=axis)
        held = self.whole.get(name)
        if held is not None and held in self.constants:
            tensor = self.tensors[held]
            given = tensor.quantisation
            if tensor.dtype == "int32" and given is not None and _close(given, wanted) and not any(given.zero_points):
                return held
            reals = _reals(self.constants[held], given) if given is not None else None
        else:
            reals = self.constants.get(name)
        if reals is None or not np.isfinite(reals).all():
            return None
        whole = np.clip(np.rint(reals.astype(np.float64) / scales.astype(np.float64)), -(2**31), 2**31 - 1)
        made = fresh_name(self.tensors, f"{name}_int32")
        self.constants[made] = whole.astype(np.int32)
        self.tensors[made] = Tensor(name=made, shape=reals.shape, dtype="int32", quantisation=wanted)
        return made

    def finish(self) -> Graph:
        """The whole graph; outputs that are float stay float."""
        for name in self.graph.outputs:
            self._real(name)
        return with_nodes(self.graph, self.nodes, tensors=self.tensors, constants=self.constants)


def _pair(quantisation: Quantisation | None) -> tuple[tuple[float, ...], tuple[int, ...]] | None:
    if quantisation is None or len(quantisation.scales) != 1:
        return None
    return quantisation.scales, quantisation.zero_points


def _close(given: Quantisation, wanted: Quantisation) -> bool:
    return len(given.scales) == len(wanted.scales) and np.allclose(given.scales, wanted.scales, rtol=1e-6, atol=0)


def _reals(value: Array, quantisation: Quantisation) -> Array:
    shape = [1] * value.ndim
    if quantisation.axis is not None:
        shape[quantisation.axis] = -1
    scales = np.array(quantisation.scales, np.float32).reshape(shape)
    zeros = np.array(quantisation.zero_points, np.int64).reshape(shape)
    return ((value.astype(np.int64) - zeros).astype(np.float32) * scales).astype(np.float32)
