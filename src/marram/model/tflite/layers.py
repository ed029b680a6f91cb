"""Layers with weights: convolutions, fully connected, batched matrix product. TFLite operator <-> Graph node."""

from __future__ import annotations

from math import prod

from marram.core.graph import Graph, Node
from marram.core.operators import Conv2D, Dense, DepthwiseConv2D, MatMul, Pair, Reshape, TransposeConv2D
from marram.model.tflite import padding
from marram.model.tflite.importing import Site
from marram.model.tflite.records import Record, Write, area, fused, integers, present, shape, unwritable, version
from marram.model.tflite.schema import SAME, VALID


def stride_of(site: Site, options: dict[str, int]) -> Pair:
    """The stride in an operator's options; at least 1."""
    stride = (options["stride_h"], options["stride_w"])
    if min(stride) < 1:
        site.damaged(f"has stride {stride}")
    return stride


def scheme_of(site: Site, options: dict[str, int]) -> int:
    """The padding scheme in an operator's options."""
    if options["padding"] not in {SAME, VALID}:
        site.damaged(f"has the unknown padding {options['padding']}")
    return options["padding"]


def _image(site: Site, place: int) -> tuple[int, int, int, int]:
    """The shape of an input with four axes."""
    given = site.shape(place)
    if len(given) != 4:
        site.damaged(f"input {place} has shape {given}, not four axes")
    return given


def _bias(site: Site, place: int) -> str:
    return site.weights(place) if site.has(place) else ""


def _read_conv2d(site: Site) -> None:
    options = site.options("Conv2DOptions")
    stride, dilation, _, window = _windows(site, options)
    channels, part = _image(site, 0)[3], _image(site, 1)[3]
    if part < 1 or channels % part:
        site.damaged(f"weights of {part} input channels do not divide the {channels} of the input")
    op = Conv2D(
        stride=stride,
        dilation=dilation,
        padding=window,
        groups=channels // part,
        activation=site.activation("Conv2DOptions"),
    )
    site.emit(op, [site.operand(0), site.weights(1), _bias(site, 2)])


def _read_depthwise_conv2d(site: Site) -> None:
    stride, dilation, _, window = _windows(site, site.options("DepthwiseConv2DOptions"))
    activation = site.activation("DepthwiseConv2DOptions")
    op = DepthwiseConv2D(stride=stride, dilation=dilation, padding=window, activation=activation)
    site.emit(op, [site.operand(0), site.weights(1), _bias(site, 2)])


def _windows(site: Site, options: dict[str, int]) -> tuple[Pair, Pair, Pair, tuple[int, int, int, int]]:
    """Stride, dilation, kernel and explicit padding of a convolution."""
    stride = stride_of(site, options)
    dilation = (options["dilation_h_factor"], options["dilation_w_factor"])
    if min(dilation) < 1:
        site.damaged(f"has dilation {dilation}")
    size, kernel = _image(site, 0)[1:3], _image(site, 1)[1:3]
    window = padding.explicit(scheme_of(site, options), size, kernel, stride=stride, dilation=dilation)
    return stride, dilation, kernel, window


def _read_transpose_conv2d(site: Site) -> None:
    options = site.options("TransposeConvOptions")
    stride, scheme = stride_of(site, options), scheme_of(site, options)
    wanted = site.integers(0)
    if len(wanted) != 4:
        site.damaged(f"has the output shape {wanted}, not four axes")
    size, kernel = _image(site, 2)[1:3], _image(site, 1)[1:3]
    edges = [_cropped(site, scheme, axis) for axis in zip(size, kernel, stride, wanted[1:3], strict=True)]
    op = TransposeConv2D(
        stride=stride,
        padding=(*edges[0][:2], *edges[1][:2]),
        output_padding=(edges[0][2], edges[1][2]),
        activation=site.activation("TransposeConvOptions"),
    )
    site.emit(op, [site.operand(2), site.weights(1), _bias(site, 3)])


