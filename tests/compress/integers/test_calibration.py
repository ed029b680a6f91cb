"""Calibration: laws of the histogram, and each method on distributions whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from marram.compress import calibrate
from marram.compress.integers.calibration import (
    Range,
    _updated,
    entropy_range,
    mse_range,
    percentile_range,
    ranges,
    squared_error,
    statistics,
)
from marram.core import operators as ops
from marram.core.errors import DataError

FLOATS = hnp.arrays(np.float32, st.integers(1, 50), elements=st.floats(-1e6, 1e6, width=32))


def seen(values, before=None):
    return _updated("t", before, np.asarray(values, np.float32))


@settings(derandomize=True, deadline=None)
@given(st.lists(FLOATS, min_size=1, max_size=5))
def test_the_histogram_counts_every_value_once_in_any_order(parts):
    forward = backward = None
    for part in parts:
        forward = seen(part, forward)
    for part in reversed(parts):
        backward = seen(part, backward)
    whole = np.concatenate(parts)
    assert forward.counts.sum() == whole.size
    assert (forward.low, forward.high) == (whole.min(), whole.max())
    assert forward.counts.size <= 4098
    assert (forward.first, forward.width) == (backward.first, backward.width)
    assert np.array_equal(forward.counts, backward.counts)
    edges = (forward.first + np.arange(forward.counts.size + 1)) * forward.width
    assert np.array_equal(forward.counts, np.histogram(whole.astype(np.float64), edges)[0]) or whole.max() == edges[-1]


def test_zeros_then_large_values():
    both = seen([1e30, -5], seen(np.zeros(10)))
    assert both.counts.sum() == 12
    assert (both.low, both.high) == (-5, np.float32(1e30))


def test_percentile_agrees_with_numpy():
    values = np.random.default_rng(0).normal(size=200_000)
    found = percentile_range(seen(values), 99.0)
    low, high = np.percentile(values, [0.5, 99.5])
    assert found.low == pytest.approx(low, abs=0.01)
    assert found.high == pytest.approx(high, abs=0.01)


def test_percentile_of_everything_is_min_max():
    one = seen([-3, 0, 5])
    assert percentile_range(one, 100) == Range(low=-3, high=5)


def test_mse_clips_an_outlier_and_only_then():
    random = np.random.default_rng(0)
    normal = random.normal(size=2_000_000)
    assert mse_range(seen(np.append(normal, 40.0))).high < 10  # 0.0006 lost to clipping, 0.0024 to coarse steps
    assert mse_range(seen(np.append(normal[:50_000], 40.0))).high > 30  # clipping one in 50,000 would cost 0.02
    uniform = seen(random.uniform(-1, 1, size=100_000))
    assert mse_range(uniform).high > 0.97


def test_mse_is_never_worse_than_min_max():
    random = np.random.default_rng(0)
    for values in (random.normal(size=5000), random.laplace(size=5000), np.abs(random.standard_cauchy(size=5000))):
        one = seen(values)
        found = mse_range(one)
        assert squared_error(one, found.low, found.high) <= squared_error(one, one.low, one.high)


def test_the_estimated_error_is_the_measured_one():
    values = np.random.default_rng(0).normal(size=50_000)
    estimate = squared_error(seen(values), -2.0, 2.0)
    scale = 4 / 255
    rounded = np.clip(np.round(values / scale), -128, 127) * scale
    assert estimate == pytest.approx(((values - rounded) ** 2).mean(), rel=0.02)


def test_entropy_clips_a_long_tail():
    values = np.append(np.random.default_rng(0).laplace(size=200_000), [60.0])
    found = entropy_range(seen(values))
    assert 3 < found.high < 40


def test_ranges_of_a_graph_cover_what_was_seen(sketch, samples_of):
    y = sketch(ops.Relu(), sketch(ops.Dense(), sketch.input(1, 4), sketch.normal(3, 4), ""))
    graph = sketch.graph(y)
    samples = samples_of(graph, 100)["x0"]
    found = calibrate(graph, samples)
    assert set(found) == {"x0", "t0_0", "t1_0"}
    assert found["x0"] == Range(low=float(samples.min()), high=float(samples.max()))
    assert found[y].low == 0
    batched = calibrate(graph, [samples[:30], [samples[30:80]], {"x0": samples[80:]}])
    assert batched["x0"] == found["x0"]
    assert batched[y].high == pytest.approx(found[y].high, rel=1e-6)


@pytest.mark.parametrize("method", ["percentile", "mse", "entropy"])
def test_methods_stay_inside_the_extremes(sketch, samples_of, method):
    graph = sketch.graph(sketch(ops.Tanh(), sketch.input(1, 4)))
    found = statistics(graph, samples_of(graph, 500)["x0"])
    for name, one in ranges(found, method=method).items():
        assert found[name].low <= one.low < one.high <= found[name].high


def test_scores_keep_their_extremes(sketch, samples_of):
    hidden = sketch(ops.LeakyRelu(alpha=0.1), sketch.input(1, 4))
    logits = sketch(ops.Dense(), hidden, sketch.normal(3, 4), "")
    graph = sketch.graph(sketch(ops.Softmax(), logits))
    samples = samples_of(graph, 2000)["x0"]
    whole, clipped = calibrate(graph, samples), calibrate(graph, samples, method="percentile", percentile=90)
    assert clipped[logits] == whole[logits]
    assert clipped[hidden].high < 0.8 * whole[hidden].high


def test_nan_in_a_sample_is_refused(sketch):
    graph = sketch.graph(sketch(ops.Tanh(), sketch.input(1, 4)))
    with pytest.raises(DataError, match="x0"):
        calibrate(graph, np.full((2, 4), np.nan, np.float32))


def test_an_activation_that_overflows_is_named(sketch):
    y = sketch(ops.Mul(), sketch.input(1, 4), np.float32([1e30]))
    graph = sketch.graph(sketch(ops.Tanh(), y))
    with pytest.raises(DataError, match=y), np.errstate(over="ignore"):
        calibrate(graph, np.full((2, 4), 1e30, np.float32))


def test_no_samples_and_wrong_percentiles_are_refused(sketch):
    graph = sketch.graph(sketch(ops.Tanh(), sketch.input(1, 4)))
    with pytest.raises(DataError, match="no calibration samples"):
        calibrate(graph, np.zeros((0, 4), np.float32))
    with pytest.raises(DataError, match="percentile"):
        calibrate(graph, np.zeros((1, 4), np.float32), method="percentile", percentile=10)
    with pytest.raises(DataError, match="2 arrays"):
        calibrate(graph, [[np.zeros((1, 4), np.float32)] * 2])
