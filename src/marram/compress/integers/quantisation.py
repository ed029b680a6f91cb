"""Quantisation: a float Graph and calibration data in, an int8 Graph out, by TFLite's 8-bit specification.

Weights are int8, symmetric, one scale for each output channel; biases int32; activations int8, affine, zero exact. Operators
without an integer form, and those that are asked to stay float, become islands between a Dequantise and a Quantise.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import msgspec

from marram.compress.integers.calibration import Range, Samples, calibrate
from marram.compress.integers.grid import bias_scales, symmetric_weights, to_integers
from marram.compress.integers.scales import Plan, channel_axis, plan
from marram.compress.rewrites.folding import fold
from marram.compress.rewrites.recurrence import unroll
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Array, Graph, Node, Quantisation, Tensor, fresh_name
from marram.core.operators import Operator
from marram.core.recipe import CalibrationMethod
from marram.model.spec import RULES, verify

# TFLite Micro and CMSIS-NN run FULLY_CONNECTED with a scale for each output channel.
DENSE_BY_CHANNEL = True

InputQuantisation = Quantisation | Mapping[str, Quantisation] | None
"""The quantisation of the graph's only input, or of inputs by name; None where the calibrated range decides."""


def quantise(
    graph: Graph,
    calibration: Samples,
    *,
    method: CalibrationMethod = "min_max",
    percentile: float = 99.99,
    keep_float: Iterable[str] = (),
    input_quantisation: InputQuantisation = None,
) -> Graph:
    """Quantise a float Graph to int8 after training.

    Args:
        graph: a float Graph; it is folded first (folding a folded one changes nothing), and recurrent nodes are unrolled.
        calibration: float32 samples, one array or batches; a few hundred are usual.
        method: how activation ranges are drawn; see ``calibration``.
        percentile: for the method of that name.
        keep_float: names of nodes of the folded Graph that stay float.
        input_quantisation: the exact quantisation of the input, for instance of pixels.

    Returns:
        An integer Graph: int8 inputs and outputs of the same names, nodes named as in the folded Graph.

    Raises:
        UserError: the Graph is not a float Graph, or ``keep_float`` names no node.
        DataError: there are no samples, or an activation is NaN or infinite; names the tensor.
    """
    folded = unroll(fold(graph))
    ranges = calibrate(folded, calibration, method=method, percentile=percentile)
    return quantise_by_ranges(folded, ranges, keep_float=keep_float, input_quantisation=input_quantisation)


def quantise_by_ranges(
    graph: Graph,
    ranges: Mapping[str, Range],
    *,
    keep_float: Iterable[str] = (),
    input_quantisation: InputQuantisation = None,
) -> Graph:
    """Quantise a float Graph whose ranges are known, as it stands.

    Args:
        graph: a float Graph without recurrent nodes.
        ranges: of every input and computed tensor, from ``calibrate`` on the same Graph.
        keep_float: names of nodes that stay float.
        input_quantisation: as for ``quantise``.

    Raises:
        UserError: as ``quantise``, or a range is missing.
    """
    kept = frozenset(keep_float)
    _check_names(kept, [node.name for node in graph.nodes], "keep_float")
    integer = frozenset(node.name for node in graph.nodes if RULES[type(node.op)].integer and node.name not in kept)
    inputs = _given_inputs(graph, input_quantisation)
    scales = plan(graph, ranges, integer=integer, inputs=inputs, dense_by_channel=DENSE_BY_CHANNEL)
    quantised = _Assembly(graph, scales, integer).graph()
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
    _check_names(frozenset(given), list(graph.inputs), "input_quantisation")
    return dict(given)


def _check_names(given: frozenset[str], known: list[str], what: str) -> None:
    for name in sorted(given - set(known)):
        near = difflib.get_close_matches(name, known, n=3) or known[:5]
        raise UserError(f"{name!r} is not in the graph", where=what, hint=f"Did you mean {', '.join(near)}?")


