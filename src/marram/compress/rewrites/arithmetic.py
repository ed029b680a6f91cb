"""Arithmetic with constants: factors and offsets move into the linear layers beside them, where that is exact.

Source for the batch norm: Ioffe & Szegedy, Batch Normalization, 2015, section 3.1 (at inference it is affine); for folding:
Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference, CVPR 2018, 3.2.
"""

from __future__ import annotations

import msgspec
import numpy as np

from marram.compress.rewrites.rewriting import View, float_constant, substitute
from marram.compress.rewrites.weights import layer, scaled_inputs, scaled_outputs, summed_taps, with_parameters
from marram.core import operators as ops
from marram.core.graph import Array, Graph, Node, Tensor, fresh_name


def split_batch_norm(seen: View, node: Node) -> Graph | None:
    """BatchNorm -> Mul by gamma / sqrt(variance + epsilon), then Add."""
    op = node.op
    parameters = [seen.constant(name) for name in node.inputs[1:]]
    if not isinstance(op, ops.BatchNorm) or any(value is None for value in parameters):
        return None
    gamma, beta, mean, variance = (value.astype(np.float64) for value in parameters if value is not None)
    factors = gamma / np.sqrt(variance + op.epsilon)
    graph = seen.graph
    scale, scales = float_constant(graph, f"{node.name}/factors", factors)
    shift, shifts = float_constant(graph, f"{node.name}/offsets", beta - mean * factors)
    (output,) = node.outputs
    middle = fresh_name(graph.tensors, f"{output}/scaled")
    names = {other.name: other for other in graph.nodes}
    mul = Node(name=fresh_name(names, f"{node.name}/scale"), op=ops.Mul(), inputs=(node.inputs[0], scale), outputs=(middle,))
    add = msgspec.structs.replace(node, op=ops.Add(), inputs=(middle, shift))
    tensors = {middle: Tensor(name=middle, shape=seen.shape(output))}
    return substitute(graph, {node.name: (mul, add)}, constants={**scales, **shifts}, tensors=tensors)


def subtraction_to_addition(seen: View, node: Node) -> Graph | None:
    """X - c -> x + (-c)."""
    value = seen.constant(node.inputs[1])
    if value is None or not isinstance(node.op, ops.Sub):
        return None
    name, made = float_constant(seen.graph, f"{node.inputs[1]}/negated", -value)
    changed = msgspec.structs.replace(node, op=ops.Add(activation=node.op.activation), inputs=(node.inputs[0], name))
    return substitute(seen.graph, {node.name: (changed,)}, constants=made)


def channel_constant(seen: View, node: Node) -> tuple[str, Array] | None:
    """For ``x op c`` with c a scalar or one value for each channel: x's name and c as a float64 vector of the channels."""
    for x, c in (node.inputs, node.inputs[::-1]):
        value, shape = seen.constant(c), seen.shape(x)
        if value is None or x in seen.graph.constants or not shape or shape != seen.shape(node.outputs[0]):
            continue
        if value.size == 1:
            return x, np.full(shape[-1], value.item(), np.float64)
        if value.shape[-1] == value.size == shape[-1]:
            return x, value.reshape(-1).astype(np.float64)
    return None


def scale_layer_before(seen: View, node: Node) -> Graph | None:
    """layer(x) * c -> a layer with scaled weights and bias; the product's activation becomes the layer's."""
    found = channel_constant(seen, node)
    producer = seen.private_producer(found[0], node) if found else None
    parts = layer(seen, producer)
    if found is None or producer is None or parts is None or parts[0].activation != "none" or not isinstance(node.op, ops.Mul):
        return None
    op, weights, bias = parts
    changed, made = with_parameters(
        seen.graph,
        producer,
        weights=scaled_outputs(op, weights, found[1]),
        bias=None if bias is None else bias * found[1],
        op=msgspec.structs.replace(op, activation=node.op.activation),
        outputs=node.outputs,
    )
    return substitute(seen.graph, {producer.name: (changed,), node.name: ()}, constants=made)


def shift_layer_before(seen: View, node: Node) -> Graph | None:
    """layer(x) + c -> a layer with c in its bias; the sum's activation becomes the layer's."""
    found = channel_constant(seen, node)
    producer = seen.private_producer(found[0], node) if found else None
    parts = layer(seen, producer)
    if found is None or producer is None or parts is None or parts[0].activation != "none" or not isinstance(node.op, ops.Add):
        return None
    op, _, bias = parts
    changed, made = with_parameters(
        seen.graph,
        producer,
        bias=found[1] + (0 if bias is None else bias),
        op=msgspec.structs.replace(op, activation=node.op.activation),
        outputs=node.outputs,
    )
    return substitute(seen.graph, {producer.name: (changed,), node.name: ()}, constants=made)


def _layer_after(seen: View, node: Node) -> Node | None:
    """The layer that alone reads this node's output as its activations."""
    reader = seen.sole_reader(node.outputs[0])
    return reader if reader is not None and layer(seen, reader) is not None and reader.inputs[0] == node.outputs[0] else None


