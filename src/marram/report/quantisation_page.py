"""The damage of a quantisation as one HTML file: no script, no network, the picture inside, equal bytes for equal records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from marram.compress.integers.layer_facts import LayerFacts
from marram.compress.integers.next_steps import SATURATED, Symptom
from marram.core.graph import Array
from marram.report.plots import BROKEN, GREY, INK, SERIES, canvas
from marram.report.quantisation_record import QuantisationReport

_TEMPLATE = Path(__file__).with_name("quantisation.html")
_MOST_DB = 99.0
_SMALLEST_SHARE = 1e-5


def quantisation_page(report: QuantisationReport) -> str:
    """The page of a report, as the text of one HTML file."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(percent=_percent, number=_number, symptom=symptom_line)
    picture = Markup(damage_picture(report.layers))  # noqa: S704  # our own SVG, in which names were escaped when it was drawn
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(report=report, picture=picture)


def symptom_line(symptom: Symptom) -> str:
    """The whole graph's damage in a line."""
    parts = [f"outputs within {symptom.closeness_db:.1f} dB of the float model's"]
    if symptom.flips is not None:
        parts.append(f"{_percent(symptom.flips)} of the answers flipped")
    if symptom.accuracy_before is not None and symptom.accuracy_after is not None:
        parts.append(f"accuracy {_percent(symptom.accuracy_before)} before, {_percent(symptom.accuracy_after)} after")
    return ", ".join(parts)


def damage_picture(layers: Sequence[LayerFacts]) -> str:
    """An SVG of four panels, a row for each layer.

    Signal to noise of its output and when it alone is integer; its share of the noise; the share of its values outside int8;
    its range beside what int8 reaches.
    """
    names = [one.node for one in layers]
    with canvas("quantisation", width_in=11.0, height_in=1.5 + 0.26 * len(names)) as drawn:
        drawn.figure.clear()
        axes = drawn.figure.subplots(1, 4, sharey=True)
        places = np.arange(len(names))
        _ratios(axes[0], places, layers)
        axes[1].barh(places, [100 * one.noise_share for one in layers], color=SERIES[1], height=0.68)
        axes[1].set_xlabel("share of the noise, %")
        _saturation(axes[2], places, layers)
        _ranges(axes[3], places, layers)
        axes[0].set_yticks(places, names, fontsize=8)
        axes[0].invert_yaxis()
        for panel in axes:
            panel.grid(visible=False, axis="y")
    return drawn.svg


def _ratios(panel: Any, places: Array, layers: Sequence[LayerFacts]) -> None:
    panel.barh(places, [min(max(one.damage.sqnr_db, 0.0), _MOST_DB) for one in layers], color=SERIES[0], height=0.68)
    panel.plot([min(one.alone_db, _MOST_DB) for one in layers], places, "o", color=INK, markersize=4)
    panel.set_xlabel("signal to noise, dB: of the output (bar),\nof the answers by it alone (dot)")


def _saturation(panel: Any, places: Array, layers: Sequence[LayerFacts]) -> None:
    shares = [max(one.damage.saturated, _SMALLEST_SHARE) for one in layers]
    colours = [BROKEN if one.damage.saturated > SATURATED else GREY for one in layers]
    panel.barh(places, [100 * share for share in shares], color=colours, height=0.68)
    panel.set_xscale("log")
    panel.set_xlim(100 * _SMALLEST_SHARE, 100)
    panel.set_xlabel("values outside int8, %, log scale")


def _ranges(panel: Any, places: Array, layers: Sequence[LayerFacts]) -> None:
    """What int8 reaches as the width of the panel's grey bar, the values seen upon it, as shares of the wider of both."""
    for place, one in zip(places, layers, strict=True):
        reach, own = 255 * one.damage.scale, one.damage.high - one.damage.low
        widest = max(reach, own, np.finfo(np.float64).tiny)
        panel.barh(place, 100 * reach / widest, color="#d5dbe0", height=0.68)
        panel.barh(place, 100 * own / widest, color=SERIES[2], height=0.3)
    panel.set_xlabel("range seen (thin) and\nreached by int8 (wide), %")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f} %"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
