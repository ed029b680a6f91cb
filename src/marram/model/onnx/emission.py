"""Each operator of the Graph as ONNX nodes. Spatial operators come channels first; see ``layout.cancelling.settle``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from marram.core import operators as ops
from marram.core.graph import Node
from marram.model.layout.permutations import identity
from marram.model.onnx.page import Page, kept

_TO_FIRST = (0, 3, 1, 2)
_FROM_LAST = (3, 0, 1, 2)


def _pads(padding: Sequence[int]) -> tuple[int, ...]:
    top, bottom, left, right = padding
    return (top, left, bottom, right)


def _biased(page: Page, node: Node, inputs: list[str], *, zeros: bool = False) -> list[str]:
    """The inputs with the node's bias behind them, if it has one."""
    return [*inputs, page.weights(node.inputs[2], zeros=zeros)] if len(node.inputs) > 2 and node.inputs[2] else inputs


def _gemm_inputs(page: Page, node: Node, x: str) -> list[str]:
    return _biased(page, node, [x, page.weights(node.inputs[1], zeros=True)], zeros=True)


def _conv2d(page: Page, node: Node, op: ops.Conv2D) -> None:
    inputs = _biased(page, node, [page.real(node.inputs[0]), page.weights(node.inputs[1], _TO_FIRST)])
    page.gives(
        node, "Conv", inputs, strides=op.stride, dilations=op.dilation, pads=_pads(op.padding), group=op.groups,
        kernel_shape=page.tensor(node.inputs[1]).shape[1:3],
    )  # fmt: skip


def _depthwise_conv2d(page: Page, node: Node, op: ops.DepthwiseConv2D) -> None:
    inputs = _biased(page, node, [page.real(node.inputs[0]), page.weights(node.inputs[1], _FROM_LAST)])
    channels = page.tensor(node.inputs[0]).shape[1]
    page.gives(
        node, "Conv", inputs, strides=op.stride, dilations=op.dilation, pads=_pads(op.padding), group=channels,
        kernel_shape=page.tensor(node.inputs[1]).shape[1:3],
    )  # fmt: skip


def _transpose_conv2d(page: Page, node: Node, op: ops.TransposeConv2D) -> None:
    inputs = _biased(page, node, [page.real(node.inputs[0]), page.weights(node.inputs[1], _FROM_LAST)])
    page.gives(
        node, "ConvTranspose", inputs, strides=op.stride, pads=_pads(op.padding), output_padding=op.output_padding,
        kernel_shape=page.tensor(node.inputs[1]).shape[1:3],
    )  # fmt: skip


def _dense(page: Page, node: Node, _op: ops.Dense) -> None:
    """Gemm of a matrix; more axes give MatMul and Add of reals, or a Gemm between reshapes of integers, which runtimes fuse."""
    x, y = page.tensor(node.inputs[0]), page.tensor(node.outputs[0])
    if len(x.shape) == 2:
        page.gives(node, "Gemm", _gemm_inputs(page, node, page.real(x.name)), transB=1)
        return
    if kept(y) is not None and kept(x) is not None:
        _dense_of_rows(page, node)
        return
    has_bias = len(node.inputs) > 2 and node.inputs[2] != ""
    inputs = [page.real(x.name), page.weights(node.inputs[1], (1, 0))]
    if has_bias:
        product = page.step("MatMul", inputs, f"{y.name}_product")
        page.gives(node, "Add", [product, page.weights(node.inputs[2])])
    else:
        page.gives(node, "MatMul", inputs)


def _dense_of_rows(page: Page, node: Node) -> None:
    x, y = page.tensor(node.inputs[0]), page.tensor(node.outputs[0])
    rows = page.step("Reshape", [page.stored(x.name), page.sizes((-1, x.shape[-1]))], f"{x.name}_rows")
    real = page.dequantised(rows, x, f"{x.name}_rows_real")
    inputs = _gemm_inputs(page, node, real)
    made = page.fresh(f"{y.name}_rows")
    page.gives(node, "Gemm", inputs, target=made, transB=1)
    page.node("Reshape", [made, page.sizes(y.shape)], [page.name(y.name)])


def _mat_mul(page: Page, node: Node, op: ops.MatMul) -> None:
    sides = []
    for name, turned in zip(node.inputs, (op.transpose_a, op.transpose_b), strict=True):
        if not turned:
            sides.append(page.real(name))
            continue
        rank = len(page.tensor(name).shape)
        permutation = (*range(rank - 2), rank - 1, rank - 2)
        value = page.step("Transpose", [page.stored(name)], f"{name}_turned", perm=permutation)
        sides.append(page.dequantised(value, page.tensor(name), f"{name}_turned_real"))
    page.gives(node, "MatMul", sides)


def _binary(operator: str, page: Page, node: Node, _op: Any) -> None:
    page.gives(node, operator, [page.real(name) for name in node.inputs])


def _unary(operator: str, page: Page, node: Node, _op: Any) -> None:
    page.gives(node, operator, [page.real(node.inputs[0])])


def _relu6(page: Page, node: Node, _op: ops.Relu6) -> None:
    page.gives(node, "Clip", [page.real(node.inputs[0]), page.number(0.0), page.number(6.0)])


