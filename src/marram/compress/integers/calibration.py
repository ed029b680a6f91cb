"""Calibration: sample inputs in, a range of real values for every activation out.

Each tensor keeps its exact minimum and maximum and a histogram of at most ``_BINS`` bins whose width doubles when the values
outgrow it, so memory does not grow with the data and the order of batches does not matter. Ranges come from these alone:

- ``min_max``: the extremes seen. Jacob et al., CVPR 2018, section 3.
- ``percentile``: cuts ``(100 - percentile) / 2`` per cent at each end. Wu et al., Integer Quantization for Deep Learning
  Inference, 2020, section 5.1.
- ``mse``: the clipping with the least squared error after int8 rounding. Nagel et al., A White Paper on Neural Network
  Quantization, 2021, section 3.1.
- ``entropy``: the clipping with the least Kullback-Leibler divergence. Migacz, 8-bit Inference with TensorRT, GTC 2017.

Whatever the method, the graph's scores keep their extremes (``scores``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
import numpy as np

from marram.core.errors import DataError
from marram.core.graph import Array, Graph
from marram.core.operators import Softmax
from marram.core.recipe import CalibrationMethod
from marram.model.batching import keeps_samples_apart
from marram.model.reference import prepare, run

_BINS = 4096
_BATCH = 32
Batch = Array | Sequence[Array] | Mapping[str, Array]
"""One batch of inputs: an array for graphs with one input, else arrays in order or by name."""
Samples = Array | Iterable[Batch]
"""Samples as one array (leading axis), or as batches. Batches that are read more than once must be a list or tuple."""


class Range(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The real values that a tensor's quantisation must reach."""

    low: float
    high: float


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one tensor: its extremes, and counts of values in the bins ``[(first + i) * width, + width)``."""

    low: float
    high: float
    first: int = 0
    width: float = 0.0
    counts: Array = msgspec.field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def centres(self) -> Array:
        """The middle of each bin."""
        return (self.first + np.arange(self.counts.size) + 0.5) * self.width


def calibrate(
    graph: Graph, samples: Samples, *, method: CalibrationMethod = "min_max", percentile: float = 99.99
) -> dict[str, Range]:
    """Ranges of every input and computed tensor of a float Graph over samples.

    Args:
        graph: a float Graph.
        samples: float32 inputs: one array with the samples along its leading axis, or batches.
        method: how a range is drawn from what was seen; see the module's docstring.
        percentile: the share of values that the method ``percentile`` keeps, above 50 and at most 100.

    Raises:
        DataError: there are no samples, or a tensor holds NaN or infinity; the error names it.
    """
    return ranges(statistics(graph, samples), method=method, percentile=percentile, whole=scores(graph))


def statistics(graph: Graph, samples: Samples) -> dict[str, Statistics]:
    """Extremes and histograms of every input and computed tensor, streaming over the samples.

    Raises:
        DataError: as ``calibrate``.
    """
    seen: dict[str, Statistics] = {}

    def watch(name: str, values: Array) -> None:
        if values.dtype == np.float32:
            seen[name] = _updated(name, seen.get(name), values)

    prepared = prepare(graph)
    for batch in batches(graph, samples):
        for name, values in zip(graph.inputs, named(graph, batch).values(), strict=True):
            watch(name, np.asarray(values, np.float32))
        run(prepared, batch, observe=watch)
    if not seen:
        raise DataError("there are no calibration samples", hint="Give at least one; a few hundred are usual.")
    return seen


def batches(graph: Graph, samples: Samples, *, size: int = _BATCH) -> Iterator[Batch]:
    """Samples in batches that the Graph can run: many at once where it keeps samples apart, else one by one."""
    if isinstance(samples, np.ndarray):
        step = size if keeps_samples_apart(graph) else max(1, graph.input_tensors[0].shape[0])
        yield from (samples[start : start + step] for start in range(0, len(samples), step))
    else:
        yield from samples


def named(graph: Graph, batch: Batch) -> dict[str, Array]:
    """A batch as arrays by input name, in the graph's order."""
    if isinstance(batch, Mapping):
        return {name: batch[name] for name in graph.inputs}
    arrays = [batch] if isinstance(batch, np.ndarray) else list(batch)
    if len(arrays) != len(graph.inputs):
        raise DataError(
            f"a batch has {len(arrays)} arrays, the graph takes {len(graph.inputs)}", hint=f"Inputs: {', '.join(graph.inputs)}"
        )
    return dict(zip(graph.inputs, arrays, strict=True))


