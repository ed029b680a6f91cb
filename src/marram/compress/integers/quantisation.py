"""Quantisation: a float Graph and calibration data in, an int8 Graph out, by TFLite's 8-bit specification.

Weights are int8, symmetric, one scale for each output channel; biases int32; activations int8, affine, zero exact. Operators
without an integer form, and those that are asked to stay float, become islands between a Dequantise and a Quantise.

Nodes may have weights of fewer bits: still int8, their values within 7 or 1 of zero, for C to pack. Nodes may work on int16:
all their activations are then int16 and symmetric, the bias int64, and a Quantise stands where int8 and int16 meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from marram.compress.integers.calibration import Range, Samples, calibrate
from marram.compress.integers.grid import (
    BIAS_LIMIT,
    WIDE_BIAS_LIMIT,
    bias_scales,
    greatest,
    symmetric_weights,
    to_integers,
)
from marram.compress.integers.scales import Plan, Precision, channel_axis, plan
from marram.compress.integers.widths import check_names, precision_of
from marram.compress.rewrites.folding import fold
from marram.compress.rewrites.recurrence import unroll
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Array, DType, Graph, Node, Quantisation, Tensor, fresh_name
from marram.core.operators import Operator
from marram.core.recipe import ActivationBits, CalibrationMethod, WeightBits
from marram.model.spec import RULES, verify

# TFLite Micro and CMSIS-NN run FULLY_CONNECTED with a scale for each output channel.
DENSE_BY_CHANNEL = True

InputQuantisation = Quantisation | Mapping[str, Quantisation] | None
"""The quantisation of the graph's only input, or of inputs by name; None where the calibrated range decides."""

_Form = tuple[DType, Quantisation]
"""What a tensor is as integers."""
_NO_WEIGHT_BITS: Mapping[str, WeightBits] = {}
_NO_CHANNEL_BITS: Mapping[str, tuple[WeightBits, ...]] = {}
_NO_ACTIVATION_BITS: Mapping[str, ActivationBits] = {}


def quantise(
    graph: Graph,
    calibration: Samples,
    *,
    method: CalibrationMethod = "min_max",
    percentile: float = 99.99,
    keep_float: Iterable[str] = (),
    input_quantisation: InputQuantisation = None,
    weight_bits: Mapping[str, WeightBits] = _NO_WEIGHT_BITS,
    channel_bits: Mapping[str, tuple[WeightBits, ...]] = _NO_CHANNEL_BITS,
    activation_bits: Mapping[str, ActivationBits] = _NO_ACTIVATION_BITS,
) -> Graph:
    """Quantise a float Graph to int8 after training.

    Args:
        graph: a float Graph; it is folded first (folding a folded one changes nothing), and recurrent nodes are unrolled.
        calibration: float32 samples, one array or batches; a few hundred are usual.
        method: how activation ranges are drawn; see ``calibration``.
        percentile: for the method of that name.
        keep_float: names of nodes of the folded Graph that stay float.
        input_quantisation: the exact quantisation of the input, for instance of pixels.
        weight_bits: 8, 4 or 2 by node of the folded Graph, 8 where not named.
        channel_bits: by node, as many bits of each output channel, none more than ``weight_bits`` gives the node. Kernels pack
            a layer's weights by the widest channel, so this tells what single channels bear rather than makes files smaller.
        activation_bits: by node, 16 where it is to work on int16: its inputs are widened, its output is int16.

    Returns:
        An integer Graph: int8 inputs and outputs of the same names (an output of a node with 16 bits is int16), nodes named
        as in the folded Graph.

    Raises:
        UserError: the Graph is not a float Graph, a name is no node's, or bits are asked for that a node cannot have.
        DataError: there are no samples, or an activation is NaN or infinite; names the tensor.
    """
    folded = unroll(fold(graph))
    ranges = calibrate(folded, calibration, method=method, percentile=percentile)
    return quantise_by_ranges(
        folded,
        ranges,
        keep_float=keep_float,
        input_quantisation=input_quantisation,
        weight_bits=weight_bits,
        channel_bits=channel_bits,
        activation_bits=activation_bits,
    )


