"""Intervals and tests against independent ways to the same numbers, and against what they promise: coverage."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marram.core.errors import UserError
from marram.measure.statistics import (
    PairedCounts,
    bootstrap,
    calibration_error,
    drop_bounds,
    mcnemar,
    paired_counts,
    tango_score,
    wilson,
)


@st.composite
def counts(draw, largest=400):
    samples = draw(st.integers(1, largest))
    first = draw(st.integers(0, samples))
    return PairedCounts(first_only=first, second_only=draw(st.integers(0, samples - first)), samples=samples)


@settings(derandomize=True)
@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_bounds_are_where_the_score_test_turns(case):
    successes, samples = case
    low, high = wilson(successes, samples)
    assert 0 <= low <= successes / samples <= high <= 1
    for bound in (low, high):
        if 0 < bound < 1:
            score = (successes / samples - bound) / (bound * (1 - bound) / samples) ** 0.5
            assert abs(score) == pytest.approx(1.959963985, rel=1e-6)


def test_wilson_known_value():
    """Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@settings(derandomize=True)
@given(counts())
def test_mcnemar_is_the_binomial_sum(case):
    pairs, fewer = case.first_only + case.second_only, min(case.first_only, case.second_only)
    exact = 2 * sum(comb(pairs, k) for k in range(fewer + 1)) / 2**pairs
    assert mcnemar(case) == pytest.approx(min(1.0, exact))


def test_mcnemar_of_many_pairs():
    assert mcnemar(PairedCounts(first_only=5200, second_only=4800, samples=20000)) == pytest.approx(6.6e-5, rel=0.05)


@settings(derandomize=True, max_examples=60)
@given(counts(largest=60), st.integers(-95, 95).map(lambda percent: percent / 100))
def test_the_score_uses_the_likeliest_probabilities_that_have_the_difference(case, difference):
    """Tango's closed form against a search over the one free probability."""
    n, b, c = case.samples, case.first_only, case.second_only
    second = np.linspace(max(0.0, -difference), (1 - difference) / 2, 200_001)[1:-1]
    first, rest = second + difference, 1 - 2 * second - difference
    likelihood = np.zeros_like(second)
    for times, probability in ((b, first), (c, second), (n - b - c, rest)):
        if times:
            likelihood += times * np.log(np.maximum(probability, 1e-300))
    best = second[np.argmax(likelihood)]
    variance = n * (2 * best + difference * (1 - difference))
    expected = (b - c - n * difference) / np.sqrt(variance)
    assert tango_score(case, difference) == pytest.approx(expected, rel=2e-2, abs=2e-2)


@settings(derandomize=True)
@given(counts())
def test_bounds_hold_the_drop_and_mirror(case):
    low, high = drop_bounds(case)
    assert -1 <= low <= case.drop + 1e-12
    assert case.drop - 1e-12 <= high <= 1
    mirrored = PairedCounts(first_only=case.second_only, second_only=case.first_only, samples=case.samples)
    assert drop_bounds(mirrored) == pytest.approx((-high, -low), abs=1e-9)
    assert drop_bounds(case, confidence=0.8)[1] <= high + 1e-12


def test_no_differing_pair_still_leaves_doubt():
    """With b = c = 0 the score equation solves to z^2 / (n + z^2)."""
    _, high = drop_bounds(PairedCounts(first_only=0, second_only=0, samples=1000))
    assert high == pytest.approx(1.644853627**2 / (1000 + 1.644853627**2), rel=1e-6)


def test_the_upper_bound_covers_the_true_drop_as_often_as_it_says():
    rng = np.random.default_rng(11)
    for samples, first, second in ((300, 0.02, 0.01), (1000, 0.03, 0.02), (150, 0.10, 0.05)):
        draws = rng.multinomial(samples, [first, second, 1 - first - second], size=2000)
        covered = [
            drop_bounds(PairedCounts(first_only=int(b), second_only=int(c), samples=samples))[1] >= first - second
            for b, c, _ in draws
        ]
        assert 0.93 <= np.mean(covered) <= 0.99


def test_paired_counts():
    first, second = np.array([1, 1, 0, 0, 1], bool), np.array([1, 0, 1, 0, 0], bool)
    found = paired_counts(first, second)
    assert (found.first_only, found.second_only, found.samples, found.drop) == (2, 1, 5, 0.2)
    with pytest.raises(UserError, match="cannot be paired"):
        paired_counts(first, second[1:])
    with pytest.raises(UserError, match="no samples"):
        paired_counts(first[:0], second[:0])


def test_bootstrap_covers_and_repeats():
    rng = np.random.default_rng(5)
    covered = 0
    for trial in range(200):
        low, high = bootstrap(rng.exponential(size=101), seed=trial, resamples=300)
        covered += low <= np.log(2) <= high
    assert 0.89 <= covered / 200 <= 0.99
    values = rng.normal(size=50)
    assert bootstrap(values, seed=1) == bootstrap(values, seed=1) != bootstrap(values, seed=2)


def test_bootstrap_of_another_statistic_and_in_parts(monkeypatch):
    values = np.arange(100.0)
    whole = bootstrap(values, seed=3, statistic=lambda rows: rows.mean(axis=1), resamples=500)
    monkeypatch.setattr("marram.measure.statistics._CHUNK", 1000)
    parts = bootstrap(values, seed=3, statistic=lambda rows: rows.mean(axis=1), resamples=500)
    assert whole == parts
    assert whole == pytest.approx((49.5 - 5.7, 49.5 + 5.7), abs=1.0)


def test_calibration_error():
    correct = np.array([True, True, True, False])
    assert calibration_error(np.full(4, 0.75), correct) == pytest.approx(0.0)
    assert calibration_error(np.full(4, 1.0), correct) == pytest.approx(0.25)
    assert calibration_error(np.array([0.95, 0.95, 0.1, 0.1]), correct) == pytest.approx((0.1 + 0.8) / 4)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95])
def test_confidence_is_a_share(confidence):
    with pytest.raises(UserError, match="confidence"):
        wilson(1, 2, confidence=confidence)
    with pytest.raises(UserError, match="confidence"):
        drop_bounds(PairedCounts(first_only=0, second_only=0, samples=1), confidence=confidence)


def test_nothing_is_known_of_nothing():
    for call in (
        lambda: wilson(0, 0),
        lambda: bootstrap(np.zeros(0), seed=0),
        lambda: calibration_error(np.zeros(0), np.zeros(0)),
    ):
        with pytest.raises(UserError, match="no samples"):
            call()
