"""What a search looked at, as SVG that answers to the pointer without any script: hover a point to read its recipe and figures.

One panel for each budget whose cost was foretold: cost across (logarithmic), estimated accuracy up, the budget as a line. Grey
points were estimated, red crosses were over a budget and were not, coloured points were finished, the ring is what was chosen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Literal

import msgspec

_WIDE, _HIGH, _LEFT, _RIGHT, _TOP, _FOOT = 620.0, 300.0, 56.0, 18.0, 30.0, 44.0
_GREY, _FINAL, _BROKEN, _INK, _PALE = "#8a97a3", "#1b7f79", "#c0392b", "#22313f", "#e7ecef"


class Dot(msgspec.Struct, frozen=True, kw_only=True):
    """One model: its cost, its accuracy (None where it was ruled out before), what the pointer tells, how it is drawn."""

    cost: float
    accuracy: float | None
    words: tuple[str, ...]
    kind: Literal["part", "over", "final", "chosen"]


def panel(title: str, label: str, dots: Sequence[Dot], *, budget: float | None) -> str:
    """One panel as an ``<svg>``.

    Args:
        title: above it.
        label: of the axis of costs, with its unit.
        dots: at least one with a cost above 0.
        budget: where the line stands, in the axis's unit; None draws none.
    """
    shown = [dot for dot in dots if dot.cost > 0]
    across = _Axis.over([dot.cost for dot in shown] + ([budget] if budget else []))
    accuracies = [dot.accuracy for dot in shown if dot.accuracy is not None]
    low, high = (min(accuracies), max(accuracies)) if accuracies else (0.0, 1.0)
    low, high = max(0.0, low - 0.02), min(1.0, high + 0.02)
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE:.0f} {_HIGH:.0f}" width="{_WIDE:.0f}" role="img" '
        f'font-family="system-ui, Segoe UI, DejaVu Sans, sans-serif" font-size="11" fill="{_INK}">'
    )
    parts = [
        opening,
        f"<title>{escape(title)}</title>",
        f'<text x="{_LEFT:.0f}" y="16" font-weight="600">{escape(title)}</text>',
        *_grid(across, low, high, label),
    ]
    if budget:
        x = across.at(budget)
        parts.append(
            f'<g><title>budget: {_short(budget)}</title><line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HIGH - _FOOT}" '
            f'stroke="{_BROKEN}" stroke-dasharray="5 3" stroke-width="1.5"/><text x="{x - 4:.1f}" y="{_TOP + 10}" '
            f'text-anchor="end" fill="{_BROKEN}">budget</text></g>'
        )
    order = {"over": 0, "part": 1, "final": 2, "chosen": 3}
    parts += [_dot(dot, across, low, high) for dot in sorted(shown, key=lambda dot: order[dot.kind])]
    return "\n".join([*parts, "</svg>"])


class _Axis(msgspec.Struct, frozen=True):
    """A logarithmic axis."""

    low: float
    high: float

    @staticmethod
    def over(values: Sequence[float]) -> _Axis:
        low, high = math.log10(min(values)), math.log10(max(values))
        margin = 0.04 if high > low else 0.5
        return _Axis(low - margin, high + margin)

    def at(self, value: float) -> float:
        return _LEFT + (math.log10(value) - self.low) / (self.high - self.low) * (_WIDE - _LEFT - _RIGHT)

    def ticks(self) -> list[float]:
        steps = (1, 2, 5) if self.high - self.low > 0.8 else (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
        powers = range(math.floor(self.low), math.ceil(self.high) + 1)
        return [step * 10.0**power for power in powers for step in steps if self.low <= math.log10(step) + power <= self.high]


def _grid(across: _Axis, low: float, high: float, label: str) -> list[str]:
    found = []
    bottom = _HIGH - _FOOT
    for value in across.ticks():
        x = across.at(value)
        found.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}" stroke="{_PALE}"/>')
        found.append(f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{_short(value)}</text>')
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if (high - low) / step <= 7)
    place = math.ceil(low / step) * step
    while place <= high + 1e-9:
        y = _up(place, low, high)
        found.append(f'<line x1="{_LEFT}" x2="{_WIDE - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{_PALE}"/>')
        found.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{100 * place:.0f} %</text>')
        place += step
    middle = (_LEFT + _WIDE - _RIGHT) / 2
    found.append(f'<text x="{middle:.0f}" y="{_HIGH - 8}" text-anchor="middle" fill="{_GREY}">{escape(label)}</text>')
    return found


def _up(accuracy: float, low: float, high: float) -> float:
    return _HIGH - _FOOT - (accuracy - low) / max(high - low, 1e-9) * (_HIGH - _FOOT - _TOP)


def _dot(dot: Dot, across: _Axis, low: float, high: float) -> str:
    x = across.at(dot.cost)
    words = f"<title>{escape(chr(10).join(dot.words))}</title>"
    if dot.accuracy is None:
        y = _HIGH - _FOOT - 6
        mark = f'<path d="M{x - 3:.1f} {y - 3:.1f}l6 6m0 -6l-6 6" stroke="{_BROKEN}" stroke-width="1.2" opacity="0.5"/>'
        return f'<g class="dot">{words}{mark}</g>'
    y = _up(min(max(dot.accuracy, low), high), low, high)
    radius, fill = {"part": (3.0, _GREY), "over": (3.0, _BROKEN)}.get(dot.kind, (5.0, _FINAL))
    ring = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9" fill="none" stroke="{_FINAL}" stroke-width="2"/>'
    ring = ring if dot.kind == "chosen" else ""
    opacity = "0.55" if dot.kind in {"part", "over"} else "1"
    return f'<g class="dot">{words}{ring}<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{fill}" opacity="{opacity}"/></g>'


def _short(value: float) -> str:
    for size, sign in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {sign}"
    return f"{value:.3g}"
