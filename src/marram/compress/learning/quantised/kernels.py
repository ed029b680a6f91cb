"""Kernels: each operator of an integer Graph, its value bit for bit the reference's, with gradients.

Values of quantised tensors are their integers less the zero point, as float32, which holds them exactly; values of float
tensors are themselves. A gradient is that of the float operator between dequantised values, and 0 where the output was cut off.
Layers, matrix products, pools and reductions are computed by torch, whose sums of integers are exact while the sum of
magnitudes stays below 2**24 in float32, else in float64. For all other operators the reference's own kernel gives the value.
Importing this module imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from marram.compress.learning.quantised.moment import Layer, Moment
from marram.compress.learning.quantised.requantisation import Rescaling, multipliers, requantised
from marram.compress.learning.quantised.straight import straight
from marram.compress.learning.quantised.sums import summed
from marram.core import operators as ops
from marram.core.graph import Array
from marram.model.reference.arithmetic import Multiplier, activation_range, integer_range, multiplier, quantised
from marram.model.reference.reduction import divided
from marram.model.reference.site import Site as ReferenceSite
from marram.model.torch_graph.site import Site
from marram.model.torch_graph.table import KERNELS

Kernel = Callable[..., Sequence[Tensor]]
"""Takes the site, the moment and the values of the node's activations; gives its outputs."""

_EXACT_SUM = 2.0**24
_REDUCED = {ops.Conv2D: (1, 2, 3), ops.DepthwiseConv2D: (0, 1, 2), ops.TransposeConv2D: (1, 2, 3), ops.Dense: (1,)}
_Layer = ops.Conv2D | ops.DepthwiseConv2D | ops.TransposeConv2D | ops.Dense


def layer(site: Site, now: Moment, x: Tensor) -> tuple[Tensor]:
    """A layer with weights: exact sums, bias, requantisation."""
    node = site.node
    op, found = node.op, now.layers[node.name]
    assert isinstance(op, _Layer)
    bare = msgspec.structs.replace(site, node=msgspec.structs.replace(node, op=msgspec.structs.replace(op, activation="none")))
    greatest = _greatest_sum(now, node.inputs[0], found.codes, _REDUCED[type(op)])
    weights = found.codes
    if greatest >= _EXACT_SUM or _is_misread(site):
        x, weights = x.double(), weights.double()
    (sums,) = KERNELS[type(op)](bare, x, weights, training=False)
    reference = now.site(node)
    low, high = activation_range(reference, op.activation)
    most = greatest + (0.0 if found.bias is None else float(found.bias.detach().abs().max()))
    channels = sums.shape[-1]
    rescaling = Rescaling(
        by=_layer_multiplier(reference, found.scales, channels),
        zero_point=now.zero_point(node.outputs[0]),
        low=low,
        high=high,
        dtype=reference.output.dtype,
        wide=reference.input(0).dtype == "int16",
        most=most,
    )
    factor = now.scales[node.inputs[0]] * found.scales / now.scales[node.outputs[0]]
    return (requantised(sums, found.bias, factor.expand(channels), rescaling),)


def _is_misread(site: Site) -> bool:
    """Whether torch's float32 convolution gives wrong sums, as 2.13 (oneDNN) does: from one channel to one strided column."""
    op = site.node.op
    if not isinstance(op, ops.Conv2D | ops.DepthwiseConv2D):
        return False
    return site.input_shape[3] == 1 and site.output_shape[2] == 1 and op.stride[1] > 1


def _layer_multiplier(reference: ReferenceSite, scales: Tensor, channels: int) -> Multiplier:
    """As ``model.reference.linear.channel_multiplier``, for all channels at once."""
    scale_in, scale_out = (float(reference.scale(tensor)) for tensor in (reference.input(0), reference.output))
    found = multipliers(scale_in * scales.detach().numpy().astype(np.float64) / scale_out)
    repeated = (np.broadcast_to(part, channels) for part in (found.values, found.shifts))
    values, shifts = repeated
    return Multiplier(values=values, shifts=shifts)


def _greatest_sum(now: Moment, source: str, codes: Tensor, axes: tuple[int, ...]) -> float:
    """The greatest magnitude that a layer's sum of products can have."""
    low, high = now.limits(source)
    return float(codes.detach().abs().sum(dim=axes, dtype=torch.float64).max()) * max(-low, high)


def _plain(reference: ReferenceSite, now: Moment, factor: float, most: float) -> Rescaling:
    """A rescaling by one factor without activation."""
    low, high = integer_range(reference.output)
    by = multiplier(factor)
    zero_point, dtype = now.zero_point(reference.output.name), reference.output.dtype
    return Rescaling(by=by, zero_point=zero_point, low=low, high=high, dtype=dtype, wide=False, most=most)


