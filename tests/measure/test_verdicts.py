"""Verdicts: limits of a contract against figures, in the right unit and from the right end of the interval."""

from __future__ import annotations

import pytest

from marram.core.contract import PromiseSection, TargetSection
from marram.core.evidence import Evidence, Figure
from marram.measure.verdicts import budget_limits, judge, promise_limits


def figure(name, value, **more):
    return Figure(name=name, unit="?", value=value, method="test", **more)


def evidence(*figures):
    return Evidence(program_digest="p", data_digest="d", on="test", figures=figures)


@pytest.mark.parametrize(
    ("promises", "figures", "kept"),
    [
        ({"accuracy_min": 0.9}, [figure("accuracy", 0.9, low=0.8, high=0.95)], True),
        ({"accuracy_min": 0.9}, [figure("accuracy", 0.8999, high=0.95)], False),
        ({"accuracy_drop_max": 0.01}, [figure("accuracy_drop", 0.0, low=-0.009, high=0.0099)], True),
        ({"accuracy_drop_max": 0.01}, [figure("accuracy_drop", 0.0, low=-0.011, high=0.011)], False),
        ({"accuracy_drop_max": 0.01}, [figure("accuracy_drop", 0.0)], None),
        ({"worst_class_accuracy_min": 0.5}, [figure("worst_class_accuracy", 0.5)], True),
        ({"flip_rate_max": 0.1}, [figure("flip_rate", 0.11)], False),
        ({"flip_rate_max": 0.1}, [figure("flip_rate", None, reason="no baseline")], None),
        ({"flip_rate_max": 0.1}, [], None),
    ],
)
def test_promises(promises, figures, kept):
    (verdict,) = judge(promise_limits(PromiseSection(**promises)), evidence(*figures), subject="phone")
    assert verdict.kept is kept
    assert verdict.subject == "phone"
    assert verdict.promise in promises
    assert verdict.figure.reason or verdict.figure.value is not None


@pytest.mark.parametrize(
    ("budget", "name", "at_limit"),
    [
        ({"latency_ms": 2.0}, "latency_p90_us", 2000.0),
        ({"memory_mib": 3.0}, "peak_memory_bytes", 3 * 1048576),
        ({"size_kib": 100.0}, "size_bytes", 102400),
        ({"ram_kib": 1.0}, "ram_bytes", 1024),
        ({"flash_kib": 1.0}, "flash_bytes", 1024),
        ({"energy_uj": 600.0}, "energy_uj", 600.0),
    ],
)
def test_budgets(budget, name, at_limit):
    limits = budget_limits(TargetSection(device="host", **budget))
    for value, kept in ((at_limit, True), (at_limit * 1.001, False)):
        (verdict,) = judge(limits, evidence(figure(name, value)), subject="t")
        assert verdict.kept is kept
        assert [verdict.limit] == list(budget.values())


def test_what_was_not_promised_is_not_judged():
    assert promise_limits(PromiseSection()) == ()
    assert budget_limits(TargetSection(device="host")) == ()
