"""Figures in words: units that a person reads, and the reason where there is no figure."""

from __future__ import annotations

import pytest

from marram.core.evidence import Figure, Verdict
from marram.report.wording import figure_text, limit_text


def figure(name: str, unit: str, value: float | None, low: float | None = None, high: float | None = None) -> Figure:
    return Figure(name=name, unit=unit, value=value, method="counted", low=low, high=high, reason="no meter")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (figure("accuracy", "share", 0.90605, 0.88, 0.92), "90.61 % (88.00 to 92.00)"),
        (figure("accuracy_drop", "share", -0.001), "-0.10 pt"),
        (figure("size_bytes", "B", 20512), "20.03 KiB"),
        (figure("size_bytes", "B", 64 << 20), "64.00 MiB"),
        (figure("latency_p50_us", "us", 3.14159), "3.142 µs"),
        (figure("energy_uj", "uJ", None), "not measured: no meter"),
    ],
)
def test_figures(given: Figure, text: str) -> None:
    assert figure_text(given) == text


@pytest.mark.parametrize(
    ("name", "unit", "limit", "text"), [("accuracy_drop", "share", 0.02, "2.00 pt"), ("size_bytes", "KiB", 64.0, "64.00 KiB")]
)
def test_limits_are_said_as_the_contract_states_them(name: str, unit: str, limit: float, text: str) -> None:
    verdict = Verdict(subject="t", promise="p", limit=limit, unit=unit, figure=figure(name, unit, 0.0), kept=True)
    assert limit_text(verdict) == text