class _Assembly:
    """The integer graph while it is put together: nodes in order, and which images of a tensor exist already."""

    def __init__(self, source: Graph, scales: Plan, integer: frozenset[str]) -> None:
        self.source, self.scales, self.integer = source, scales, integer
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = {}
        self.constants: dict[str, Array] = {}
        self.floats: dict[str, str] = {}
        self.images: dict[tuple[str, Quantisation], str] = {}
        self.node_names = {node.name: node for node in source.nodes}

    def graph(self) -> Graph:
        """The integer graph."""
        for name in self.source.inputs:
            self._integer_tensor(name, name, self.scales.of[name])
        for node in self.source.nodes:
            (self._add_integer if node.name in self.integer else self._add_float)(node)
        for name in self.source.outputs:
            self._image(name, self.scales.of[name])
        return msgspec.structs.replace(self.source, nodes=tuple(self.nodes), tensors=self.tensors, constants=self.constants)

    def _free(self, wanted: str) -> str:
        return fresh_name({**self.source.tensors, **self.tensors}, wanted)

    def _integer_tensor(self, source: str, name: str, quantisation: Quantisation) -> str:
        shape = self.source.tensors[source].shape
        self.tensors[name] = Tensor(name=name, shape=shape, dtype="int8", quantisation=quantisation)
        self.images[source, quantisation] = name
        return name

    def _convert(self, op: Operator, source: str, target: str) -> None:
        name = fresh_name(self.node_names, f"{target}/{type(op).__name__.lower()}")
        node = Node(name=name, op=op, inputs=(source,), outputs=(target,))
        self.node_names[name] = node
        self.nodes.append(node)

    def _image(self, name: str, quantisation: Quantisation) -> str:
        """The int8 tensor that holds ``name`` in a quantisation, made if it is not there yet."""
        known = self.images.get((name, quantisation))
        if known is not None:
            return known
        own = self.scales.of[name]
        if name in self.source.constants:
            return self._parameter(name, quantisation, "int8")
        if quantisation != own:
            made = self._integer_tensor(name, self._free(f"{name}/requantised"), quantisation)
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
                self._convert(ops.Dequantise(), self._image(name, self.scales.of[name]), made)
            self._float_tensor(name, made)
        return self.floats[name]

    def _float_tensor(self, source: str, name: str) -> None:
        self.tensors[name] = Tensor(name=name, shape=self.source.tensors[source].shape)
        self.floats[source] = name

    def _parameter(self, name: str, quantisation: Quantisation, dtype: str, *, lowest: int | None = None) -> str:
        """A constant as integers, once for each quantisation that it is needed in."""
        known = self.images.get((name, quantisation))
        if known is not None:
            return known
        value = self.source.constants[name]
        made = name if name not in self.tensors else self._free(f"{name}/again")
        self.tensors[made] = Tensor(name=made, shape=tuple(value.shape), dtype=dtype, quantisation=quantisation)  # type: ignore[arg-type]
        self.constants[made] = to_integers(value, quantisation, dtype=dtype, lowest=lowest)
        self.images[name, quantisation] = made
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
            inputs = tuple(self._image(name, self.scales.read_by(node, name)) for name in node.inputs)
        else:
            inputs = self._layer_inputs(node, rule.weights)
        for name in node.outputs:
            self._integer_tensor(name, name, self.scales.of[name])
        self.nodes.append(msgspec.structs.replace(node, inputs=inputs))

    def _layer_inputs(self, node: Node, position: int) -> tuple[str, str, str]:
        """The inputs of a layer with weights: activations, int8 weights, int32 bias."""
        x, weights = self.scales.of[node.inputs[0]], self.source.constants[node.inputs[position]]
        bias = node.inputs[2] if len(node.inputs) > 2 else ""
        quantisation = symmetric_weights(
            weights,
            self.source.constants[bias] if bias else None,
            axis=channel_axis(node, dense_by_channel=DENSE_BY_CHANNEL),
            input_scale=x.scale,
            output_scale=self.scales.of[node.outputs[0]].scale,
        )
        made = self._parameter(node.inputs[position], quantisation, "int8", lowest=-127)
        offset = self._parameter(bias, bias_scales(x.scale, quantisation), "int32") if bias else ""
        return self._image(node.inputs[0], x), made, offset
