"""How long one inference takes: several sessions measured in one run, interleaved, in shuffled order, after a warm-up.

Interleaving gives every session the same share of whatever else the machine does, so their comparison survives noise that
would spoil each figure alone.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter_ns

import msgspec
import numpy as np

from marram.core.errors import UserError
from marram.core.evidence import Figure
from marram.core.graph import Array
from marram.core.ports import Progress, Session
from marram.measure.statistics import bootstrap

_MINIMUM_CALLS = 30
_METHOD = "single calls on one thread, perf_counter_ns around them, warmed, interleaved in shuffled order"


class Subject(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A loaded session and what it is called with, one entry of ``inputs`` after the other, again and again."""

    session: Session
    inputs: tuple[tuple[Array, ...], ...]


class Latency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Single calls in nanoseconds, in the order in which they were made: int64 (calls,)."""

    calls_ns: Array

    def quantile_us(self, share: float) -> float:
        """The time within which that share of the calls was done."""
        return float(np.quantile(self.calls_ns, share)) / 1000


def time_calls(
    subjects: Sequence[Subject],
    *,
    seed: int,
    calls: int = 1000,
    warm_up: int = 50,
    time_limit_s: float = 20.0,
    clock_ns: Callable[[], int] = perf_counter_ns,
    progress: Progress = lambda _what, _part: None,
) -> tuple[Latency, ...]:
    """The calls of each subject, equally many of each.

    Args:
        subjects: what to measure, all against each other.
        seed: of the order within each round.
        calls: how many of each subject.
        warm_up: rounds that are run before and not counted.
        time_limit_s: measuring ends earlier after this time, though never before 30 calls of each.
        clock_ns: tells the time in nanoseconds.
        progress: told the part done.

    Raises:
        UserError: nothing to measure.
    """
    if not subjects or calls < 1 or not all(subject.inputs for subject in subjects):
        raise UserError("there is nothing to measure: it takes a session, inputs and at least one call")
    rng = np.random.default_rng(seed)
    taken = np.zeros((len(subjects), calls), np.int64)
    done = 0  # used after the loop, which may end early
    with _no_collection():
        _rounds(subjects, warm_up)
        start = clock_ns()
        for done in range(1, calls + 1):
            _timed_round(subjects, rng.permutation(len(subjects)), done - 1, taken, clock_ns)
            elapsed = (clock_ns() - start) / 1e9
            if done % 64 == 0:
                progress("latency", max(done / calls, min(1.0, elapsed / time_limit_s)))
            if elapsed > time_limit_s and done >= _MINIMUM_CALLS:
                break
    progress("latency", 1.0)
    return tuple(Latency(calls_ns=row[:done].copy()) for row in taken)


def latency_figures(latency: Latency, *, seed: int, confidence: float = 0.95) -> tuple[Figure, ...]:
    """``latency_p50_us`` with a bootstrap interval, ``latency_p90_us``, ``latency_p99_us`` and ``latency_min_us``."""
    low, high = bootstrap(latency.calls_ns / 1000, seed=seed, confidence=confidence)
    p50, p90, p99 = (_figure(f"latency_p{share}_us", latency.quantile_us(share / 100), latency) for share in (50, 90, 99))
    return (
        msgspec.structs.replace(p50, low=low, high=high, confidence=confidence, method=f"{_METHOD}; bootstrap interval"),
        p90,
        p99,
        _figure("latency_min_us", latency.quantile_us(0.0), latency),
    )


def fastest(latencies: Sequence[Latency], *, seed: int, margin: float = 0.10) -> int:
    """Index of the one to take, in order of preference: a later one must be clearly faster than the one held so far.

    Clearly means a median at least ``margin`` lower, with 95 % bootstrap intervals that do not meet. So noise does not change
    the choice between equals.

    Raises:
        UserError: there is none to take.
    """
    if not latencies:
        raise UserError("there is no latency to choose by")
    spans = [bootstrap(latency.calls_ns / 1000, seed=seed) for latency in latencies]
    held = 0
    for index in range(1, len(latencies)):
        faster = latencies[index].quantile_us(0.5) <= (1 - margin) * latencies[held].quantile_us(0.5)
        if faster and spans[index][1] < spans[held][0]:
            held = index
    return held


def _rounds(subjects: Sequence[Subject], count: int) -> None:
    for index in range(count):
        for subject in subjects:
            subject.session.run(subject.inputs[index % len(subject.inputs)])


def _timed_round(subjects: Sequence[Subject], order: Array, index: int, taken: Array, clock_ns: Callable[[], int]) -> None:
    """One call of each subject, its time written to ``taken[subject, index]``."""
    for place in order.tolist():
        subject = subjects[place]
        run, inputs = subject.session.run, subject.inputs[index % len(subject.inputs)]
        before = clock_ns()
        run(inputs)
        taken[place, index] = clock_ns() - before


def _figure(name: str, value_us: float, latency: Latency) -> Figure:
    return Figure(name=name, unit="us", value=value_us, samples=len(latency.calls_ns), deterministic=False, method=_METHOD)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector from running inside somebody's call."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
