"""Bias correction: each layer's mean error on calibration data goes into its int32 bias, layer by layer in order.

The error of a layer is measured before its activation, output channel by output channel, between the float layer on float
inputs and the quantised weights on the inputs that the already corrected integer layers give. Source: Nagel et al., ICCV 2019,
section 4.2 and appendix D (empirical bias correction).

Layers that share their weights (steps of an unrolled recurrent layer) are left as they are, for they share all else, too.
"""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np

from marram.compress.integers.calibration import Samples
from marram.compress.integers.grid import WIDE_BIAS_LIMIT, bias_scales
from marram.compress.integers.stepping import (
    Values,
    first_batches,
    last_reads,
    run_node,
    samples_in_memory,
    step,
    to_float,
    to_inputs,
)
from marram.compress.rewrites.weights import LINEAR
from marram.core.graph import Array, DType, Graph, Node, Tensor, fresh_name, with_nodes
from marram.model.counts import counts


def correct_bias(float_graph: Graph, integer: Graph, samples: Samples, *, limit: int = 256) -> Graph:
    """Shift the integer biases of an integer Graph against the mean error of each layer.

    Args:
        float_graph: the Graph that ``integer`` was quantised from, with its node names.
        integer: an integer Graph.
        samples: calibration samples in float32.
        limit: the most samples that are used; fewer where their activations would not fit into memory.

    Returns:
        The integer Graph with corrected biases; a layer without a bias gets one.
    """
    live = counts(float_graph).peak_live_bytes + counts(integer).peak_live_bytes
    count = samples_in_memory(live, limit=limit)
    inputs = first_batches(float_graph, samples, limit=count, size=count)
    floats, integers = [dict(values) for values in inputs], [to_inputs(integer, values) for values in inputs]
    by_name = {node.name: index for index, node in enumerate(float_graph.nodes)}
    forget_float, forget = last_reads(float_graph), last_reads(integer)
    done = 0
    uses = Counter(node.inputs[1] for node in integer.nodes if isinstance(node.op, LINEAR))
    for index, node in enumerate(integer.nodes):
        partner = by_name.get(node.name)
        while partner is not None and done < partner:
            step(float_graph, done, floats, forget_float)
            done += 1
        alone = isinstance(node.op, LINEAR) and uses[node.inputs[1]] == 1
        if partner is not None and alone and integer.tensors[node.outputs[0]].dtype in {"int8", "int16"}:
            error = _mean_error((float_graph, float_graph.nodes[partner], floats), (integer, node, integers))
            integer = _shifted(integer, node, -error)
        step(integer, index, integers, forget)
    return integer


_Layer = tuple[Graph, Node, list[Values]]


def _mean_error(exact_layer: _Layer, whole_layer: _Layer) -> Array:
    """Mean difference of the quantised layer from the float layer for each output channel.

    A layer is affine in its input, so the mean of its outputs is its output for the mean input: one run instead of hundreds.
    """
    (graph, node, floats), (integer, quantised, integers) = exact_layer, whole_layer
    parameters = {
        mine: to_float(integer, theirs, integer.constants[theirs])
        for mine, theirs in zip(node.inputs[1:], quantised.inputs[1:], strict=False)
        if mine and theirs
    }
    rounded = msgspec.structs.replace(graph, constants={**graph.constants, **parameters})
    source = integer.tensors[quantised.inputs[0]]
    assert source.quantisation is not None
    steps = _mean_sample([values[source.name] for values in integers], source.shape)
    given = (steps - source.quantisation.zero_point) * source.quantisation.scale
    exact = _mean_sample([values[node.inputs[0]] for values in floats], source.shape)
    difference = _before_activation(rounded, node, given) - _before_activation(graph, node, exact)
    return np.asarray(difference.reshape(-1, difference.shape[-1]).mean(axis=0))


def _mean_sample(arrays: list[Array], shape: tuple[int, ...]) -> Array:
    """The mean over all samples, in the shape of one, float64."""
    count = sum(len(array) for array in arrays) // shape[0]
    total = np.zeros(shape)
    for array in arrays:
        total += array.reshape(-1, *shape).sum(axis=0, dtype=np.float64)
    return np.asarray(total / count)


def _before_activation(graph: Graph, node: Node, value: Array) -> Array:
    """What a layer gives for one input, without its activation."""
    assert isinstance(node.op, LINEAR)
    bare = msgspec.structs.replace(node, op=msgspec.structs.replace(node.op, activation="none"))
    return run_node(graph, bare, {node.inputs[0]: value.astype(np.float32)})[0].astype(np.float64)


def _shifted(integer: Graph, node: Node, shift: Array) -> Graph:
    """The graph with a real-valued shift added to one layer's bias."""
    source, weights = integer.tensors[node.inputs[0]].quantisation, integer.tensors[node.inputs[1]].quantisation
    assert source is not None
    assert weights is not None
    scales = bias_scales(source.scale, weights)
    name = node.inputs[2] if len(node.inputs) > 2 else ""
    before = integer.constants[name].astype(np.float64) if name else np.zeros(shift.size)
    dtype: DType
    dtype, limit = ("int64", WIDE_BIAS_LIMIT) if integer.tensors[node.inputs[0]].dtype == "int16" else ("int32", 2.0**31 - 1)
    value = np.clip(np.round(before + shift / np.array(scales.scales)), -limit, limit).astype(dtype)
    made = fresh_name(integer.tensors, f"{node.name}/corrected_bias")
    tensor = Tensor(name=made, shape=value.shape, dtype=dtype, quantisation=scales)
    changed = msgspec.structs.replace(node, inputs=(*node.inputs[:2], made))
    nodes = [changed if other.name == node.name else other for other in integer.nodes]
    return with_nodes(integer, nodes, tensors={made: tensor}, constants={made: value})
