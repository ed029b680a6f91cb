"""Which function builds the kernel of an operator: one table for floats, one for integers."""

from __future__ import annotations

from collections.abc import Callable

from marram.core import operators as ops
from marram.model.reference import activation as act
from marram.model.reference import (
    convolution,
    dense,
    depthwise,
    elementwise,
    movement,
    normalisation,
    pooling,
    quantising,
    recurrent,
    reduction,
    resizing,
    softmax,
)
from marram.model.reference.site import Kernel, Site

Builder = Callable[[Site], Kernel]

EITHER: dict[type, Builder] = {
    ops.Concat: movement.concat,
    ops.Split: movement.split,
    ops.Slice: movement.strided_slice,
    ops.Pad: movement.pad,
    ops.Reshape: movement.reshape,
    ops.Transpose: movement.transpose,
    ops.Quantise: quantising.quantise,
    ops.Dequantise: quantising.dequantise,
}
"""Operators with one rule for all dtypes, or a rule of their own for each."""

FLOAT: dict[type, Builder] = {
    ops.Conv2D: convolution.conv2d_float,
    ops.DepthwiseConv2D: depthwise.depthwise_conv2d_float,
    ops.TransposeConv2D: convolution.transpose_conv2d_float,
    ops.Dense: dense.dense_float,
    ops.MatMul: dense.matmul_float,
    ops.Add: elementwise.add_float,
    ops.Sub: elementwise.sub_float,
    ops.Mul: elementwise.mul_float,
    ops.AveragePool2D: pooling.average_pool2d_float,
    ops.MaxPool2D: pooling.max_pool2d_float,
    ops.Mean: reduction.mean_float,
    ops.Sum: reduction.sum_float,
    ops.Relu: act.relu_float,
    ops.Relu6: act.relu6_float,
    ops.LeakyRelu: act.leaky_relu_float,
    ops.HardSwish: act.hard_swish_float,
    ops.Sigmoid: act.sigmoid_float,
    ops.Tanh: act.tanh_float,
    ops.Gelu: act.gelu_float,
    ops.Softmax: softmax.softmax_float,
    ops.LayerNorm: normalisation.layer_norm_float,
    ops.BatchNorm: normalisation.batch_norm_float,
    ops.Resize: resizing.resize_float,
    ops.Lstm: recurrent.lstm_float,
    ops.Gru: recurrent.gru_float,
}

INTEGER: dict[type, Builder] = {
    ops.Conv2D: convolution.conv2d_integer,
    ops.DepthwiseConv2D: depthwise.depthwise_conv2d_integer,
    ops.TransposeConv2D: convolution.transpose_conv2d_integer,
    ops.Dense: dense.dense_integer,
    ops.MatMul: dense.matmul_integer,
    ops.Add: elementwise.add_integer,
    ops.Sub: elementwise.sub_integer,
    ops.Mul: elementwise.mul_integer,
    ops.AveragePool2D: pooling.average_pool2d_integer,
    ops.MaxPool2D: pooling.max_pool2d_integer,
    ops.Mean: reduction.mean_integer,
    ops.Sum: reduction.sum_integer,
    ops.Relu: act.relu_integer,
    ops.Relu6: act.relu6_integer,
    ops.LeakyRelu: act.leaky_relu_integer,
    ops.HardSwish: act.hard_swish_integer,
    ops.Sigmoid: act.sigmoid_integer,
    ops.Tanh: act.tanh_integer,
    ops.Gelu: act.gelu_integer,
    ops.Softmax: softmax.softmax_integer,
    ops.LayerNorm: normalisation.layer_norm_integer,
    ops.Resize: resizing.resize_integer,
}

_INTEGERS = frozenset({"int8", "int16"})


def kernel_of(site: Site) -> Kernel:
    """The kernel of a node; the dtypes of its first input and first output decide by which rule.

    Raises:
        UserError: the operator has no rule for these dtypes, or its tensors do not fit the rule.
    """
    kind = type(site.node.op)
    if kind in EITHER:
        return EITHER[kind](site)
    source, target = site.input(0).dtype, site.output.dtype
    if source == target == "float32":
        return FLOAT[kind](site)
    if source in _INTEGERS and source == target and kind in INTEGER:
        return INTEGER[kind](site)
    raise site.error(
        f"there is no rule from {source} to {target}",
        "Keep the operator in float between a dequantise and a quantise node.",
    )
