"""Sparsity: weights set to zero where they are small, unstructured or N of every M. It is no decision of a Recipe.

For none of our backends gains instructions from zeros: the kernels of every core and the runtimes multiply by a zero as by
any other weight, so latency, RAM and the unpacked flash stay what they were; only the compressed size of the file shrinks
(``benchmarks/sparsity.py`` measures all three). To save instructions, leave channels out (``pruning``).
Sources: Han et al., Learning both Weights and Connections, NeurIPS 2015 (by magnitude); Mishra et al., Accelerating Sparse
Deep Neural Networks, 2021 (2 of 4).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Array, Graph, with_nodes

_LAYERS = (ops.Conv2D, ops.TransposeConv2D, ops.Dense, ops.Lstm, ops.Gru)
"""Depthwise kernels are few and each of them matters: they stay whole."""


def sparsify(graph: Graph, share: float) -> Graph:
    """The graph with the smallest ``share`` of each layer's weights at zero, by magnitude.

    Args:
        graph: float, or integer (its weights are symmetric, so that a zero is a zero).
        share: from 0 to below 1; rounded down to whole weights.

    Raises:
        UserError: the share is not from 0 to below 1.
    """
    if not 0 <= share < 1:
        raise UserError(f"the share of zeros is {share}, not from 0 to below 1", where="sparsity")
    return with_masks(graph, {name: _largest(value, share) for name, value in _weights(graph).items()})


def sparsify_blocks(graph: Graph, *, kept: int = 2, of: int = 4) -> Graph:
    """The graph with only the ``kept`` largest of every ``of`` weights along the input channels, by magnitude.

    Layers whose input channels are no multiple of ``of`` stay as they are.

    Raises:
        UserError: not 0 < kept <= of.
    """
    if not 0 < kept <= of:
        raise UserError(f"cannot keep {kept} of every {of} weights", where="sparsity")
    chosen = {name: value for name, value in _weights(graph).items() if value.shape[-1] % of == 0}
    return with_masks(graph, {name: _largest_of_blocks(value, kept, of) for name, value in chosen.items()})


def with_masks(graph: Graph, masks: Mapping[str, Array]) -> Graph:
    """The graph with constants at zero where their mask is False; a training may put masks back after each epoch."""
    constants = {
        name: np.where(mask, graph.constants[name], 0).astype(graph.constants[name].dtype) for name, mask in masks.items()
    }
    return with_nodes(graph, graph.nodes, constants=constants)


def masks_of(graph: Graph) -> dict[str, Array]:
    """Where the weights of layers are not zero: by constant, bool of its shape."""
    return {name: np.asarray(value != 0) for name, value in _weights(graph).items()}


def zero_share(graph: Graph) -> float:
    """Which part of the weights of layers is zero."""
    masks = masks_of(graph).values()
    return 1 - sum(int(mask.sum()) for mask in masks) / max(1, sum(mask.size for mask in masks))


def _weights(graph: Graph) -> dict[str, Array]:
    names = (node.inputs[1] for node in graph.nodes if isinstance(node.op, _LAYERS))
    return {name: graph.constants[name] for name in names}


def _magnitudes(value: Array) -> Array:
    return np.abs(value.astype(np.float64))  # int8 has no 128


def _largest(value: Array, share: float) -> Array:
    order = np.argsort(_magnitudes(value).ravel(), kind="stable")
    mask = np.ones(value.size, np.bool_)
    mask[order[: int(share * value.size)]] = False
    return mask.reshape(value.shape)


def _largest_of_blocks(value: Array, kept: int, of: int) -> Array:
    blocks = _magnitudes(value).reshape(-1, of)
    order = np.argsort(-blocks, axis=1, kind="stable")
    mask = np.zeros(blocks.shape, np.bool_)
    np.put_along_axis(mask, order[:, :kept], values=True, axis=1)
    return mask.reshape(value.shape)
