"""Spec: which Graphs are legal at which stage, as data, and ``verify``, which holds a Graph against it.

Stages: ``float`` (every activation float32) and ``integer`` (activations int8, biases int32, weights int8 symmetric; a float
island between a Dequantise and a Quantise is legal, and so are nodes all of whose activations are int16 and symmetric, with
biases of int64, where the operator has that form). ``RULES`` has one row for each operator. Source of the integer rules:
TensorFlow Lite 8-bit quantisation specification, and its 16x8 scheme.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import Literal

import msgspec
import numpy as np

from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Graph, Node, Quantisation, Tensor
from marram.core.operators import operator_name
from marram.model.structure import structural_problems

Stage = Literal["float", "integer"]

_REPORTED = 20
_BIAS_SCALE_TOLERANCE = 1e-5
_STORED = frozenset({"int8", "uint8", "int16"})


class OperatorRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one operator asks of the tensors around it.

    ``inputs`` and ``outputs`` are (fewest, most), None for any number. ``constants`` are the positions that must be constants.
    ``integer`` tells that it has an int8 form, ``int16`` that it has one of 16 bits as well. ``weights`` and ``bias`` are
    positions; per-channel weights have their scales along ``channel_axis``. ``same_scale``: inputs and outputs share one
    quantisation. ``fixed_output``: the only one allowed.
    """

    inputs: tuple[int, int | None]
    outputs: tuple[int, int | None] = (1, 1)
    constants: tuple[int, ...] = ()
    integer: bool = True
    int16: bool = False
    weights: int | None = None
    bias: int | None = None
    channel_axis: int | None = None
    same_scale: bool = False
    fixed_output: Quantisation | None = None


UNIT_INTERVAL = Quantisation(scales=(1 / 256,), zero_points=(-128,))
"""Output quantisation of softmax and sigmoid."""
SYMMETRIC_UNIT = Quantisation(scales=(1 / 128,), zero_points=(0,))
"""Output quantisation of tanh."""

_ONE = OperatorRule(inputs=(1, 1))
_TWO = OperatorRule(inputs=(2, 2))
_SUM = OperatorRule(inputs=(2, 2), int16=True)
_MOVES = OperatorRule(inputs=(1, 1), int16=True, same_scale=True)
_WEIGHTED = OperatorRule(inputs=(2, 3), constants=(1, 2), int16=True, weights=1, bias=2, channel_axis=0)

RULES: dict[type, OperatorRule] = {
    ops.Conv2D: _WEIGHTED,
    ops.DepthwiseConv2D: msgspec.structs.replace(_WEIGHTED, channel_axis=3),
    ops.TransposeConv2D: _WEIGHTED,
    ops.Dense: _WEIGHTED,
    ops.MatMul: _TWO,
    ops.Add: _SUM,
    ops.Sub: _SUM,
    ops.Mul: _TWO,
    ops.Concat: OperatorRule(inputs=(1, None), int16=True, same_scale=True),
    ops.Split: OperatorRule(inputs=(1, 1), outputs=(1, None), int16=True, same_scale=True),
    ops.Slice: _MOVES,
    ops.Pad: _MOVES,
    ops.Reshape: _MOVES,
    ops.Transpose: _MOVES,
    ops.AveragePool2D: _MOVES,
    ops.MaxPool2D: _MOVES,
    ops.Mean: _ONE,
    ops.Sum: _ONE,
    ops.Relu: _ONE,
    ops.Relu6: _ONE,
    ops.LeakyRelu: _ONE,
    ops.HardSwish: _ONE,
    ops.Sigmoid: OperatorRule(inputs=(1, 1), fixed_output=UNIT_INTERVAL),
    ops.Tanh: OperatorRule(inputs=(1, 1), fixed_output=SYMMETRIC_UNIT),
    ops.Gelu: _ONE,
    ops.Softmax: OperatorRule(inputs=(1, 1), fixed_output=UNIT_INTERVAL),
    ops.LayerNorm: OperatorRule(inputs=(3, 3), constants=(1, 2), integer=False),
    ops.BatchNorm: OperatorRule(inputs=(5, 5), constants=(1, 2, 3, 4), integer=False),
    ops.Resize: _MOVES,
    ops.Quantise: _ONE,
    ops.Dequantise: _ONE,
    ops.Lstm: OperatorRule(inputs=(3, 4), outputs=(1, 3), constants=(1, 2, 3), integer=False),
    ops.Gru: OperatorRule(inputs=(3, 5), outputs=(1, 2), constants=(1, 2, 3, 4), integer=False),
}


