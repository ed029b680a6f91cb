"""Latency on a clock that the test turns."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from marram.core.errors import UserError
from marram.measure.latency import Latency, Subject, fastest, latency_figures, time_calls


class Clock:
    now = 0

    def __call__(self):
        return self.now


class Session:
    """A session that takes a given time on that clock."""

    def __init__(self, clock, cost_ns, log=None):
        self.clock, self.cost_ns, self.log = clock, cost_ns, [] if log is None else log

    def run(self, inputs):
        self.clock.now += self.cost_ns
        self.log.append((self.cost_ns, inputs))
        assert not gc.isenabled()
        return inputs

    def close(self):
        pass


def subjects(clock, *costs, log=None):
    inputs = ((np.zeros(1),), (np.ones(1),))
    return [Subject(session=Session(clock, cost, log), inputs=inputs) for cost in costs]


def test_each_call_is_measured_alone_warmed_and_interleaved():
    clock, log = Clock(), []
    first, second = time_calls(subjects(clock, 1000, 3000, log=log), seed=1, calls=200, warm_up=5, clock_ns=clock)
    assert set(first.calls_ns) == {1000}
    assert set(second.calls_ns) == {3000}
    order = [cost for cost, _ in log[10:]]
    pairs = [tuple(order[i : i + 2]) for i in range(0, 400, 2)]
    assert set(pairs) == {(1000, 3000), (3000, 1000)}
    assert 60 < pairs.count((1000, 3000)) < 140
    assert {float(inputs[0][0]) for _, inputs in log} == {0.0, 1.0}


def test_the_order_is_the_seed_s():
    def order(seed):
        clock, log = Clock(), []
        time_calls(subjects(clock, 1, 2, 3, log=log), seed=seed, calls=30, warm_up=0, clock_ns=clock)
        return [cost for cost, _ in log]

    assert order(1) == order(1) != order(2)


def test_a_slow_model_ends_early_but_not_before_thirty_calls():
    clock = Clock()
    (slow,) = time_calls(subjects(clock, 2_000_000_000), seed=0, calls=1000, time_limit_s=10, clock_ns=clock)
    assert len(slow.calls_ns) == 30
    (quick,) = time_calls(subjects(clock, 100_000_000), seed=0, calls=1000, time_limit_s=10, clock_ns=clock)
    assert len(quick.calls_ns) == 101


def test_the_collector_is_put_back():
    gc.enable()
    clock = Clock()
    time_calls(subjects(clock, 1), seed=0, calls=1, clock_ns=clock)
    assert gc.isenabled()


def test_nothing_to_measure():
    with pytest.raises(UserError, match="nothing to measure"):
        time_calls([], seed=0)
    with pytest.raises(UserError, match="nothing to measure"):
        time_calls([Subject(session=Session(Clock(), 1), inputs=())], seed=0)
    with pytest.raises(UserError, match="no latency"):
        fastest([], seed=0)


def test_figures_are_quantiles_and_say_that_they_vary():
    calls = np.arange(1, 1002) * 1000
    figures = {figure.name: figure for figure in latency_figures(Latency(calls_ns=calls), seed=0)}
    assert [figures[f"latency_{name}_us"].value for name in ("p50", "p90", "p99", "min")] == [501.0, 901.0, 991.0, 1.0]
    assert figures["latency_p50_us"].low < 501 < figures["latency_p50_us"].high
    assert not any(figure.deterministic for figure in figures.values())


def noisy(median_us, spread, seed, calls=500):
    return Latency(calls_ns=(np.random.default_rng(seed).normal(median_us, spread, calls) * 1000).astype(np.int64))


def test_the_preferred_stays_unless_another_is_clearly_faster():
    assert fastest([noisy(100, 3, 1), noisy(95, 3, 2)], seed=0) == 0  # faster, though by less than a tenth
    assert fastest([noisy(100, 3, 1), noisy(80, 3, 2)], seed=0) == 1
    assert fastest([noisy(100, 300, 1, calls=30), noisy(80, 300, 2, calls=30)], seed=0) == 0  # intervals that meet
    assert fastest([noisy(100, 3, 1), noisy(80, 3, 2), noisy(78, 3, 3)], seed=0) == 1
    assert fastest([noisy(80, 3, 1), noisy(100, 3, 2)], seed=0) == 0
