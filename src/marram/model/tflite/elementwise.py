"""Operators that work on each element: sums, products, activations, changes of quantisation. TFLite operator <-> Graph node."""

from __future__ import annotations

from collections.abc import Callable

from marram.core.graph import Graph, Node
from marram.core.operators import (
    Add,
    Dequantise,
    Gelu,
    HardSwish,
    LeakyRelu,
    Mul,
    Operator,
    Quantise,
    Relu,
    Relu6,
    Sigmoid,
    Softmax,
    Sub,
    Tanh,
)
from marram.model.tflite.importing import Site
from marram.model.tflite.records import Record, Write, fused, version


def _read_binary(kind: type[Add | Sub | Mul], table: str) -> Callable[[Site], None]:
    def read(site: Site) -> None:
        site.emit(kind(activation=site.activation(table)), [site.operand(0), site.operand(1)])

    return read


def _read_squared_difference(site: Site) -> None:
    if not site.is_real:
        site.refuse("on integers")
    difference = site.temporary("difference")
    site.emit(Sub(), [site.operand(0), site.operand(1)], [difference], part="_difference")
    site.emit(Mul(), [difference, difference])


def _read_prelu(site: Site) -> None:
    """relu(x) + slope * (x - relu(x)): exact in floats."""
    if not site.is_real:
        site.refuse("on integers")
    x = site.operand(0)
    positive, negative, scaled = (site.temporary(part) for part in ("positive", "negative", "scaled"))
    site.emit(Relu(), [x], [positive], part="_positive")
    site.emit(Sub(), [x, positive], [negative], part="_negative")
    site.emit(Mul(), [negative, site.weights(1)], [scaled], part="_scaled")
    site.emit(Add(), [positive, scaled])


def _read_unary(op: Operator) -> Callable[[Site], None]:
    def read(site: Site) -> None:
        site.emit(op, [site.operand(0)])

    return read


def _read_leaky_relu(site: Site) -> None:
    site.emit(LeakyRelu(alpha=site.options("LeakyReluOptions")["alpha"]), [site.operand(0)])


def _read_gelu(site: Site) -> None:
    site.emit(Gelu(approximate=bool(site.options("GeluOptions")["approximate"])), [site.operand(0)])


def _read_softmax(site: Site) -> None:
    site.emit(Softmax(beta=site.options("SoftmaxOptions")["beta"]), [site.operand(0)])


def _read_dequantise(site: Site) -> None:
    if site.described(0).dtype == "float16":
        site.refuse("of float16 activations")
    site.emit(Dequantise(), [site.operand(0)])


READERS = {
    "ADD": _read_binary(Add, "AddOptions"),
    "SUB": _read_binary(Sub, "SubOptions"),
    "MUL": _read_binary(Mul, "MulOptions"),
    "SQUARED_DIFFERENCE": _read_squared_difference,
    "RELU": _read_unary(Relu()),
    "RELU6": _read_unary(Relu6()),
    "LEAKY_RELU": _read_leaky_relu,
    "PRELU": _read_prelu,
    "HARD_SWISH": _read_unary(HardSwish()),
    "LOGISTIC": _read_unary(Sigmoid()),
    "TANH": _read_unary(Tanh()),
    "GELU": _read_gelu,
    "SOFTMAX": _read_softmax,
    "QUANTIZE": _read_unary(Quantise()),
    "DEQUANTIZE": _read_dequantise,
}


def _write_add(node: Node, graph: Graph, op: Add) -> Record:
    options = {"fused_activation_function": fused(op.activation), "pot_scale_int16": False}
    return Record(operator="ADD", inputs=node.inputs, version=version(node, graph), options=("AddOptions", options))


def _write_sub(node: Node, graph: Graph, op: Sub) -> Record:
    options = {"fused_activation_function": fused(op.activation), "pot_scale_int16": False}
    number = version(node, graph, int16=5)
    return Record(operator="SUB", inputs=node.inputs, version=number, options=("SubOptions", options))


def _write_mul(node: Node, graph: Graph, op: Mul) -> Record:
    options = {"fused_activation_function": fused(op.activation)}
    number = version(node, graph, int8=3 if _multiplier(node, graph) >= 1 else 2, int16=4)
    return Record(operator="MUL", inputs=node.inputs, version=number, options=("MulOptions", options))


def _multiplier(node: Node, graph: Graph) -> float:
    """The factor by which an integer product is rescaled; 0 for reals."""
    a, b, y = (graph.tensors[name].quantisation for name in (*node.inputs, *node.outputs))
    return a.scale * b.scale / y.scale if a and b and y else 0.0


def _write_unary(operator: str, table: str | None = None, *, int8: int = 2, int16: int = 3) -> Write:
    def write(node: Node, graph: Graph, _op: Operator) -> Record:
        number = version(node, graph, int8=int8, int16=int16)
        return Record(operator=operator, inputs=node.inputs, version=number, options=(table, {}) if table else None)

    return write


def _write_leaky_relu(node: Node, graph: Graph, op: LeakyRelu) -> Record:
    number = version(node, graph, int8=1, int16=2)
    return Record(operator="LEAKY_RELU", inputs=node.inputs, version=number, options=("LeakyReluOptions", {"alpha": op.alpha}))


def _write_gelu(node: Node, graph: Graph, op: Gelu) -> Record:
    options = ("GeluOptions", {"approximate": op.approximate})
    return Record(operator="GELU", inputs=node.inputs, version=version(node, graph), options=options)


def _write_softmax(node: Node, graph: Graph, op: Softmax) -> Record:
    return Record(
        operator="SOFTMAX", inputs=node.inputs, version=version(node, graph), options=("SoftmaxOptions", {"beta": op.beta})
    )


def _write_quantise(node: Node, graph: Graph, _op: Quantise) -> Record:
    number = 2 if graph.tensors[node.outputs[0]].dtype == "int16" else 1
    return Record(operator="QUANTIZE", inputs=node.inputs, version=number, options=("QuantizeOptions", {}))


WRITERS: dict[type, Write] = {
    Add: _write_add,
    Sub: _write_sub,
    Mul: _write_mul,
    Relu: _write_unary("RELU"),
    Relu6: _write_unary("RELU6"),
    LeakyRelu: _write_leaky_relu,
    HardSwish: _write_unary("HARD_SWISH", "HardSwishOptions", int8=1),
    Sigmoid: _write_unary("LOGISTIC"),
    Tanh: _write_unary("TANH"),
    Gelu: _write_gelu,
    Softmax: _write_softmax,
    Quantise: _write_quantise,
    Dequantise: _write_unary("DEQUANTIZE", "DequantizeOptions"),
}
