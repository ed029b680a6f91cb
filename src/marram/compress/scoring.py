"""Scoring: how close the outputs of an integer Graph stay to those of the float one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from marram.compress.integers.calibration import Samples
from marram.compress.integers.stepping import first_batches, run_quantised
from marram.core.graph import Array, Graph
from marram.model.reference import prepare, run


def closeness(float_graph: Graph, samples: Samples, *, limit: int = 1024) -> Callable[[Graph], float]:
    """A score for ``best``: how close a graph's outputs stay to the float graph's, in decibels.

    The signal-to-noise ratio of each sample's output, less its mean over the last axis, averaged over samples. Each sample
    counts alike, for what flips an answer is noise beside a small difference between scores, and in a ratio over all
    samples together those with large scores drown the others. The mean does not count, since adding one number to all
    scores changes no answer; outputs of one element are taken as they are.

    Args:
        float_graph: the Graph before quantisation.
        samples: float32 samples that are not of the test set.
        limit: the most samples that are used.
    """
    inputs = first_batches(float_graph, samples, limit=limit, size=limit)
    prepared = prepare(float_graph)
    exact: list[tuple[Array, ...]] = [run(prepared, values) for values in inputs]

    def score(graph: Graph) -> float:
        ratios = [
            _ratios(real, given)
            for values, wanted in zip(inputs, exact, strict=True)
            for (_, given), real in zip(run_quantised(graph, values), wanted, strict=True)
        ]
        return float(np.concatenate(ratios).mean())

    return score


_CLOSEST_DB = 120.0
"""A sample's ratio counts up to here: what is exact by chance must not outweigh the others."""


def _ratios(real: Array, given: Array) -> Array:
    """Signal-to-noise ratio of each sample in decibels: (N,) float64."""
    signal, noise = real.astype(np.float64), real.astype(np.float64) - given
    if real.shape[-1] > 1:
        signal, noise = (values - values.mean(axis=-1, keepdims=True) for values in (signal, noise))
    powers = [(values.reshape(len(real), -1) ** 2).sum(axis=1) for values in (signal, noise)]
    tiny = np.finfo(np.float64).tiny
    with np.errstate(over="ignore"):  # equal outputs: their ratio is clipped
        ratios = 10 * np.log10((powers[0] + tiny) / (powers[1] + tiny))
    return np.asarray(np.clip(ratios, -_CLOSEST_DB, _CLOSEST_DB))