def scores(graph: Graph) -> frozenset[str]:
    """The graph's outputs, and what a softmax before an output reads: clipped, the best class would tie with the next."""
    by_output = {name: node for node in graph.nodes for name in node.outputs}
    behind = [
        by_output[name].inputs[0] for name in graph.outputs if name in by_output and isinstance(by_output[name].op, Softmax)
    ]
    return frozenset((*graph.outputs, *behind))


def ranges(
    seen: Mapping[str, Statistics],
    *,
    method: CalibrationMethod = "min_max",
    percentile: float = 99.99,
    whole: frozenset[str] = frozenset(),
) -> dict[str, Range]:
    """Ranges drawn from statistics, by the methods of ``calibrate``; the tensors in ``whole`` keep their extremes.

    Raises:
        DataError: the percentile makes no sense.
    """
    if not 50 < percentile <= 100:
        raise DataError(f"percentile {percentile} is not above 50 and at most 100")
    return {name: _range(one, "min_max" if name in whole else method, percentile) for name, one in seen.items()}


def _range(seen: Statistics, method: CalibrationMethod, percentile: float) -> Range:
    match method:
        case "min_max":
            return Range(low=seen.low, high=seen.high)
        case "percentile":
            return percentile_range(seen, percentile)
        case "mse":
            return mse_range(seen)
        case "entropy":
            return entropy_range(seen)


def _updated(name: str, before: Statistics | None, values: Array) -> Statistics:
    """Statistics with more values counted in."""
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError("holds NaN or infinity", where=f"tensor {name}", hint="Look at the samples and at the layer before it.")
    if before is not None:
        low, high = min(low, before.low), max(high, before.high)
    width = max(_bin_width(low, high), 0.0 if before is None else before.width)
    first = int(np.floor(low / width))
    counts = np.zeros(int(np.floor(high / width)) - first + 1, np.int64)
    if before is not None:
        merged = np.floor((before.first + np.arange(before.counts.size)) / (width / before.width)) - first
        np.add.at(counts, merged.astype(np.int64), before.counts)
    counts += np.bincount((np.floor(values.astype(np.float64).ravel() / width) - first).astype(np.int64), minlength=counts.size)
    return Statistics(low=low, high=high, first=first, width=width, counts=counts)


def _bin_width(low: float, high: float) -> float:
    """The smallest power of two that covers the span, and the way to zero, with the bins there are."""
    reach = max(high, 0.0) - min(low, 0.0)
    return float(2.0 ** max(np.ceil(np.log2(max(reach, 1e-30) / (_BINS - 2))), -120))


def percentile_range(seen: Statistics, percentile: float) -> Range:
    """The range without ``(100 - percentile) / 2`` per cent of the values at each end, linear within a bin."""
    below = np.concatenate([[0], np.cumsum(seen.counts)]) / seen.counts.sum()
    edges = (seen.first + np.arange(seen.counts.size + 1)) * seen.width
    cut = (100 - percentile) / 200
    low, high = np.interp([cut, 1 - cut], below, edges)
    return Range(low=max(float(low), seen.low), high=min(float(high), seen.high))


