"""Shapes: an operator and the shapes of its inputs -> the shapes of its outputs; a Graph -> the Graph with shapes filled in.

One small rule for each operator, in the table at the end. A rule raises ``UserError`` on shapes that the operator cannot take,
so that a damaged or hostile file is refused before anything of its size is allocated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import msgspec
import numpy as np

from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Graph, Tensor
from marram.core.operators import Operator, Padding, Pair, operator_name

Shape = tuple[int, ...]
Rule = Callable[[Any, Sequence[Shape]], tuple[Shape, ...]]

LARGEST_TENSOR = 2**31 - 1
"""Elements of the largest tensor that any runtime here can index."""


def output_shapes(op: Operator, input_shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    """The shapes of an operator's outputs.

    Args:
        op: the operator with its attributes.
        input_shapes: the shapes of its inputs in order; an absent optional input is ``()`` or left off at the end.

    Raises:
        UserError: the operator cannot take these shapes, or an output would be empty or larger than ``LARGEST_TENSOR``.
    """
    try:
        shapes = _RULES[type(op)](op, input_shapes)
    except (IndexError, ValueError) as error:  # too few inputs, or a rank that a rule cannot unpack
        raise _fault(op, input_shapes, "takes other inputs than these") from error
    except UserError as error:
        raise _fault(op, input_shapes, error.what) from error
    for shape in shapes:
        if any(n < 1 for n in shape):
            raise _fault(op, input_shapes, f"would give an empty output {shape}")
        if prod(shape) > LARGEST_TENSOR:
            raise _fault(op, input_shapes, f"would give an output of {prod(shape)} elements")
    return shapes


def infer(graph: Graph) -> Graph:
    """The graph with the shape of every computed tensor worked out anew from its inputs and constants.

    Dtypes and quantisation of tensors stay; a tensor that had no entry gets one of dtype float32.

    Raises:
        UserError: a node reads what is not there, or shapes do not fit; names the node.
    """
    tensors = {name: graph.tensors[name] for name in graph.inputs if name in graph.tensors}
    for name, value in graph.constants.items():
        known = graph.tensors.get(name) or Tensor(name=name, shape=value.shape, dtype=_dtype_of(value))
        tensors[name] = msgspec.structs.replace(known, shape=tuple(value.shape))
    for node in graph.nodes:
        missing = [name for name in node.inputs if name and name not in tensors]
        if missing:
            raise UserError(f"reads {missing[0]!r}, which nothing before it provides", where=f"node {node.name}")
        try:
            shapes = output_shapes(node.op, [tensors[name].shape if name else () for name in node.inputs])
        except UserError as error:
            raise UserError(error.what, where=f"node {node.name}", hint=error.hint) from error
        if len(shapes) < len(node.outputs):
            raise UserError(f"has {len(node.outputs)} outputs, not {len(shapes)}", where=f"node {node.name}")
        for name, shape in zip(node.outputs, shapes, strict=False):
            known = graph.tensors.get(name) or Tensor(name=name, shape=shape)
            tensors[name] = msgspec.structs.replace(known, shape=shape)
    return msgspec.structs.replace(graph, tensors=tensors)


def convolved_size(size: int, kernel: int, *, stride: int, dilation: int, before: int, after: int) -> int:
    """Places of a window along one axis: ``(size + before + after - dilated kernel) // stride + 1``, below 1 if none fits."""
    return (size + before + after - dilation * (kernel - 1) - 1) // stride + 1


def _dtype_of(value: Any) -> Any:
    return np.dtype(value.dtype).name


def _fault(op: Operator, shapes: Sequence[Shape], what: str) -> UserError:
    given = ", ".join(str(tuple(shape)) for shape in shapes)
    return UserError(f"{operator_name(op)} of shapes {given or 'none'}: {what}", hint=f"Its attributes: {op}")


def _need(condition: bool, what: str) -> None:  # noqa: FBT001  # reads as a sentence at each use
    if not condition:
        raise UserError(what)


