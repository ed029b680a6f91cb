"""Golden vectors: inputs that push accumulators and outputs of a model to their ends, where wrong arithmetic shows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from marram.core.errors import UserError
from marram.core.graph import Array, Graph, Tensor
from marram.core.operators import Conv2D, Dense, DepthwiseConv2D

_POOL = 3  # candidates for each vector that is kept
_MAX_CHANNELS = 32


def golden_vectors(graph: Graph, count: int, *, seed: int = 1) -> tuple[Array, ...]:
    """``count`` inputs of an integer Graph, chosen from a larger pool.

    The pool has constants at both ends of the range and between, stripes, patterns from the signs of the first layer's
    weights (they make its accumulators as large as they can get, in both directions), mixtures of the extremes, blends, smooth
    and white noise. Of the pool those come first that bring any tensor of the model to its lowest or highest value, then those
    with an answer that none before had.

    Args:
        graph: integer, as the C is made from.
        count: how many, at least 1.
        seed: the same seed gives the same vectors.

    Returns:
        For each input an array (N, ...) of its dtype.

    Raises:
        UserError: ``count`` is not positive, or an input is not of integers.
    """
    if count < 1:
        raise UserError("at least one vector is needed", where="count")
    random = np.random.default_rng(seed)
    columns = [_candidates(graph, tensor, _POOL * count, random) for tensor in graph.input_tensors]
    order = _extreme_first(graph, columns)[:count]
    return tuple(column[order] for column in columns)


def _candidates(graph: Graph, tensor: Tensor, count: int, random: np.random.Generator) -> Array:
    if not tensor.dtype.startswith(("int", "uint")):
        raise UserError("golden vectors are made for inputs of integers", where=tensor.name)
    limits = np.iinfo(tensor.dtype)
    shape, low, high = tensor.shape, int(limits.min), int(limits.max)
    found = list(_fixed(tensor, low, high))
    found += [np.where(signs, high, low) for signs in _weight_signs(graph, tensor)]
    found = found[:count]
    while len(found) < count:
        kind = len(found) % 5
        if kind == 0:
            found.append(random.integers(low, high, shape, endpoint=True))
        elif kind == 1:
            found.append(np.where(random.random(shape) < random.random(), high, low))
        elif kind == 2:
            middle, width = random.integers(low, high), random.integers(1, high - low)
            found.append(np.clip(random.normal(middle, width / 4, shape), low, high).round())
        elif kind == 3:  # between two others, where a classifier hesitates
            one, other = (np.asarray(found[index], dtype=np.float64) for index in random.integers(0, len(found), 2))
            share = random.random()
            found.append((share * one + (1 - share) * other).round())
        else:
            slopes = [np.linspace(-1, 1, size) * random.normal() for size in shape]
            wave = np.add.outer(np.zeros(()), 0.0)
            for slope in slopes:
                wave = np.add.outer(wave, slope)
            found.append(np.clip((low + high) / 2 + wave * (high - low) / 2, low, high).round())
    return np.stack([np.asarray(value).astype(tensor.dtype).reshape(shape)[0] if shape[0] == 1 else value for value in found])


def _fixed(tensor: Tensor, low: int, high: int) -> Iterator[Array]:
    point = tensor.quantisation.zero_point if tensor.quantisation is not None else 0
    for value in (low, high, point, 0, low + 1, high - 1, min(point + 1, high), max(point - 1, low)):
        yield np.full(tensor.shape, value)
    index = np.indices(tensor.shape).sum(axis=0)
    for period in (1, 2, 3):
        yield np.where(index // period % 2 == 0, low, high)
        yield np.where(index // period % 2 == 0, high, low)
    yield (np.arange(tensor.size).reshape(tensor.shape) % (high - low + 1)) + low


def _weight_signs(graph: Graph, tensor: Tensor) -> Iterator[Array]:
    """For each output of the first weighted layer on an input: where its weights are positive, laid over the input."""
    names = {tensor.name}
    for node in graph.nodes:
        weights = graph.constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
        if node.inputs[0] in names and weights is not None and isinstance(node.op, Conv2D | DepthwiseConv2D | Dense):
            kernels = np.moveaxis(weights, -1, 0)[..., None] if isinstance(node.op, DepthwiseConv2D) else weights
            for kernel in kernels[:_MAX_CHANNELS]:
                signs = _laid(kernel.reshape(kernel.shape[-3:]) > 0 if kernel.ndim >= 3 else kernel > 0, tensor.shape)
                yield signs
                yield ~signs
            return
        if node.inputs[0] in names and len(node.outputs) == 1 and graph.tensors[node.outputs[0]].size == tensor.size:
            names.add(node.outputs[0])


def _laid(signs: Array, shape: tuple[int, ...]) -> Array:
    """A kernel's signs repeated over a shape, so that some windows meet them exactly."""
    if signs.ndim == 3 and len(shape) == 4:
        return signs[np.ix_(*(np.arange(size) % kernel for size, kernel in zip(shape[1:], signs.shape, strict=True)))][None]
    return np.resize(signs, shape)


def _extreme_first(graph: Graph, columns: list[Array]) -> list[int]:
    """The order of the pool: first, for each tensor, the samples in which it is lowest and highest; new answers; the rest."""
    from marram.model.reference import interpret

    lows: dict[str, list[float]] = {}
    highs: dict[str, list[float]] = {}
    count = len(columns[0])

    def observe(name: str, array: Array) -> None:
        declared = graph.tensors[name].shape
        samples = max(1, array.shape[0] // declared[0]) if declared else 1
        flat = array.reshape(samples, -1)
        lows.setdefault(name, []).extend(flat.min(axis=1).tolist())
        highs.setdefault(name, []).extend(flat.max(axis=1).tolist())

    outputs = interpret(graph, columns, observe=observe)
    chosen: dict[int, None] = {}
    for name, lowest in lows.items():
        if len(lowest) == count:
            chosen[int(np.argmin(lowest))] = None
            chosen[int(np.argmax(highs[name]))] = None
    answers = [tuple(array[index].tobytes() for array in outputs) for index in range(count)]
    fresh = {answer: index for index, answer in reversed(list(enumerate(answers)))}
    chosen |= dict.fromkeys(sorted(fresh.values()))
    return [*chosen, *(index for index in range(count) if index not in chosen)]