def _steps(low: float, high: float) -> tuple[float, float]:
    """Scale and real-valued lower end of the int8 grid that holds zero and spans low to high."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / 255, 1e-30)
    return scale, np.round(low / scale) * scale


def squared_error(seen: Statistics, low: float, high: float) -> float:
    """Mean squared error of int8 quantisation with that range, over the histogram."""
    scale, bottom = _steps(low, high)
    x = np.clip(seen.centres, seen.low, seen.high)
    rounded = np.clip(np.round((x - bottom) / scale), 0, 255) * scale + bottom
    return float((seen.counts * (x - rounded) ** 2).sum() / seen.counts.sum())


def mse_range(seen: Statistics, *, candidates: int = 60, rounds: int = 2) -> Range:
    """The clipping with the least squared error: each end in turn is tried at fractions of its extreme."""
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    fractions = np.linspace(1.0, 0.1, candidates)
    for _ in range(rounds):
        if high > 0:
            high = min((max(seen.high, 0.0) * f for f in fractions), key=lambda end: squared_error(seen, low, end))
        if low < 0:
            low = min((min(seen.low, 0.0) * f for f in fractions), key=lambda end: squared_error(seen, end, high))
    return Range(low=float(low), high=float(high))


def divergence(seen: Statistics, low: float, high: float) -> float:
    """Kullback-Leibler divergence from the clipped values to their int8 image spread over the same bins."""
    scale, bottom = _steps(low, high)
    x = np.clip(seen.centres, bottom, bottom + 255 * scale)
    level = np.clip(np.round((x - bottom) / scale), 0, 255).astype(np.int64)
    inside = (seen.centres >= bottom - scale / 2) & (seen.centres <= bottom + 255.5 * scale)
    kept = np.where(inside, seen.counts, 0).astype(np.float64)
    p = kept.copy()
    edges = np.flatnonzero(inside)
    if not edges.size:
        return float("inf")
    p[edges[0]] += seen.counts[: edges[0]].sum()  # what is clipped lands on the outermost bins
    p[edges[-1]] += seen.counts[edges[-1] + 1 :].sum()
    filled = kept > 0
    mass, places = np.bincount(level, kept, 256), np.bincount(level, filled, 256)
    q = np.where(filled, (mass / np.maximum(places, 1))[level], 0.0)
    p, q = p / p.sum(), q / max(q.sum(), 1e-300)
    live = p > 0
    return float((p[live] * np.log(p[live] / np.maximum(q[live], 1e-9))).sum())


def _merged(seen: Statistics) -> Statistics:
    """The statistics with bins of twice the width."""
    first, index = seen.first // 2, np.arange(seen.counts.size) + seen.first
    counts = np.bincount(index // 2 - first, weights=seen.counts).astype(np.int64)
    return Statistics(low=seen.low, high=seen.high, first=first, width=2 * seen.width, counts=counts)


def _without_zeros(seen: Statistics) -> Statistics:
    """The statistics with no more values in the bin of zero than in the one above it."""
    at = -seen.first
    if not 0 <= at < seen.counts.size - 1:
        return seen
    counts = seen.counts.copy()
    counts[at] = min(counts[at], counts[at + 1])
    return Statistics(low=seen.low, high=seen.high, first=seen.first, width=seen.width, counts=counts)


def entropy_range(seen: Statistics, *, candidates: int = 60) -> Range:
    """The clipping with the least divergence; both ends shrink together.

    Bins with few values would make the noise of sampling look like a divergence, so bins are merged until they hold 32 values
    on average; a tensor with too few values for 512 bins of 8 keeps its extremes. The mass at zero, which a relu makes large
    and which is exact on every grid, is levelled to the bin beside it.
    """
    seen = _without_zeros(seen)
    while seen.counts.size > 1024 and seen.counts.sum() < 32 * seen.counts.size:
        seen = _merged(seen)
    if seen.counts.sum() < 8 * 512:
        return Range(low=seen.low, high=seen.high)
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    best = min(np.linspace(1.0, 0.1, candidates), key=lambda f: divergence(seen, low * f, high * f))
    return Range(low=float(low * best), high=float(high * best))