def mat_mul(site: Site, now: Moment, a: Tensor, b: Tensor) -> tuple[Tensor]:
    """Matrix product of activations."""
    node = site.node
    op = site.op(ops.MatMul)
    depth = a.shape[-2 if op.transpose_a else -1]
    reach = [max(-low, high) for low, high in (now.limits(name) for name in node.inputs)]
    most = depth * reach[0] * reach[1]
    if most >= _EXACT_SUM:
        a, b = a.double(), b.double()
    sums = torch.matmul(a.mT if op.transpose_a else a, b.mT if op.transpose_b else b)
    reference = now.site(node)
    scales = [float(reference.scale(tensor)) for tensor in (reference.input(0), reference.input(1), reference.output)]
    rescaling = _plain(reference, now, scales[0] * scales[1] / scales[2], most)
    first, second, out = (now.scales[name] for name in (*node.inputs, *node.outputs))
    return (requantised(sums, None, first * second / out, rescaling),)


def reduction(site: Site, now: Moment, x: Tensor) -> tuple[Tensor]:
    """Mean and sum over axes."""
    node = site.node
    op = node.op
    assert isinstance(op, ops.Mean | ops.Sum)
    count = math.prod(site.input_shape[axis] for axis in op.axes)
    wide = x.double() if count * 255 >= _EXACT_SUM else x
    sums = wide.sum(dim=op.axes, keepdim=op.keep_dims) if op.axes else wide
    reference = now.site(node)
    scale_in, scale_out = (float(reference.scale(tensor)) for tensor in (reference.input(0), reference.output))
    rescaling = _plain(reference, now, scale_in / scale_out, count * 255.0)
    factor = now.scales[node.inputs[0]] / now.scales[node.outputs[0]]
    if isinstance(op, ops.Mean):
        rescaling = msgspec.structs.replace(rescaling, by=divided(rescaling.by, count))
        factor = factor / count
    return (requantised(sums, None, factor, rescaling),)


def quantise(site: Site, now: Moment, x: Tensor) -> tuple[Tensor]:
    """Reals to integers, or integers to another scale."""
    source, target = site.node.inputs[0], site.node.outputs[0]
    if now.tensors[source].dtype == "float32":
        return (entered(x, now, target),)
    reference = now.site(site.node)
    factor = float(reference.scale(reference.input(0))) / float(reference.scale(reference.output))
    low, high = now.limits(source)
    return (requantised(x, None, now.scales[source] / now.scales[target], _plain(reference, now, factor, max(-low, high))),)


def entered(x: Tensor, now: Moment, name: str) -> Tensor:
    """Reals as the integers of a tensor, as ``sense.quantise`` and the reference's Quantise make them."""
    low, high = now.limits(name)
    steps = x / now.scales[name]
    wide = steps.detach().double()
    exact = torch.trunc(wide + torch.copysign(torch.tensor(0.5, dtype=torch.float64), wide)).clamp(low, high).float()
    return straight(steps.clamp(low, high), exact)


def dequantise(site: Site, now: Moment, x: Tensor) -> tuple[Tensor]:
    """Integers as reals."""
    return (x * now.scales[site.node.inputs[0]],)


def average_pool2d(site: Site, now: Moment, x: Tensor) -> tuple[Tensor]:
    """Averages of integers that are not centred, halves away from zero."""
    node, op = site.node, site.op(ops.AveragePool2D)
    top, bottom, left, right = op.padding
    image = functional.pad(x.permute(0, 3, 1, 2), (left, right, top, bottom))
    area = op.kernel[0] * op.kernel[1]
    sums = functional.avg_pool2d(image, op.kernel, op.stride, divisor_override=1)
    ones = functional.pad(torch.ones(1, 1, *x.shape[1:3]), (left, right, top, bottom))
    counts = functional.avg_pool2d(ones, op.kernel, op.stride, divisor_override=1) if any(op.padding) else float(area)
    zero_point = now.zero_point(node.outputs[0])
    with torch.no_grad():
        whole = sums + counts * zero_point
        half = torch.floor(torch.as_tensor(counts) / 2)
        exact = torch.sign(whole) * torch.floor((whole.abs() + half) / counts) - zero_point
    return (_cut(site, now, (sums / counts).permute(0, 2, 3, 1), exact.permute(0, 2, 3, 1)),)


def max_pool2d(site: Site, now: Moment, x: Tensor) -> tuple[Tensor]:
    """The greatest integers."""
    op = site.op(ops.MaxPool2D)
    bare = msgspec.structs.replace(op, activation="none")
    (result,) = KERNELS[ops.MaxPool2D](_with_op(site, bare), x, training=False)
    return (_cut(site, now, result, result.detach()),)


def _cut(site: Site, now: Moment, smooth: Tensor, exact: Tensor) -> Tensor:
    """The output's activation on integers less the zero point."""
    op = site.node.op
    assert isinstance(op, ops.AveragePool2D | ops.MaxPool2D)
    low, high = activation_range(now.site(site.node), op.activation)
    zero_point = now.zero_point(site.node.outputs[0])
    low, high = low - zero_point, high - zero_point
    return straight(smooth.clamp(low, high), exact.clamp(low, high))