def _cropped(site: Site, scheme: int, axis: tuple[int, int, int, int]) -> tuple[int, int, int]:
    """Places cut off before and behind, and places added behind, so that one axis has the wanted size."""
    size, kernel, stride, wanted = axis
    if scheme == SAME and -(-wanted // stride) != size:
        site.refuse(f"with padding SAME from {size} to {wanted} places by stride {stride}")
    excess = (size - 1) * stride + kernel - wanted
    before = max(excess, 0) // 2 if scheme == SAME else 0
    return before, max(excess, 0) - before, max(-excess, 0)


def _read_dense(site: Site) -> None:
    options = site.options("FullyConnectedOptions")
    if options["weights_format"]:
        site.refuse("with shuffled weights")
    activation = site.activation("FullyConnectedOptions")
    x, given = site.operand(0), site.shape(0)
    if site.value(1) is None:
        _read_product(site, x)
        return
    weights = site.weights(1)
    if len(site.shape(1)) != 2:
        site.damaged(f"has weights of shape {site.shape(1)}, not two axes")
    depth = site.shape(1)[1]
    if not options["keep_num_dims"] and (len(given) != 2 or given[1] != depth):
        if depth < 1 or prod(given) % depth:
            site.damaged(f"cannot cut {given} into rows of {depth}")
        flat = site.temporary("flat", like=x)
        site.emit(Reshape(shape=(prod(given) // depth, depth)), [x], [flat], part="_flat")
        x = flat
    site.emit(Dense(activation=activation), [x, weights, _bias(site, 2)])


def _read_product(site: Site, x: str) -> None:
    """A fully connected layer whose weights are computed is a matrix product."""
    if site.has(2) or site.activation("FullyConnectedOptions") != "none" or len(site.shape(0)) != 2:
        site.refuse("with computed weights")
    site.emit(MatMul(transpose_b=True), [x, site.operand(1)])


def _read_matmul(site: Site) -> None:
    options = site.options("BatchMatMulOptions")
    op = MatMul(transpose_a=bool(options["adj_x"]), transpose_b=bool(options["adj_y"]))
    site.emit(op, [site.operand(0), site.operand(1)])


READERS = {
    "CONV_2D": _read_conv2d,
    "DEPTHWISE_CONV_2D": _read_depthwise_conv2d,
    "TRANSPOSE_CONV": _read_transpose_conv2d,
    "FULLY_CONNECTED": _read_dense,
    "BATCH_MATMUL": _read_matmul,
}


def _write_conv2d(node: Node, graph: Graph, op: Conv2D) -> Record:
    options = _window_options(node, graph, op)
    number = 6 if op.groups > 1 else version(node, graph, int8=3, int16=4)
    return Record(operator="CONV_2D", inputs=present(node), version=number, options=("Conv2DOptions", options))


def _write_depthwise_conv2d(node: Node, graph: Graph, op: DepthwiseConv2D) -> Record:
    options = _window_options(node, graph, op)
    options["depth_multiplier"] = shape(node, graph, 1)[3] // shape(node, graph)[3]
    number = version(node, graph, float32=1 if op.dilation == (1, 1) else 2, int8=3, int16=5)
    return Record(
        operator="DEPTHWISE_CONV_2D", inputs=present(node), version=number, options=("DepthwiseConv2DOptions", options)
    )


def _window_options(node: Node, graph: Graph, op: Conv2D | DepthwiseConv2D) -> dict[str, int]:
    size, kernel = area(node, graph), area(node, graph, 1)
    code = padding.scheme(op.padding, size, kernel, stride=op.stride, dilation=op.dilation)
    assert code is not None, "lowering leaves paddings that have a scheme"
    return {
        "padding": code,
        "stride_h": op.stride[0],
        "stride_w": op.stride[1],
        "dilation_h_factor": op.dilation[0],
        "dilation_w_factor": op.dilation[1],
        "fused_activation_function": fused(op.activation),
    }


def transposed_scheme(op: TransposeConv2D, size: Pair, kernel: Pair) -> int | None:
    """The scheme that cuts a transposed convolution's result as ``op`` does, VALID if both do; None if neither does."""
    possible = {VALID, SAME}
    for axis in (0, 1):
        before, after = op.padding[2 * axis : 2 * axis + 2]
        full = (size[axis] - 1) * op.stride[axis] + kernel[axis]
        wanted = full - before - after + op.output_padding[axis]
        if before or after > op.output_padding[axis]:
            possible.discard(VALID)
        if -(-wanted // op.stride[axis]) != size[axis] or before != max(full - wanted, 0) // 2:
            possible.discard(SAME)
    return max(possible, default=None)


def _write_transpose_conv2d(node: Node, graph: Graph, op: TransposeConv2D) -> Record:
    code = transposed_scheme(op, area(node, graph), area(node, graph, 1))
    assert code is not None, "lowering leaves paddings that have a scheme"
    assert op.activation == "none", "lowering sets the activation apart"
    output = integers("output_shape", *graph.tensors[node.outputs[0]].shape)
    x, weights, *bias = present(node)
    return Record(
        operator="TRANSPOSE_CONV",
        inputs=(output, weights, x, *bias),
        version=3 if bias else version(node, graph),
        options=("TransposeConvOptions", {"padding": code, "stride_h": op.stride[0], "stride_w": op.stride[1]}),
    )


def _write_dense(node: Node, graph: Graph, op: Dense) -> Record:
    rank = len(shape(node, graph))
    if rank < 2:
        raise unwritable(node, "a fully connected layer of one axis", hint="Give the activations a batch axis.")
    inputs = present(node)
    number = 6 if len(inputs) == 2 else 5 if rank > 2 else version(node, graph, int8=4, int16=7)
    options = {"fused_activation_function": fused(op.activation), "keep_num_dims": rank > 2}
    return Record(operator="FULLY_CONNECTED", inputs=inputs, version=number, options=("FullyConnectedOptions", options))


def _write_matmul(node: Node, graph: Graph, op: MatMul) -> Record:
    options = {"adj_x": op.transpose_a, "adj_y": op.transpose_b}
    return Record(
        operator="BATCH_MATMUL", inputs=node.inputs, version=version(node, graph), options=("BatchMatMulOptions", options)
    )


WRITERS: dict[type, Write] = {
    Conv2D: _write_conv2d,
    DepthwiseConv2D: _write_depthwise_conv2d,
    TransposeConv2D: _write_transpose_conv2d,
    Dense: _write_dense,
    MatMul: _write_matmul,
}
