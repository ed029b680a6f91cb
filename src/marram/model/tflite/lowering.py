"""Graph -> the same computation in operators that TFLite has one to one.

- Padding that is neither SAME nor VALID becomes a node of its own before the layer: zeros for convolutions (in an integer
  graph the zero point), the lowest value for a maximum. A padding value is rounded to the scale of what it pads.
- A convolution without a bias gets one of zeros: LiteRT's kernels ask for it.
- A transposed convolution is computed whole where neither scheme cuts it as asked, and cut by a slice; its activation follows.
- A relu6 that also rescales becomes the rescaling and a relu6: microcontrollers ignore a change of scale there.

Lowering what is lowered changes nothing. What TFLite has no operator for is refused with what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from marram.core.graph import Array, DType, Graph, Node, Quantisation, Tensor, fresh_name, with_nodes
from marram.core.operators import (
    AveragePool2D,
    BatchNorm,
    Conv2D,
    DepthwiseConv2D,
    Gru,
    Lstm,
    MaxPool2D,
    Operator,
    Pad,
    Padding,
    Quantise,
    Relu,
    Relu6,
    Slice,
    TransposeConv2D,
)
from marram.model.shapes import output_shapes
from marram.model.tflite import padding
from marram.model.tflite.layers import transposed_scheme
from marram.model.tflite.records import area, shape, unwritable


def lower(graph: Graph) -> Graph:
    """The graph with every node in a form that TFLite has.

    Raises:
        UserError: a node has no such form; names it and says what to do.
    """
    work = _Lowering(graph)
    for node in graph.nodes:
        _RULES.get(type(node.op), _Lowering.keep)(work, node, node.op)
    return with_nodes(graph, work.nodes, tensors=work.tensors, constants=work.constants)


class _Lowering:
    """The nodes and tensors made so far."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self.known = dict(graph.tensors)
        self.tensors: dict[str, Tensor] = {}
        self.constants: dict[str, Array] = {}

    def keep(self, node: Node, _op: Operator) -> None:
        self.nodes.append(node)

    def between(self, node: Node, part: str, shape_: tuple[int, ...], *, like: str) -> str:
        """A new tensor named after the node's output."""
        name = fresh_name(self.known, f"{node.outputs[0]}/{part}")
        self.known[name] = self.tensors[name] = msgspec.structs.replace(self.graph.tensors[like], name=name, shape=shape_)
        return name

    def convolve(self, node: Node, op: Conv2D | DepthwiseConv2D) -> None:
        size, kernel = area(node, self.graph), area(node, self.graph, 1)
        if padding.scheme(op.padding, size, kernel, stride=op.stride, dilation=op.dilation) is None:
            node = self.padded(node, op.padding, 0.0)
        if len(node.inputs) < 3 or not node.inputs[2]:
            node = msgspec.structs.replace(node, inputs=(*node.inputs[:2], self.no_bias(node)))
        self.nodes.append(node)

    def no_bias(self, node: Node) -> str:
        """A new bias of zeros."""
        y, x, weights = (self.known[name] for name in (node.outputs[0], *node.inputs[:2]))
        name = self.between(node, "bias", y.shape[-1:], like=y.name)
        scale = None if x.quantisation is None or weights.quantisation is None else _bias_scale(x, weights.quantisation)
        dtype: DType = "float32" if x.quantisation is None else "int64" if x.dtype == "int16" else "int32"
        self.known[name] = self.tensors[name] = msgspec.structs.replace(self.tensors[name], dtype=dtype, quantisation=scale)
        self.constants[name] = np.zeros(y.shape[-1:], dtype)
        return name

    def pad(self, node: Node, op: Pad) -> None:
        quantisation = self.graph.tensors[node.inputs[0]].quantisation
        if quantisation is not None:
            value = quantisation.scale * round(op.value / quantisation.scale)
            node = msgspec.structs.replace(node, op=msgspec.structs.replace(op, value=value))
        self.nodes.append(node)

    def clamp(self, node: Node, _op: Relu6) -> None:
        x, y = self.graph.tensors[node.inputs[0]], self.graph.tensors[node.outputs[0]]
        if x.quantisation != y.quantisation:
            name = self.between(node, "rescaled", x.shape, like=y.name)
            self.nodes.append(Node(name=f"{node.name}_rescale", op=Quantise(), inputs=node.inputs, outputs=(name,)))
            node = msgspec.structs.replace(node, inputs=(name,))
        self.nodes.append(node)

    def pool(self, node: Node, op: MaxPool2D | AveragePool2D) -> None:
        if padding.scheme(op.padding, area(node, self.graph), op.kernel, stride=op.stride) is None:
            if isinstance(op, AveragePool2D):
                hint = "Use padding that TFLite calls SAME, no padding, or an explicit Pad that counts as zeros."
                raise unwritable(node, f"an average that leaves out the padding {op.padding}", hint=hint)
            node = self.padded(node, op.padding, _lowest(self.graph.tensors[node.inputs[0]]))
        self.nodes.append(node)

    def padded(self, node: Node, edges: Padding, value: float) -> Node:
        """The node without padding, after a node that pads."""
        pad = Pad(paddings=((0, 0), edges[:2], edges[2:], (0, 0)), value=value)
        x = node.inputs[0]
        name = self.between(node, "padded", output_shapes(pad, [shape(node, self.graph)])[0], like=x)
        self.nodes.append(Node(name=f"{node.name}_pad", op=pad, inputs=(x,), outputs=(name,)))
        bare: Any = msgspec.structs.replace(node.op, padding=(0, 0, 0, 0))
        return msgspec.structs.replace(node, op=bare, inputs=(name, *node.inputs[1:]))

    def transpose_convolve(self, node: Node, op: TransposeConv2D) -> None:
        y = node.outputs[0]
        full = self.graph.tensors[y].shape
        last = y if op.activation == "none" else self.between(node, "linear", full, like=y)
        size, kernel = area(node, self.graph), area(node, self.graph, 1)
        plain = msgspec.structs.replace(op, activation="none")
        if transposed_scheme(plain, size, kernel) is None:
            self.cut(node, plain, last)
        else:
            self.nodes.append(msgspec.structs.replace(node, op=plain, outputs=(last,)))
        if op.activation != "none":
            self.nodes.append(Node(name=f"{node.name}_{op.activation}", op=_apart(node, op), inputs=(last,), outputs=(y,)))

    def cut(self, node: Node, op: TransposeConv2D, result: str) -> None:
        """The whole transposed convolution, then the part that was asked for."""
        n, height, width, channels = self.graph.tensors[node.outputs[0]].shape
        top, _, left, _ = op.padding
        whole = msgspec.structs.replace(op, padding=(0, 0, 0, 0), output_padding=(0, 0))
        x, weights = shape(node, self.graph), shape(node, self.graph, 1)
        ((_, rows, columns, _),) = output_shapes(whole, [x, weights])
        extra = (max(top + height - rows, 0), max(left + width - columns, 0))
        whole = msgspec.structs.replace(whole, output_padding=extra)
        name = self.between(node, "whole", (n, rows + extra[0], columns + extra[1], channels), like=node.outputs[0])
        part = Slice(begin=(0, top, left, 0), end=(n, top + height, left + width, channels), strides=(1, 1, 1, 1))
        self.nodes.append(msgspec.structs.replace(node, op=whole, outputs=(name,)))
        self.nodes.append(Node(name=f"{node.name}_cut", op=part, inputs=(name,), outputs=(result,)))