def quantise_by_ranges(
    graph: Graph,
    ranges: Mapping[str, Range],
    *,
    keep_float: Iterable[str] = (),
    input_quantisation: InputQuantisation = None,
    weight_bits: Mapping[str, WeightBits] = _NO_WEIGHT_BITS,
    channel_bits: Mapping[str, tuple[WeightBits, ...]] = _NO_CHANNEL_BITS,
    activation_bits: Mapping[str, ActivationBits] = _NO_ACTIVATION_BITS,
) -> Graph:
    """Quantise a float Graph whose ranges are known, as it stands.

    Args:
        graph: a float Graph without recurrent nodes.
        ranges: of every input and computed tensor, from ``calibrate`` on the same Graph.
        keep_float: names of nodes that stay float.
        input_quantisation: as for ``quantise``; so are the bits.
        weight_bits: by node.
        channel_bits: by node.
        activation_bits: by node.

    Raises:
        UserError: as ``quantise``, or a range is missing.
    """
    kept = frozenset(keep_float)
    check_names(kept, [node.name for node in graph.nodes], "keep_float")
    integer = frozenset(node.name for node in graph.nodes if RULES[type(node.op)].integer and node.name not in kept)
    inputs = _given_inputs(graph, input_quantisation)
    precision = precision_of(
        graph, integer=integer, weight_bits=weight_bits, channel_bits=channel_bits, activation_bits=activation_bits
    )
    scales = plan(graph, ranges, integer=integer, inputs=inputs, dense_by_channel=DENSE_BY_CHANNEL, precision=precision)
    quantised = _Assembly(graph, scales, integer, precision).graph()
    verify(quantised, "integer")
    return quantised


def _given_inputs(graph: Graph, given: InputQuantisation) -> dict[str, Quantisation]:
    if given is None:
        return {}
    if isinstance(given, Quantisation):
        if len(graph.inputs) != 1:
            raise UserError(
                f"one input quantisation for {len(graph.inputs)} inputs",
                hint="Give a mapping by input name.",
            )
        return {graph.inputs[0]: given}
    check_names(given, list(graph.inputs), "input_quantisation")
    return dict(given)


