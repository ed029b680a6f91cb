"""Whether many samples may run through a Graph at once.

With N samples each activation has N times its declared leading axis, sample after sample. An operator keeps samples
apart if its outputs for sample i are a function of sample i alone, in that layout. Reshape always does, as a sample's
values are contiguous; what works along the leading axis does not.
"""

from __future__ import annotations

from marram.core import operators as ops
from marram.core.graph import Graph, Node, Tensor

_ROWWISE = (ops.Softmax, ops.LayerNorm, ops.BatchNorm)
_SPATIAL = (ops.Conv2D, ops.DepthwiseConv2D, ops.TransposeConv2D, ops.AveragePool2D, ops.MaxPool2D, ops.Resize)
_UNARY = (ops.Relu, ops.Relu6, ops.LeakyRelu, ops.HardSwish, ops.Sigmoid, ops.Tanh, ops.Gelu)


def keeps_samples_apart(graph: Graph) -> bool:
    """Whether every operator provably maps sample i of the inputs to sample i of the outputs.

    Args:
        graph: any Graph; its inputs declare the leading axis of one inference.

    Returns:
        True if running N samples stacked on the leading axis gives the N outputs stacked likewise.
    """
    moving = set(graph.inputs)
    for node in graph.nodes:
        if not moving.isdisjoint(node.inputs):
            moving.update(name for name in node.outputs if name)
    if any(name not in moving for name in graph.outputs) or any(not graph.tensors[name].shape for name in moving):
        return False
    return all(_node_keeps(graph, node, moving) for node in graph.nodes if not moving.isdisjoint(node.inputs))


def _node_keeps(graph: Graph, node: Node, moving: set[str]) -> bool:
    """The rule of one node; ``moving`` names the tensors that depend on the inputs."""
    op = node.op
    tensors = [graph.tensors[name] for name in node.inputs if name]
    activations = [tensor for tensor in tensors if tensor.name in moving]
    if isinstance(op, ops.Add | ops.Sub | ops.Mul):
        return _broadcast_keeps(activations, tensors)
    if isinstance(op, ops.MatMul):
        return _product_keeps(op, tensors, activations)
    wanted = len(tensors) if isinstance(op, ops.Concat) else 1
    return tensors[0] in activations and len(activations) == wanted and _shape_keeps(op, tensors[0])


def _shape_keeps(op: ops.Operator, source: Tensor) -> bool:
    """The rule of an operator whose first input is its activation."""
    rank = len(source.shape)
    if isinstance(op, ops.Reshape):
        return bool(op.shape)
    if isinstance(op, _UNARY):
        return True
    if isinstance(op, _SPATIAL):
        return rank == 4
    if isinstance(op, ops.Lstm | ops.Gru):
        return rank == 3
    if isinstance(op, (ops.Dense, _ROWWISE)):
        return rank >= 2
    if isinstance(op, ops.Concat | ops.Split):
        return op.axis % rank != 0
    if isinstance(op, ops.Transpose):
        return op.permutation[0] == 0
    if isinstance(op, ops.Mean | ops.Sum):
        return all(axis % rank != 0 for axis in op.axes)
    if isinstance(op, ops.Pad):
        return op.paddings[0] == (0, 0)
    if isinstance(op, ops.Slice):
        return op.begin[0] == 0 and op.end[0] >= source.shape[0] and op.strides[0] == 1
    if isinstance(op, ops.Quantise | ops.Dequantise):
        return source.quantisation is None or source.quantisation.axis != 0
    return False


def _broadcast_keeps(activations: list[Tensor], tensors: list[Tensor]) -> bool:
    """Activations of one rank and leading axis; constants that do not reach the leading axis or are 1 there."""
    rank, leading = len(activations[0].shape), activations[0].shape[0]
    if any(len(a.shape) != rank or a.shape[0] != leading for a in activations):
        return False
    constants = [tensor for tensor in tensors if tensor not in activations]
    return all(len(c.shape) < rank or (len(c.shape) == rank and c.shape[0] == 1) for c in constants)


def _product_keeps(op: ops.MatMul, tensors: list[Tensor], activations: list[Tensor]) -> bool:
    """Leading axes that are batches on both sides, or rows of the left side beside a constant."""
    if all(len(tensor.shape) >= 3 for tensor in tensors) or len(activations) == len(tensors) > 1:
        return all(len(tensor.shape) >= 3 for tensor in tensors) and _broadcast_keeps(activations, tensors)
    if tensors[0] not in activations:
        return len(tensors[0].shape) == 2 and len(tensors[1].shape) >= 3
    is_batch = len(tensors[0].shape) >= 3
    return len(tensors[1].shape) == 2 and (is_batch or not op.transpose_a)