def _apart(node: Node, op: TransposeConv2D) -> Relu | Relu6:
    """The activation as a node of its own. On an output of the same scale it clamps exactly as the fused one."""
    if op.activation == "relu_n1_to_1":
        raise unwritable(node, "relu_n1_to_1 after a transposed convolution", hint="Use relu or relu6.")
    return Relu() if op.activation == "relu" else Relu6()


def _bias_scale(x: Tensor, weights: Quantisation) -> Quantisation:
    """The scale of a bias: that of the input times that of the weights."""
    assert x.quantisation is not None
    scales = tuple(float(np.float32(x.quantisation.scale) * np.float32(scale)) for scale in weights.scales)
    return Quantisation(scales=scales, zero_points=(0,) * len(scales), axis=0 if len(scales) > 1 else None)


def _lowest(tensor: Tensor) -> float:
    """The least real value that a tensor can hold."""
    if tensor.quantisation is None:
        return float(np.finfo(np.float32).min)
    return tensor.quantisation.scale * (int(np.iinfo(tensor.dtype).min) - tensor.quantisation.zero_point)


def _refuse(what: str, hint: str) -> Callable[[_Lowering, Node, Any], None]:
    def rule(_work: _Lowering, node: Node, _op: Operator) -> None:
        raise unwritable(node, what, hint=hint)

    return rule


_RULES: dict[type, Callable[[_Lowering, Node, Any], None]] = {
    Conv2D: _Lowering.convolve,
    DepthwiseConv2D: _Lowering.convolve,
    AveragePool2D: _Lowering.pool,
    MaxPool2D: _Lowering.pool,
    TransposeConv2D: _Lowering.transpose_convolve,
    Pad: _Lowering.pad,
    Relu6: _Lowering.clamp,
    BatchNorm: _refuse(
        "batch norm is no operator of TFLite", "Fold it into the layer before it: compress with the decision Fold."
    ),
    Lstm: _refuse("the LSTM has no form that all runtimes of TFLite take", "Unroll it into its steps first, or write ONNX."),
    Gru: _refuse("TFLite has no GRU", "Unroll it into its steps first, or write ONNX."),
}
