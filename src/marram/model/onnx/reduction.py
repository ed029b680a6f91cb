"""Reductions, softmax and layer norm: operators over whole axes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod

import numpy as np

from marram.core import operators as ops
from marram.model.onnx.importing import Site, normalised


def _reduce(kind: type[ops.Mean | ops.Sum], site: Site) -> None:
    rank = len(site.shape(0))
    named = site.sizes(1) if site.has(1) else site.integers("axes")
    if not named and site.attribute("noop_with_empty_axes", 0):
        site.bind(site.tensor(0))
        return
    axes = tuple(sorted({normalised(site, axis, rank) for axis in named})) or tuple(range(rank))
    site.result(kind(axes=axes, keep_dims=bool(site.attribute("keepdims", 1))), site.tensor(0))


def softmax(site: Site) -> None:
    """Softmax over one axis; before operator set 13 over all axes from one on."""
    shape = site.shape(0)
    axis = normalised(site, site.attribute("axis", -1 if site.opset >= 13 else 1), len(shape))
    if site.opset < 13 and prod(shape[axis + 1 :]) != 1:
        flat = site.reshaped(site.tensor(0), (prod(shape[:axis]), prod(shape[axis:])))
        site.result(ops.Reshape(shape=shape), site.step(ops.Softmax(), flat))
        return
    if axis == len(shape) - 1:
        site.result(ops.Softmax(), site.tensor(0))
        return
    swap = list(range(len(shape)))
    swap[axis], swap[-1] = swap[-1], swap[axis]
    turned = site.step(ops.Softmax(), site.transposed(site.tensor(0), tuple(swap)))
    site.result(ops.Transpose(permutation=tuple(swap)), turned)


def layer_normalization(site: Site) -> None:
    """LayerNormalization over the last axis."""
    shape = site.shape(0)
    axis = normalised(site, site.attribute("axis", -1), len(shape))
    site.need(axis == len(shape) - 1 and len([n for n in site.node.outputs if n]) == 1, "over more than the last axis")
    gamma = site.array(1)
    if gamma.size not in {1, shape[-1]}:
        site.damaged(f"scale of shape {gamma.shape} for {shape}")
    scale = site.constant("gamma", np.broadcast_to(gamma.reshape(-1), (shape[-1],)))
    offset = site.array(2) if site.has(2) else np.zeros(1, np.float32)
    if offset.size not in {1, shape[-1]}:
        site.damaged(f"bias of shape {offset.shape} for {shape}")
    bias = site.constant("beta", np.broadcast_to(offset.reshape(-1), (shape[-1],)))
    site.result(ops.LayerNorm(epsilon=site.attribute("epsilon", 1e-5)), site.tensor(0), scale, bias)


READERS: dict[str, Callable[[Site], None]] = {
    "ReduceMean": partial(_reduce, ops.Mean),
    "ReduceSum": partial(_reduce, ops.Sum),
    "Softmax": softmax,
    "LayerNormalization": layer_normalization,
}
