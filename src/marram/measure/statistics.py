"""How sure a figure is: intervals for proportions, paired tests of two classifiers, bootstrap, calibration error."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from statistics import NormalDist

import msgspec
import numpy as np

from marram.core.errors import UserError
from marram.core.graph import Array

Interval = tuple[float, float]

_CHUNK = 1 << 22  # resampled values held at a time


class PairedCounts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two classifiers on the same samples: how often only the first, and only the second, was right, of ``samples``."""

    first_only: int
    second_only: int
    samples: int

    @property
    def drop(self) -> float:
        """Accuracy of the first less that of the second."""
        return (self.first_only - self.second_only) / self.samples


def wilson(successes: int, samples: int, *, confidence: float = 0.95) -> Interval:
    """Two-sided score interval of a proportion.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).

    Raises:
        UserError: there are no samples, or the confidence is not between 0 and 1.
    """
    _check_samples(samples)
    z = _quantile((1 + _checked(confidence)) / 2)
    share = successes / samples
    middle = (share + z * z / (2 * samples)) / (1 + z * z / samples)
    half = z / (1 + z * z / samples) * sqrt(share * (1 - share) / samples + z * z / (4 * samples * samples))
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == samples else min(1.0, middle + half)
    return low, high


def paired_counts(first_correct: Array, second_correct: Array) -> PairedCounts:
    """Counts of agreement from two boolean arrays over the same samples.

    Raises:
        UserError: the arrays are empty or differ in length.
    """
    if first_correct.shape != second_correct.shape or first_correct.ndim != 1:
        raise UserError(f"{first_correct.shape} and {second_correct.shape} results cannot be paired", where="paired test")
    _check_samples(len(first_correct))
    first, second = first_correct.astype(bool), second_correct.astype(bool)
    return PairedCounts(first_only=int((first & ~second).sum()), second_only=int((second & ~first).sum()), samples=len(first))


def mcnemar(counts: PairedCounts) -> float:
    """Exact two-sided p-value that both classifiers are equally often right.

    Source: Q. McNemar, Psychometrika 12 (1947), with the binomial distribution of the discordant pairs.
    """
    pairs = counts.first_only + counts.second_only
    fewer = min(counts.first_only, counts.second_only)
    term, total = 1, 0
    for successes in range(fewer + 1):
        total += term
        term = term * (pairs - successes) // (successes + 1)
    return float(min(1.0, 2 * total / 2**pairs))


def drop_bounds(counts: PairedCounts, *, confidence: float = 0.95) -> Interval:
    """Lower and upper bound of the true drop in accuracy, each one-sided with the given confidence.

    The second classifier is not inferior by a margin when the upper bound is at most the margin. The bounds invert the
    score test of the paired difference, which stays right when few or no pairs differ.

    Source: T. Tango, Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design, Statistics in Medicine 17 (1998), equations 10 to 16.
    """
    _check_samples(counts.samples)
    z = _quantile(_checked(confidence))
    return _crossing(counts, z, low=-1.0, high=counts.drop), _crossing(counts, -z, low=counts.drop, high=1.0)


def tango_score(counts: PairedCounts, difference: float) -> float:
    """Score statistic of the hypothesis that the true drop is ``difference``; standard normal when it is."""
    n, b, c = counts.samples, counts.first_only, counts.second_only
    linear = (2 * n - b + c) * difference - b - c
    constant = -c * difference * (1 - difference)
    nuisance = max((sqrt(max(0.0, linear * linear - 8 * n * constant)) - linear) / (4 * n), 0.0, -difference)
    variance = n * (2 * nuisance + difference * (1 - difference))
    gap = b - c - n * difference
    if variance <= 0.0:
        return 0.0 if gap == 0.0 else float(np.copysign(np.inf, gap))
    return float(gap / sqrt(variance))


def bootstrap(
    values: Array,
    *,
    seed: int,
    statistic: Callable[[Array], Array] = lambda resampled: np.median(resampled, axis=1),
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Interval:
    """Percentile interval of a statistic, the median if none is given.

    Args:
        values: (N,), independent measurements.
        seed: of the resampling.
        statistic: (R, N) resampled values to R statistics.
        resamples: how many.
        confidence: of the interval, two-sided.

    Source: B. Efron, R. Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    _check_samples(len(values))
    tail = (1 - _checked(confidence)) / 2
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK // len(values))
    parts = [
        statistic(values[rng.integers(0, len(values), (min(rows, resamples - start), len(values)))])
        for start in range(0, resamples, rows)
    ]
    low, high = np.quantile(np.concatenate(parts), [tail, 1 - tail])
    return float(low), float(high)


def calibration_error(confidences: Array, correct: Array, *, bins: int = 15) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy over bins of equal width.

    Source: C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
    """
    _check_samples(len(confidences))
    places = np.clip((confidences * bins).astype(int), 0, bins - 1)
    gaps = np.bincount(places, confidences - correct.astype(np.float64), minlength=bins)
    return float(np.abs(gaps).sum() / len(confidences))


def _crossing(counts: PairedCounts, wanted: float, *, low: float, high: float) -> float:
    """Where the falling score passes ``wanted``, by bisection to the last bit that matters."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if tango_score(counts, middle) > wanted else (low, middle)
    return (low + high) / 2


def _quantile(probability: float) -> float:
    return NormalDist().inv_cdf(probability)


def _checked(confidence: float) -> float:
    if not 0.0 < confidence < 1.0:
        raise UserError(f"a confidence is between 0 and 1, not {confidence}")
    return confidence


def _check_samples(samples: int) -> None:
    if samples < 1:
        raise UserError("there are no samples to judge by")
