"""Figures and limits in the words and units that a person reads: shares in per cent, bytes in KiB or MiB."""

from __future__ import annotations

from marram.core.evidence import Figure, Verdict

_SCALES = {"share": (100.0, "%"), "B": (1 / 1024, "KiB"), "us": (1.0, "µs")}
_MIB_FROM_KIB = 4096


def figure_text(figure: Figure) -> str:
    """A figure with its unit and interval, or why there is none."""
    if figure.value is None:
        return f"not measured: {figure.reason}"
    factor, unit = _scale(figure)
    text = f"{_number(factor * figure.value)} {unit}".strip()
    if figure.low is not None and figure.high is not None:
        text += f" ({_number(factor * figure.low)} to {_number(factor * figure.high)})"
    return text


def limit_text(verdict: Verdict) -> str:
    """A promise's limit in the unit in which its contract states it, shares in per cent."""
    if verdict.unit == "share":
        return f"{_number(100 * verdict.limit)} %"
    return f"{_number(verdict.limit)} {verdict.unit}".strip()


def _scale(figure: Figure) -> tuple[float, str]:
    factor, unit = _SCALES.get(figure.unit, (1.0, figure.unit))
    if unit == "KiB" and figure.value is not None and factor * figure.value > _MIB_FROM_KIB:
        return 1 / 2**20, "MiB"
    return factor, unit


def _number(value: float) -> str:
    """Four significant digits, never in exponents for what a person compares."""
    return f"{value:.2f}" if 10 <= abs(value) < 1e5 else f"{value:.4g}"