def moved(site: Site, now: Moment, *values: Tensor) -> Sequence[Tensor]:
    """Operators that only move numbers, on integers less their zero point."""
    op = site.node.op
    if isinstance(op, ops.Pad):
        name = site.node.inputs[0]
        low, high = now.limits(name)
        real = quantised(op.value, np.float32(now.quantisation(name).scale), 0)
        site = _with_op(site, msgspec.structs.replace(op, value=min(max(float(real), low), high)))
    return KERNELS[type(op)](site, *values, training=False)


def resize(site: Site, now: Moment, x: Tensor) -> Sequence[Tensor]:
    """Nearest by moving, bilinear by the reference."""
    is_nearest = site.op(ops.Resize).method == "nearest"
    return moved(site, now, x) if is_nearest else by_reference(site, now, x)


def by_reference(site: Site, now: Moment, *values: Tensor) -> Sequence[Tensor]:
    """The reference's kernel forwards, the float operator on dequantised values backwards."""
    node = site.node
    found = now.kernel(node)(*(_integers(value, now, name) for value, name in zip(values, node.inputs, strict=True)))
    exact = [
        torch.from_numpy(array.astype(np.float32) - np.float32(now.zero_point(name)))
        for array, name in zip(found, node.outputs, strict=True)
    ]
    if not torch.is_grad_enabled():
        return exact
    reals = [value * now.scales[name] for value, name in zip(values, node.inputs, strict=True)]
    smooth = KERNELS[type(node.op)](site, *reals, training=False)
    cut = [(value / now.scales[name]).clamp(*now.limits(name)) for value, name in zip(smooth, node.outputs, strict=True)]
    return [straight(value, whole) for value, whole in zip(cut, exact, strict=True)]


def of_floats(site: Site, now: Moment, *values: Tensor | None, constants: dict[str, Array]) -> Sequence[Tensor]:
    """A float node by the reference's kernel, for the last bits of torch's may differ; torch backwards."""
    node = site.node
    arrays = [None if value is None else value.detach().numpy() for value in values]
    exact = [torch.from_numpy(np.ascontiguousarray(array)) for array in now.kernel(node, constants)(*arrays)]
    if not torch.is_grad_enabled():
        return exact
    smooth = KERNELS[type(node.op)](site, *values, training=False)
    return [straight(value, whole) for value, whole in zip(smooth, exact, strict=False)]


def addition(site: Site, now: Moment, a: Tensor, b: Tensor) -> Sequence[Tensor]:
    """Sum and difference by the reference; the gradient of equal shapes without copies of the dequantised values."""
    if a.shape != b.shape or not torch.is_grad_enabled():
        return by_reference(site, now, a, b)
    node = site.node
    assert isinstance(node.op, ops.Add | ops.Sub)
    (whole,) = now.kernel(node)(*(_integers(value, now, name) for value, name in zip((a, b), node.inputs, strict=True)))
    exact = torch.from_numpy(whole.astype(np.float32))
    exact -= now.zero_point(node.outputs[0])
    low, high = activation_range(now.site(node), node.op.activation)
    zero_point = now.zero_point(node.outputs[0])
    first, second = (now.scales[name] / now.scales[node.outputs[0]] for name in node.inputs)
    second = second if isinstance(node.op, ops.Add) else -second
    return (summed((a, b), (first, second), exact, (low - zero_point, high - zero_point)),)


def _integers(value: Tensor, now: Moment, name: str) -> Array:
    whole: Array = (value.detach() + now.zero_point(name)).numpy().astype(now.tensors[name].dtype)
    return np.ascontiguousarray(whole)


def _with_op(site: Site, op: ops.Operator) -> Site:
    return msgspec.structs.replace(site, node=msgspec.structs.replace(site.node, op=op))


INTEGER_KERNELS: dict[type, Kernel] = {
    **dict.fromkeys(_REDUCED, layer),
    ops.MatMul: mat_mul,
    **dict.fromkeys((ops.Mean, ops.Sum), reduction),
    **dict.fromkeys((ops.Add, ops.Sub), addition),
    ops.Quantise: quantise,
    ops.Dequantise: dequantise,
    ops.AveragePool2D: average_pool2d,
    ops.MaxPool2D: max_pool2d,
    **dict.fromkeys((ops.Concat, ops.Split, ops.Slice, ops.Pad, ops.Reshape, ops.Transpose), moved),
    ops.Resize: resize,
}
"""Operators that torch computes exactly; ``by_reference`` is for the others."""

__all__ = ["INTEGER_KERNELS", "Kernel", "Layer", "by_reference", "entered", "of_floats"]