def _leaky_relu(page: Page, node: Node, op: ops.LeakyRelu) -> None:
    page.gives(node, "LeakyRelu", [page.real(node.inputs[0])], alpha=op.alpha)


def _gelu(page: Page, node: Node, op: ops.Gelu) -> None:
    page.gives(node, "Gelu", [page.real(node.inputs[0])], approximate="tanh" if op.approximate else "none")


def _softmax(page: Page, node: Node, op: ops.Softmax) -> None:
    value = page.real(node.inputs[0])
    if op.beta != 1:
        value = page.step("Mul", [value, page.number(op.beta)], f"{node.outputs[0]}_scaled")
    page.gives(node, "Softmax", [value], axis=-1)


def _concat(page: Page, node: Node, op: ops.Concat) -> None:
    page.moves(node, "Concat", [page.stored(name) for name in node.inputs], axis=op.axis)


def _split(page: Page, node: Node, op: ops.Split) -> None:
    page.moves(node, "Split", [page.stored(node.inputs[0]), page.sizes(op.sizes)], axis=op.axis)


def _slice(page: Page, node: Node, op: ops.Slice) -> None:
    lists = (op.begin, op.end, identity(len(op.begin)), op.strides)
    page.moves(node, "Slice", [page.stored(node.inputs[0]), *(page.sizes(values) for values in lists)])


def _pad(page: Page, node: Node, op: ops.Pad) -> None:
    pads = page.sizes([pair[0] for pair in op.paddings] + [pair[1] for pair in op.paddings])
    how = kept(page.tensor(node.inputs[0]))
    if how is None:
        value = page.number(op.value)
    else:
        limits = np.iinfo(how.dtype)
        whole = int(np.clip(np.rint(op.value / how.scale) + how.zero_point, limits.min, limits.max))
        value = page.constant(f"pad_{how.dtype}_{whole}", np.array(whole, how.dtype))
    page.moves(node, "Pad", [page.stored(node.inputs[0]), pads, value])


def _reshape(page: Page, node: Node, op: ops.Reshape) -> None:
    page.moves(node, "Reshape", [page.stored(node.inputs[0]), page.sizes(op.shape)])


def _transpose(page: Page, node: Node, op: ops.Transpose) -> None:
    page.moves(node, "Transpose", [page.stored(node.inputs[0])], perm=op.permutation)


def _pool_window(op: ops.AveragePool2D | ops.MaxPool2D) -> dict[str, Any]:
    """A window without padding says so by ``auto_pad``: runtimes else merge a Pad before it, even a wide one."""
    window: dict[str, Any] = {"kernel_shape": op.kernel, "strides": op.stride}
    return window | ({"pads": _pads(op.padding)} if any(op.padding) else {"auto_pad": "VALID"})


def _max_pool(page: Page, node: Node, op: ops.MaxPool2D) -> None:
    if op.activation == "none":
        page.moves(node, "MaxPool", [page.stored(node.inputs[0])], **_pool_window(op))
    else:
        page.gives(node, "MaxPool", [page.real(node.inputs[0])], **_pool_window(op))


def _average_pool(page: Page, node: Node, op: ops.AveragePool2D) -> None:
    page.gives(node, "AveragePool", [page.real(node.inputs[0])], count_include_pad=0, **_pool_window(op))


def _reduce(operator: str, page: Page, node: Node, op: ops.Mean | ops.Sum) -> None:
    """A mean over the image gives a GlobalAveragePool, which runtimes fuse."""
    value, rank = page.real(node.inputs[0]), len(page.tensor(node.inputs[0]).shape)
    if operator == "ReduceMean" and rank == 4 and sorted(op.axes) == [2, 3] and op.keep_dims:
        page.gives(node, "GlobalAveragePool", [value])
    else:
        page.gives(node, operator, [value, page.sizes(op.axes)], keepdims=int(op.keep_dims))


def _layer_norm(page: Page, node: Node, op: ops.LayerNorm) -> None:
    vectors = [page.weights(name) for name in node.inputs[1:]]
    page.gives(node, "LayerNormalization", [page.real(node.inputs[0]), *vectors], axis=-1, epsilon=op.epsilon)


def _batch_norm(page: Page, node: Node, op: ops.BatchNorm) -> None:
    value, shape = page.real(node.inputs[0]), page.tensor(node.inputs[0]).shape
    inputs = [value, *(page.weights(name) for name in node.inputs[1:])]
    if len(shape) > 1:
        page.gives(node, "BatchNormalization", inputs, epsilon=op.epsilon)
        return
    inputs[0] = page.step("Reshape", [value, page.sizes((1, *shape))], f"{node.outputs[0]}_row")
    row = page.step("BatchNormalization", inputs, f"{node.outputs[0]}_row_normal", epsilon=op.epsilon)
    page.gives(node, "Reshape", [row, page.sizes(shape)])