def _same(_op: Operator, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    return (shapes[0],)


def _window(size: Pair, kernel: Pair, *, stride: Pair, dilation: Pair, padding: Padding) -> Pair:
    """Output height and width of a sliding window; every window must touch the image."""
    top, bottom, left, right = padding
    _need(min(stride) >= 1 and min(dilation) >= 1 and min(kernel) >= 1, "kernel, stride and dilation are at least 1")
    _need(min(padding) >= 0, "padding is not negative")
    height = convolved_size(size[0], kernel[0], stride=stride[0], dilation=dilation[0], before=top, after=bottom)
    width = convolved_size(size[1], kernel[1], stride=stride[1], dilation=dilation[1], before=left, after=right)
    _need(height >= 1 and width >= 1, f"the window {kernel} does not fit into the padded image")
    return height, width


def _bias(shapes: Sequence[Shape], outputs: int, index: int = 2) -> None:
    if len(shapes) > index and shapes[index] != ():
        _need(shapes[index] == (outputs,), f"the bias has {outputs} elements")


def _conv2d(op: ops.Conv2D, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    (n, h, w, c), (o, kh, kw, part) = shapes[:2]
    _need(op.groups >= 1 and c % op.groups == 0 and o % op.groups == 0, "groups divide the input and output channels")
    _need(part == c // op.groups, f"the weights have {c // op.groups} input channels")
    _bias(shapes, o)
    return ((n, *_window((h, w), (kh, kw), stride=op.stride, dilation=op.dilation, padding=op.padding), o),)


def _depthwise_conv2d(op: ops.DepthwiseConv2D, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    (n, h, w, c), (one, kh, kw, o) = shapes[:2]
    _need(one == 1 and c >= 1 and o % c == 0, "the weights are (1, KH, KW, channels * multiplier)")
    _bias(shapes, o)
    return ((n, *_window((h, w), (kh, kw), stride=op.stride, dilation=op.dilation, padding=op.padding), o),)


def _transpose_conv2d(op: ops.TransposeConv2D, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    (n, h, w, c), (o, kh, kw, inputs) = shapes[:2]
    _need(inputs == c, f"the weights have {c} input channels")
    _need(min(op.stride) >= 1 and min(op.padding) >= 0 and min(op.output_padding) >= 0, "strides from 1, paddings from 0")
    _need(all(extra < step for extra, step in zip(op.output_padding, op.stride, strict=True)), "output padding is below stride")
    _bias(shapes, o)
    top, bottom, left, right = op.padding
    height = (h - 1) * op.stride[0] + kh - top - bottom + op.output_padding[0]
    width = (w - 1) * op.stride[1] + kw - left - right + op.output_padding[1]
    return ((n, height, width, o),)


def _dense(_op: ops.Dense, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    x, (o, i) = shapes[0], shapes[1]
    _need(len(x) >= 1 and x[-1] == i, f"the last axis has {i} elements")
    _bias(shapes, o)
    return ((*x[:-1], o),)


def _broadcast(_op: Operator, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    a, b = shapes
    rank = max(len(a), len(b))
    pairs = list(zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True))
    _need(all(m == n or 1 in {m, n} for m, n in pairs), "shapes that broadcast are needed")
    return (tuple(n if m == 1 else m for m, n in pairs),)


def _mat_mul(op: ops.MatMul, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    a, b = shapes
    _need(len(a) >= 2 and len(b) >= 2, "both have at least two axes")
    m, k = a[:-3:-1] if op.transpose_a else a[-2:]
    inner, n = b[:-3:-1] if op.transpose_b else b[-2:]
    _need(k == inner, f"inner sizes {k} and {inner} differ")
    (batch,) = _broadcast(op, (a[:-2], b[:-2]))
    return ((*batch, m, n),)


def _concat(op: ops.Concat, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    first = shapes[0]
    _need(0 <= op.axis < len(first), "the axis is one of the input's")
    rest = {(len(shape), shape[: op.axis], shape[op.axis + 1 :]) for shape in shapes}
    _need(len(rest) == 1, "all but the joined axis agree")
    return ((*first[: op.axis], sum(shape[op.axis] for shape in shapes), *first[op.axis + 1 :]),)


def _split(op: ops.Split, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    x = shapes[0]
    _need(0 <= op.axis < len(x), "the axis is one of the input's")
    _need(len(op.sizes) >= 1 and sum(op.sizes) == x[op.axis], f"the sizes add up to {x[op.axis]}")
    return tuple((*x[: op.axis], size, *x[op.axis + 1 :]) for size in op.sizes)


def _slice(op: ops.Slice, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    x = shapes[0]
    _need(len(x) == len(op.begin) == len(op.end) == len(op.strides), "begin, end and strides name every axis")
    _need(all(step >= 1 for step in op.strides), "strides are positive")
    cuts = zip(op.begin, op.end, op.strides, x, strict=True)
    return (tuple(len(range(*slice(begin, end, step).indices(n))) for begin, end, step, n in cuts),)


def _pad(op: ops.Pad, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    x = shapes[0]
    _need(len(op.paddings) == len(x), "paddings name every axis")
    _need(all(min(pair) >= 0 for pair in op.paddings), "padding is not negative")
    return (tuple(n + before + after for n, (before, after) in zip(x, op.paddings, strict=True)),)


def _reshape(op: ops.Reshape, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    _need(all(n >= 1 for n in op.shape) and prod(op.shape) == prod(shapes[0]), f"{op.shape} has other elements")
    return (op.shape,)


def _transpose(op: ops.Transpose, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    x = shapes[0]
    _need(sorted(op.permutation) == list(range(len(x))), "the permutation names every axis once")
    return (tuple(x[axis] for axis in op.permutation),)


def _pool(op: ops.AveragePool2D | ops.MaxPool2D, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    n, h, w, c = shapes[0]
    top, bottom, left, right = op.padding
    _need(max(top, bottom) < op.kernel[0] and max(left, right) < op.kernel[1], "padding is below the kernel")
    return ((n, *_window((h, w), op.kernel, stride=op.stride, dilation=(1, 1), padding=op.padding), c),)


def _reduce(op: ops.Mean | ops.Sum, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    x = shapes[0]
    _need(all(0 <= axis < len(x) for axis in op.axes) and len(set(op.axes)) == len(op.axes), "axes name each axis once")
    if op.keep_dims:
        return (tuple(1 if axis in op.axes else n for axis, n in enumerate(x)),)
    return (tuple(n for axis, n in enumerate(x) if axis not in op.axes),)


def _normalise(_op: Operator, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    x, *vectors = shapes
    _need(len(x) >= 1 and all(vector == (x[-1],) for vector in vectors), "each parameter is a vector as long as the last axis")
    return (x,)


def _softmax(_op: ops.Softmax, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    _need(len(shapes[0]) >= 1, "there is a last axis")
    return (shapes[0],)


def _resize(op: ops.Resize, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    n, _h, _w, c = shapes[0]
    return ((n, *op.size, c),)


def _lstm(op: ops.Lstm, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    (n, t, i), w, r = shapes[:3]
    _need(w == (4 * op.hidden, i) and r == (4 * op.hidden, op.hidden), "weights are (4H, I) and (4H, H)")
    _bias(shapes, 4 * op.hidden, 3)
    return (n, t, op.hidden), (n, op.hidden), (n, op.hidden)


def _gru(op: ops.Gru, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    (n, t, i), w, r = shapes[:3]
    _need(w == (3 * op.hidden, i) and r == (3 * op.hidden, op.hidden), "weights are (3H, I) and (3H, H)")
    _bias(shapes, 3 * op.hidden, 3)
    _bias(shapes, 3 * op.hidden, 4)
    return (n, t, op.hidden), (n, op.hidden)


_RULES: dict[type, Rule] = {
    ops.Conv2D: _conv2d,
    ops.DepthwiseConv2D: _depthwise_conv2d,
    ops.TransposeConv2D: _transpose_conv2d,
    ops.Dense: _dense,
    ops.MatMul: _mat_mul,
    ops.Add: _broadcast,
    ops.Sub: _broadcast,
    ops.Mul: _broadcast,
    ops.Concat: _concat,
    ops.Split: _split,
    ops.Slice: _slice,
    ops.Pad: _pad,
    ops.Reshape: _reshape,
    ops.Transpose: _transpose,
    ops.AveragePool2D: _pool,
    ops.MaxPool2D: _pool,
    ops.Mean: _reduce,
    ops.Sum: _reduce,
    ops.Relu: _same,
    ops.Relu6: _same,
    ops.LeakyRelu: _same,
    ops.HardSwish: _same,
    ops.Sigmoid: _same,
    ops.Tanh: _same,
    ops.Gelu: _same,
    ops.Softmax: _softmax,
    ops.LayerNorm: _normalise,
    ops.BatchNorm: _normalise,
    ops.Resize: _resize,
    ops.Quantise: _same,
    ops.Dequantise: _same,
    ops.Lstm: _lstm,
    ops.Gru: _gru,
}