def verify(graph: Graph, stage: Stage) -> None:
    """Hold a Graph against the structure rules and the rules of its stage.

    Raises:
        UserError: the Graph is not legal; the hint lists the problems, each with its node and tensor, at most twenty.
    """
    found = list(islice(problems(graph, stage), _REPORTED + 1))
    if found:
        shown = found[:_REPORTED] + (["and more"] if len(found) > _REPORTED else [])
        raise UserError(f"not legal at the {stage} stage", where=f"graph {graph.name}", hint="\n  ".join(shown))


def problems(graph: Graph, stage: Stage) -> Iterator[str]:
    """Every fault of a Graph at a stage, one sentence each; the rules of operators only where the structure is sound."""
    unsound = False
    for problem in structural_problems(graph):
        unsound = True
        yield problem
    if unsound:
        return
    for node in graph.nodes:
        faults = _count_faults(graph, node)
        for fault in faults or _dtype_faults(graph, node, stage):
            yield f"node {node.name} ({operator_name(node.op)}): {fault}"


def _count_faults(graph: Graph, node: Node) -> list[str]:
    """Too few or too many tensors, or a computed tensor where a constant must stand."""
    rule = RULES[type(node.op)]
    faults = []
    for what, names, (fewest, most) in (("inputs", node.inputs, rule.inputs), ("outputs", node.outputs, rule.outputs)):
        if len(names) < fewest or (most is not None and len(names) > most) or any(not name for name in names[:fewest]):
            faults.append(f"has {len(names)} {what}, takes {fewest} to {'any number' if most is None else most}")
    if isinstance(node.op, ops.Split) and len(node.outputs) != len(node.op.sizes):
        faults.append(f"has {len(node.outputs)} outputs for {len(node.op.sizes)} sizes")
    for position in rule.constants:
        name = node.inputs[position] if position < len(node.inputs) else ""
        if name and name not in graph.constants:
            faults.append(f"input {name!r} must be a constant")
    return faults


def _dtype_faults(graph: Graph, node: Node, stage: Stage) -> Iterator[str]:
    rule = RULES[type(node.op)]
    if isinstance(node.op, ops.Quantise | ops.Dequantise):
        yield from _border_faults(graph, node, stage)
    elif _is_float(graph, node):
        for tensor in _tensors(graph, node):
            if tensor.dtype != "float32" or tensor.quantisation is not None:
                yield f"tensor {tensor.name!r} is {_kind(tensor)}, the node's output is float32"
    elif stage == "float":
        yield f"output {node.outputs[0]!r} is {graph.tensors[node.outputs[0]].dtype}, not float32"
    elif not rule.integer:
        yield "has no integer form; it stays float between a Dequantise and a Quantise"
    else:
        yield from _integer_faults(graph, node, rule)


def _is_float(graph: Graph, node: Node) -> bool:
    return graph.tensors[node.outputs[0]].dtype == "float32"


def _tensors(graph: Graph, node: Node) -> Iterator[Tensor]:
    return (graph.tensors[name] for name in (*node.inputs, *node.outputs) if name)


def _kind(tensor: Tensor) -> str:
    return f"{tensor.dtype}{' and quantised' if tensor.quantisation else ''}"


def _border_faults(graph: Graph, node: Node, stage: Stage) -> Iterator[str]:
    """Quantise gives integers, Dequantise takes them; both only in the integer stage."""
    if stage == "float":
        yield "has no place in a float graph"
        return
    source, target = graph.tensors[node.inputs[0]], graph.tensors[node.outputs[0]]
    whole = [target] if isinstance(node.op, ops.Quantise) else [source]
    if isinstance(node.op, ops.Dequantise) and target.dtype != "float32":
        yield f"output {target.name!r} is {target.dtype}, not float32"
    if isinstance(node.op, ops.Quantise) and source.dtype != "float32":
        whole.append(source)
    for tensor in whole:
        if tensor.dtype not in _STORED:
            yield f"tensor {tensor.name!r} is {tensor.dtype}, not one of {', '.join(sorted(_STORED))}"
        yield from _one_scale_faults(tensor)