def _resize(page: Page, node: Node, op: ops.Resize) -> None:
    if op.align_corners and op.half_pixel_centers:
        raise page.refuse(node, "with aligned corners and half pixels")
    coordinates = "align_corners" if op.align_corners else "half_pixel" if op.half_pixel_centers else "asymmetric"
    sizes = page.sizes((*page.tensor(node.inputs[0]).shape[:2], *op.size))
    if op.method == "bilinear":
        page.gives(
            node, "Resize", [page.real(node.inputs[0]), "", "", sizes], mode="linear",
            coordinate_transformation_mode=coordinates,
        )  # fmt: skip
        return
    rounding = "floor" if coordinates == "asymmetric" else "round_prefer_ceil"
    page.moves(
        node, "Resize", [page.stored(node.inputs[0]), "", "", sizes], mode="nearest",
        coordinate_transformation_mode=coordinates, nearest_mode=rounding,
    )  # fmt: skip


def _quantise(page: Page, node: Node, _op: ops.Quantise) -> None:
    source, target = page.tensor(node.inputs[0]), page.tensor(node.outputs[0])
    if kept(source) == kept(target):  # int8 and uint8 of the same reals are kept alike
        page.node("Identity", [page.stored(source.name)], [page.name(target.name)])
    else:
        page.gives_value(node, page.real(source.name))


def _dequantise(page: Page, node: Node, _op: ops.Dequantise) -> None:
    source = node.inputs[0]
    if source in page.graph.constants:
        page.node("Identity", [page.weights(source)], [page.name(node.outputs[0])])
    else:
        page.node("Identity", [page.real(source)], [page.name(node.outputs[0])])


def _recurrent(operator: str, page: Page, node: Node, op: ops.Lstm | ops.Gru) -> None:
    """One direction, time first; the state's axes are put back behind."""
    gates, order = (4, (0, 3, 1, 2)) if operator == "LSTM" else (3, (1, 0, 2))
    rows = np.concatenate([np.arange(gate * op.hidden, (gate + 1) * op.hidden) for gate in order])

    def turned(index: int) -> Any:
        name = node.inputs[index] if index < len(node.inputs) else ""
        return page.graph.constants[name][rows] if name else np.zeros(gates * op.hidden, np.float32)

    parts = [page.constant(f"{node.outputs[0]}_{what}", turned(i)[None]) for what, i in (("w", 1), ("r", 2))]
    second = np.zeros(gates * op.hidden, np.float32) if operator == "LSTM" else turned(4)
    parts.append(page.constant(f"{node.outputs[0]}_b", np.concatenate([turned(3), second])[None]))
    n, t, _ = page.tensor(node.inputs[0]).shape
    first = page.step("Transpose", [page.real(node.inputs[0])], f"{node.inputs[0]}_time_first", perm=(1, 0, 2))
    made = [page.fresh(f"{name}_states") for name in node.outputs]
    given: dict[str, Any] = {"hidden_size": op.hidden, "direction": "reverse" if op.reverse else "forward"}
    if operator == "GRU":
        given["linear_before_reset"] = 1
    page.node(operator, [first, *parts], made, **given)
    y = page.step("Transpose", [made[0]], f"{node.outputs[0]}_batch_first", perm=(2, 0, 1, 3))
    page.node("Reshape", [y, page.sizes((n, t, op.hidden))], [page.name(node.outputs[0])])
    for value, output in zip(made[1:], node.outputs[1:], strict=True):
        page.node("Reshape", [value, page.sizes((n, op.hidden))], [page.name(output)])


def emit(page: Page, node: Node) -> None:
    """Write one node of the Graph."""
    _WRITERS[type(node.op)](page, node, node.op)


_WRITERS: dict[type, Callable[[Page, Node, Any], None]] = {
    ops.Conv2D: _conv2d,
    ops.DepthwiseConv2D: _depthwise_conv2d,
    ops.TransposeConv2D: _transpose_conv2d,
    ops.Dense: _dense,
    ops.MatMul: _mat_mul,
    ops.Add: partial(_binary, "Add"),
    ops.Sub: partial(_binary, "Sub"),
    ops.Mul: partial(_binary, "Mul"),
    ops.Concat: _concat,
    ops.Split: _split,
    ops.Slice: _slice,
    ops.Pad: _pad,
    ops.Reshape: _reshape,
    ops.Transpose: _transpose,
    ops.AveragePool2D: _average_pool,
    ops.MaxPool2D: _max_pool,
    ops.Mean: partial(_reduce, "ReduceMean"),
    ops.Sum: partial(_reduce, "ReduceSum"),
    ops.Relu: partial(_unary, "Relu"),
    ops.Relu6: _relu6,
    ops.LeakyRelu: _leaky_relu,
    ops.HardSwish: partial(_unary, "HardSwish"),
    ops.Sigmoid: partial(_unary, "Sigmoid"),
    ops.Tanh: partial(_unary, "Tanh"),
    ops.Gelu: _gelu,
    ops.Softmax: _softmax,
    ops.LayerNorm: _layer_norm,
    ops.BatchNorm: _batch_norm,
    ops.Resize: _resize,
    ops.Quantise: _quantise,
    ops.Dequantise: _dequantise,
    ops.Lstm: partial(_recurrent, "LSTM"),
    ops.Gru: partial(_recurrent, "GRU"),
}
