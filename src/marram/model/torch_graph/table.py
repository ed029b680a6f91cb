"""Which kernel runs which operator, with the kernels that are one torch call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from marram.core import operators as ops
from marram.model.torch_graph import sequence, spatial
from marram.model.torch_graph.site import Site, activated

Kernel = Callable[..., Sequence[Tensor]]
"""Takes the site, the values of the node's inputs (None for an absent one) and ``training``; gives its outputs."""


def _dense(site: Site, x: Tensor, weights: Tensor, bias: Tensor | None = None, *, training: bool) -> tuple[Tensor]:
    del training
    return (activated(functional.linear(x, weights, bias), site.op(ops.Dense).activation),)


def _mat_mul(site: Site, a: Tensor, b: Tensor, *, training: bool) -> tuple[Tensor]:
    del training
    op = site.op(ops.MatMul)
    return (torch.matmul(a.mT if op.transpose_a else a, b.mT if op.transpose_b else b),)


def _arithmetic(function: Callable[[Tensor, Tensor], Tensor]) -> Kernel:
    def kernel(site: Site, a: Tensor, b: Tensor, *, training: bool) -> tuple[Tensor]:
        del training
        op = site.node.op
        assert isinstance(op, ops.Add | ops.Sub | ops.Mul)
        return (activated(function(a, b), op.activation),)

    return kernel


def _unary(function: Callable[[Any, Tensor], Tensor]) -> Kernel:
    """A kernel of one input and one output: a function of the operator and the value."""

    def kernel(site: Site, x: Tensor, *, training: bool) -> tuple[Tensor]:
        del training
        return (function(site.node.op, x),)

    return kernel


def _concat(site: Site, *parts: Tensor, training: bool) -> tuple[Tensor]:
    del training
    return (torch.cat(parts, dim=site.op(ops.Concat).axis),)


def _split(site: Site, x: Tensor, *, training: bool) -> tuple[Tensor, ...]:
    del training
    op = site.op(ops.Split)
    return torch.split(x, list(op.sizes), dim=op.axis)


def _slice(site: Site, x: Tensor, *, training: bool) -> tuple[Tensor]:
    """A cut that keeps the whole leading axis keeps all samples."""
    del training
    op = site.op(ops.Slice)
    cuts = [slice(*cut) for cut in zip(op.begin, op.end, op.strides, strict=True)]
    if site.input_shape[0] == site.output_shape[0]:
        cuts[0] = slice(None)
    return (x[tuple(cuts)],)


def _reshape(site: Site, x: Tensor, *, training: bool) -> tuple[Tensor]:
    """Each sample's elements stay together: the leading axis takes all the samples."""
    del training
    shape = site.op(ops.Reshape).shape
    samples = x.shape[0] // site.input_shape[0] if site.input_shape else 1
    return (x.reshape(samples * shape[0], *shape[1:]) if shape else x.reshape(()),)


def _layer_norm(site: Site, x: Tensor, gamma: Tensor, beta: Tensor, *, training: bool) -> tuple[Tensor]:
    del training
    return (functional.layer_norm(x, gamma.shape, gamma, beta, site.op(ops.LayerNorm).epsilon),)


def _batch_norm(  # noqa: PLR0917  # the operator's inputs
    site: Site,
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    mean: Tensor,
    variance: Tensor,
    *,
    training: bool,
) -> tuple[Tensor]:
    """In training by the batch's statistics, which move the running ones in place."""
    epsilon = site.op(ops.BatchNorm).epsilon
    rows = x.reshape(-1, x.shape[-1])
    return (functional.batch_norm(rows, mean, variance, gamma, beta, training=training, eps=epsilon).reshape(x.shape),)


def _pad(op: ops.Pad, x: Tensor) -> Tensor:
    return functional.pad(x, [n for pair in reversed(op.paddings) for n in pair], value=op.value)


KERNELS: dict[type, Kernel] = {
    ops.Conv2D: spatial.conv2d,
    ops.DepthwiseConv2D: spatial.depthwise_conv2d,
    ops.TransposeConv2D: spatial.transpose_conv2d,
    ops.Dense: _dense,
    ops.MatMul: _mat_mul,
    ops.Add: _arithmetic(torch.add),
    ops.Sub: _arithmetic(torch.sub),
    ops.Mul: _arithmetic(torch.mul),
    ops.Concat: _concat,
    ops.Split: _split,
    ops.Slice: _slice,
    ops.Pad: _unary(_pad),
    ops.Reshape: _reshape,
    ops.Transpose: _unary(lambda op, x: x.permute(op.permutation)),
    ops.AveragePool2D: spatial.average_pool2d,
    ops.MaxPool2D: spatial.max_pool2d,
    ops.Mean: _unary(lambda op, x: x.mean(dim=op.axes, keepdim=op.keep_dims) if op.axes else x),
    ops.Sum: _unary(lambda op, x: x.sum(dim=op.axes, keepdim=op.keep_dims) if op.axes else x),
    ops.Relu: _unary(lambda _, x: x.relu()),
    ops.Relu6: _unary(lambda _, x: x.clamp(0, 6)),
    ops.LeakyRelu: _unary(lambda op, x: functional.leaky_relu(x, op.alpha)),
    ops.HardSwish: _unary(lambda _, x: functional.hardswish(x)),
    ops.Sigmoid: _unary(lambda _, x: x.sigmoid()),
    ops.Tanh: _unary(lambda _, x: x.tanh()),
    ops.Gelu: _unary(lambda op, x: functional.gelu(x, approximate="tanh" if op.approximate else "none")),
    ops.Softmax: _unary(lambda op, x: torch.softmax(op.beta * x, dim=-1)),
    ops.LayerNorm: _layer_norm,
    ops.BatchNorm: _batch_norm,
    ops.Resize: spatial.resize,
    ops.Lstm: sequence.lstm,
    ops.Gru: sequence.gru,
}
"""Every operator of a float Graph; Quantise and Dequantise have no place in one."""