def _scale_of(tensor: Tensor) -> tuple[tuple[float, ...], tuple[int, ...]] | None:
    quantised = tensor.quantisation
    return None if quantised is None else (quantised.scales, quantised.zero_points)


def _one_scale_faults(tensor: Tensor) -> Iterator[str]:
    if tensor.quantisation is None:
        yield f"tensor {tensor.name!r} has no quantisation"
    elif len(tensor.quantisation.scales) != 1:
        yield f"tensor {tensor.name!r} has {len(tensor.quantisation.scales)} scales, an activation has one"


def _integer_faults(graph: Graph, node: Node, rule: OperatorRule) -> Iterator[str]:
    activations = [graph.tensors[name] for i, name in enumerate(node.inputs) if name and i not in {rule.weights, rule.bias}] + [
        graph.tensors[name] for name in node.outputs
    ]
    sound = True
    wide = rule.int16 and activations[-1].dtype == "int16"
    dtype = "int16" if wide else "int8"
    for tensor in activations:
        if tensor.dtype != dtype:
            sound = False
            yield f"tensor {tensor.name!r} is {tensor.dtype}, not {dtype}"
        elif wide and tensor.quantisation is not None and any(tensor.quantisation.zero_points):
            sound = False
            yield f"tensor {tensor.name!r} is int16 and has zero points other than 0"
        for fault in _one_scale_faults(tensor):
            sound = False
            yield fault
    if not sound:
        return
    if rule.same_scale and len({_scale_of(tensor) for tensor in activations}) > 1:
        yield "its inputs and outputs must share one scale and zero point"
    if rule.fixed_output is not None and _scale_of(activations[-1]) != (
        rule.fixed_output.scales,
        rule.fixed_output.zero_points,
    ):
        yield f"output {activations[-1].name!r} must have scale {rule.fixed_output.scale} and {rule.fixed_output.zero_point}"
    if rule.weights is not None:
        yield from _weight_faults(graph, node, rule)


def _weight_faults(graph: Graph, node: Node, rule: OperatorRule) -> Iterator[str]:
    """Weights are int8 and symmetric, by channel or by tensor; the bias is of scale input * weights, int64 beside int16."""
    assert rule.weights is not None
    weights = graph.tensors[node.inputs[rule.weights]]
    quantised = weights.quantisation
    if weights.dtype != "int8" or quantised is None:
        yield f"weights {weights.name!r} are {_kind(weights)}, not int8 and quantised"
        return
    if any(quantised.zero_points):
        yield f"weights {weights.name!r} have zero points other than 0"
    if quantised.axis not in {None, rule.channel_axis}:
        yield f"weights {weights.name!r} have scales along axis {quantised.axis}, not {rule.channel_axis}"
        return
    name = node.inputs[rule.bias] if rule.bias is not None and rule.bias < len(node.inputs) else ""
    if name:
        yield from _bias_faults(graph.tensors[name], graph.tensors[node.inputs[0]], quantised)


def _bias_faults(bias: Tensor, source: Tensor, weights: Quantisation) -> Iterator[str]:
    quantised, dtype = bias.quantisation, "int64" if source.dtype == "int16" else "int32"
    if bias.dtype != dtype or quantised is None:
        yield f"bias {bias.name!r} is {_kind(bias)}, not {dtype} and quantised"
        return
    if any(quantised.zero_points):
        yield f"bias {bias.name!r} has zero points other than 0"
    assert source.quantisation is not None
    expected = [float(np.float32(source.quantisation.scale) * np.float32(scale)) for scale in weights.scales]
    if len(expected) != len(quantised.scales) or not all(
        math.isclose(given, wanted, rel_tol=_BIAS_SCALE_TOLERANCE)
        for given, wanted in zip(quantised.scales, expected, strict=True)
    ):
        yield f"bias {bias.name!r} must have the scales of input times weights"
