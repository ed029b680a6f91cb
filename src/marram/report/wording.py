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
    text = f"{_number(factor * figure.value, unit)} {unit}".strip()
    if figure.low is not None and figure.high is not None:
        text += f" ({_number(factor * figure.low, unit)} to {_number(factor * figure.high, unit)})"
    return text


def limit_text(verdict: Verdict) -> str:
    """A promise's limit in the unit in which its contract states it, shares in per cent."""
    if verdict.unit == "share":
        unit = _share_unit(verdict.figure.name)
        return f"{_number(100 * verdict.limit, unit)} {unit}"
    return f"{_number(verdict.limit, verdict.unit)} {verdict.unit}".strip()


def _scale(figure: Figure) -> tuple[float, str]:
    factor, unit = _SCALES.get(figure.unit, (1.0, figure.unit))
    if unit == "%":
        unit = _share_unit(figure.name)
    if figure.unit == "B" and figure.value is not None and figure.value < 1024:
        return 1.0, "B"
    if unit == "KiB" and figure.value is not None and factor * figure.value > _MIB_FROM_KIB:
        return 1 / 2**20, "MiB"
    return factor, unit


def _share_unit(name: str) -> str:
    """A share is said in per cent, a difference of two shares in points."""
    return "pt" if name.endswith("_drop") else "%"


def _number(value: float, unit: str) -> str:
    """Two places for shares and what is ten or more, else four significant digits; no exponents in what people compare."""
    if unit in {"B", "instructions"}:
        return f"{value:,.0f}"
    return f"{value:.2f}" if unit in {"%", "pt"} or 10 <= abs(value) < 1e5 else f"{value:.4g}"