class _Assembly:
    """The integer graph while it is put together: nodes in order, and which images of a tensor exist already."""

    def __init__(self, source: Graph, scales: Plan, integer: frozenset[str], precision: Precision) -> None:
        self.source, self.scales, self.integer, self.precision = source, scales, integer, precision
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = {}
        self.constants: dict[str, Array] = {}
        self.floats: dict[str, str] = {}
        self.images: dict[tuple[str, DType, Quantisation], str] = {}
        self.node_names = {node.name: node for node in source.nodes}
        self.wide = {name for node in source.nodes if node.name in precision.int16 for name in node.outputs}

    def graph(self) -> Graph:
        """The integer graph."""
        for name in self.source.inputs:
            self._integer_tensor(name, name, self._own(name))
        for node in self.source.nodes:
            (self._add_integer if node.name in self.integer else self._add_float)(node)
        for name in self.source.outputs:
            self._image(name, self._own(name))
        return msgspec.structs.replace(self.source, nodes=tuple(self.nodes), tensors=self.tensors, constants=self.constants)

    def _free(self, wanted: str) -> str:
        return fresh_name({**self.source.tensors, **self.tensors}, wanted)

    def _own(self, name: str) -> _Form:
        """The form in which a tensor is made."""
        return ("int16", self.scales.wide[name]) if name in self.wide else ("int8", self.scales.of[name])

    def _read(self, node: Node, name: str) -> _Form:
        """The form in which a node reads a tensor."""
        if node.name in self.precision.int16:
            return "int16", self.scales.wide[name]
        return "int8", self.scales.read_by(node, name)

    def _integer_tensor(self, source: str, name: str, form: _Form) -> str:
        dtype, quantisation = form
        shape = self.source.tensors[source].shape
        self.tensors[name] = Tensor(name=name, shape=shape, dtype=dtype, quantisation=quantisation)
        self.images[source, dtype, quantisation] = name
        return name

    def _convert(self, op: Operator, source: str, target: str) -> None:
        name = fresh_name(self.node_names, f"{target}/{type(op).__name__.lower()}")
        node = Node(name=name, op=op, inputs=(source,), outputs=(target,))
        self.node_names[name] = node
        self.nodes.append(node)

    def _image(self, name: str, form: _Form) -> str:
        """The integer tensor that holds ``name`` in a form, made if it is not there yet."""
        known = self.images.get((name, *form))
        if known is not None:
            return known
        if name in self.source.constants:
            return self._parameter(name, form)
        own = self._own(name)
        if form != own:
            made = self._integer_tensor(name, self._free(f"{name}/requantised"), form)
            self._convert(ops.Quantise(), self._image(name, own), made)
            return made
        self._integer_tensor(name, name, own)
        self._convert(ops.Quantise(), self.floats[name], name)
        return name

    def _float(self, name: str) -> str:
        """The float tensor that holds ``name``, made if it is not there yet."""
        if name not in self.floats:
            if name in self.source.constants:
                made = name if name not in self.tensors else self._free(f"{name}/float")
                self.constants[made] = self.source.constants[name]
            else:
                made = self._free(f"{name}/float")
                self._convert(ops.Dequantise(), self._image(name, self._own(name)), made)
            self._float_tensor(name, made)
        return self.floats[name]

    def _float_tensor(self, source: str, name: str) -> None:
        self.tensors[name] = Tensor(name=name, shape=self.source.tensors[source].shape)
        self.floats[source] = name

    def _parameter(self, name: str, form: _Form, *, most: Array | int | None = None) -> str:
        """A constant as integers, once for each form that it is needed in."""
        known = self.images.get((name, *form))
        if known is not None:
            return known
        dtype, quantisation = form
        value = self.source.constants[name]
        made = name if name not in self.tensors else self._free(f"{name}/again")
        self._integer_tensor(name, made, form)
        self.constants[made] = to_integers(value, quantisation, dtype=dtype, most=most)
        return made

    def _add_float(self, node: Node) -> None:
        inputs = tuple(self._float(name) if name else "" for name in node.inputs)
        for name in node.outputs:
            self._float_tensor(name, name if name not in self.scales.of else self._free(f"{name}/float"))
        self.nodes.append(
            msgspec.structs.replace(node, inputs=inputs, outputs=tuple(self.floats[name] for name in node.outputs))
        )

    def _add_integer(self, node: Node) -> None:
        rule = RULES[type(node.op)]
        if rule.weights is None:
            inputs = tuple(self._image(name, self._read(node, name)) for name in node.inputs)
        else:
            inputs = self._layer_inputs(node, rule.weights)
        for name in node.outputs:
            self._integer_tensor(name, name, self._own(name))
        self.nodes.append(msgspec.structs.replace(node, inputs=inputs))

    def _layer_inputs(self, node: Node, position: int) -> tuple[str, str, str]:
        """The inputs of a layer with weights: activations, int8 weights, int32 bias, or int64 beside int16."""
        form, weights = self._read(node, node.inputs[0]), self.source.constants[node.inputs[position]]
        dtype, x = form
        bias = node.inputs[2] if len(node.inputs) > 2 else ""
        bits = self.precision.of_weights(node)
        quantisation = symmetric_weights(
            weights,
            self.source.constants[bias] if bias else None,
            axis=channel_axis(node, dense_by_channel=DENSE_BY_CHANNEL),
            input_scale=x.scale,
            output_scale=self._own(node.outputs[0])[1].scale,
            bits=bits,
            bias_limit=WIDE_BIAS_LIMIT if dtype == "int16" else BIAS_LIMIT,
        )
        made = self._parameter(node.inputs[position], ("int8", quantisation), most=greatest(bits))
        wide_bias: DType = "int64" if dtype == "int16" else "int32"
        offset = self._parameter(bias, (wide_bias, bias_scales(x.scale, quantisation))) if bias else ""
        return self._image(node.inputs[0], form), made, offset