def scale_layer_after(seen: View, node: Node) -> Graph | None:
    """layer(x * c) -> a layer with scaled weights. Zero padding stays zero, so it does not stand in the way."""
    found, reader = channel_constant(seen, node), _layer_after(seen, node)
    parts = layer(seen, reader)
    if found is None or reader is None or parts is None or not isinstance(node.op, ops.Mul) or node.op.activation != "none":
        return None
    op, weights, _ = parts
    changed, made = with_parameters(seen.graph, reader, weights=scaled_inputs(op, weights, found[1]))
    changed = msgspec.structs.replace(changed, inputs=(found[0], *changed.inputs[1:]))
    return substitute(seen.graph, {reader.name: (changed,), node.name: ()}, constants=made)


def shift_layer_after(seen: View, node: Node) -> Graph | None:
    """layer(x + c) -> a layer with the constant part in its bias. Not through padding, whose zeros are not shifted."""
    found, reader = channel_constant(seen, node), _layer_after(seen, node)
    parts = layer(seen, reader)
    if found is None or reader is None or parts is None or not isinstance(node.op, ops.Add) or node.op.activation != "none":
        return None
    op, weights, bias = parts
    if isinstance(op, ops.TransposeConv2D) or (not isinstance(op, ops.Dense) and any(op.padding)):
        return None
    offset = summed_taps(op, scaled_inputs(op, weights, found[1]))
    changed, made = with_parameters(seen.graph, reader, bias=offset + (0 if bias is None else bias))
    changed = msgspec.structs.replace(changed, inputs=(found[0], *changed.inputs[1:]))
    return substitute(seen.graph, {reader.name: (changed,), node.name: ()}, constants=made)


def scale_softmax_after(seen: View, node: Node) -> Graph | None:
    """softmax(x * c) with one positive c -> softmax with c in its beta."""
    reader = seen.sole_reader(node.outputs[0])
    if (
        not isinstance(node.op, ops.Mul)
        or node.op.activation != "none"
        or reader is None
        or not isinstance(reader.op, ops.Softmax)
    ):
        return None
    for x, c in (node.inputs, node.inputs[::-1]):
        value = seen.constant(c)
        if value is not None and value.size == 1 and value.item() > 0 and seen.shape(x) == seen.shape(node.outputs[0]):
            op = ops.Softmax(beta=reader.op.beta * value.item())
            changed = msgspec.structs.replace(reader, op=op, inputs=(x,))
            return substitute(seen.graph, {node.name: (), reader.name: (changed,)})
    return None


def product_to_dense(seen: View, node: Node) -> Graph | None:
    """MatMul with one constant matrix on the right -> Dense."""
    op, matrix = node.op, seen.constant(node.inputs[1])
    if not isinstance(op, ops.MatMul) or op.transpose_a or matrix is None or node.inputs[0] in seen.graph.constants:
        return None
    if len(seen.shape(node.inputs[0])) < matrix.ndim or matrix.size != matrix.shape[-1] * matrix.shape[-2]:
        return None
    flat = matrix.reshape(matrix.shape[-2:])
    name, made = float_constant(seen.graph, f"{node.name}/weights", flat if op.transpose_b else flat.T)
    changed = msgspec.structs.replace(node, op=ops.Dense(), inputs=(node.inputs[0], name, ""))
    return substitute(seen.graph, {node.name: (changed,)}, constants=made)


def grouped_to_depthwise(seen: View, node: Node) -> Graph | None:
    """Conv2D with as many groups as input channels -> DepthwiseConv2D."""
    op, parts = node.op, layer(seen, node)
    if parts is None or not isinstance(op, ops.Conv2D) or op.groups == 1 or op.groups != seen.shape(node.inputs[0])[-1]:
        return None
    depthwise = ops.DepthwiseConv2D(stride=op.stride, dilation=op.dilation, padding=op.padding, activation=op.activation)
    changed, made = with_parameters(seen.graph, node, weights=parts[1].transpose(3, 1, 2, 0), op=depthwise)
    return substitute(seen.graph, {node.name: (changed,)}, constants=made)


def affine_to_depthwise(seen: View, node: Node) -> Graph | None:
    """Mul, then Add, on images, where no layer took the constants -> one depthwise 1x1 convolution with a scale by channel."""
    found = channel_constant(seen, node)
    producer = seen.private_producer(found[0], node) if found else None
    factors = channel_constant(seen, producer) if producer is not None and isinstance(producer.op, ops.Mul) else None
    if found is None or producer is None or factors is None or not isinstance(node.op, ops.Add):
        return None
    if len(seen.shape(factors[0])) != 4 or (isinstance(producer.op, ops.Mul) and producer.op.activation != "none"):
        return None
    weights, made = float_constant(seen.graph, f"{node.name}/weights", factors[1].reshape(1, 1, 1, -1))
    bias, more = float_constant(seen.graph, f"{node.name}/bias", found[1])
    op = ops.DepthwiseConv2D(activation=node.op.activation)
    changed = msgspec.structs.replace(node, op=op, inputs=(factors[0], weights, bias))
    return substitute(seen.graph, {producer.name: (), node.name: (changed,)}, constants={**made, **more})
