"""Plots as SVG text, by matplotlib without its global state. Values in, ``<svg>`` out; the same values give the same bytes.

Colours: one family for ours, grey for context, red only for what is broken. Text stays text, so that it can be searched.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from marram.core.graph import Array

INK, GREY, PALE = "#22313f", "#8a97a3", "#e7ecef"
SERIES = ("#1b7f79", "#e0a030", "#5b6fb5", "#b5573a")
MORE = ("#7fb8a4", "#8e6fa8", "#c9a98b", "#4a6d7c")
BROKEN = "#c0392b"


class Canvas:
    """A figure being drawn; ``svg`` is its text once the block that made it has ended."""

    def __init__(self, figure: Any) -> None:
        self.figure = figure
        self.axes = figure.add_subplot()
        self.svg = ""


@contextmanager
def canvas(name: str, *, width_in: float = 7.2, height_in: float = 3.2) -> Iterator[Canvas]:
    """A figure in the house's style. ``name`` keeps the ids of several figures on one page apart."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: Any = {
        "svg.hashsalt": name,
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 9.5,
        "axes.edgecolor": GREY,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": PALE,
        "axes.axisbelow": True,
        "legend.frameon": False,
    }
    with mpl.rc_context(style):
        drawn = Canvas(Figure(figsize=(width_in, height_in), layout="constrained"))
        yield drawn
        buffer = io.StringIO()
        drawn.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    drawn.svg = text[text.index("<svg") :]


def accuracy_bars(rows: Sequence[tuple[str, float, float, float]], *, promised: float | None) -> str:
    """Accuracy by program as points with their intervals. rows: (name, accuracy, low, high), shares."""
    with canvas("accuracy", height_in=0.9 + 0.42 * len(rows)) as drawn:
        axes = drawn.axes
        for place, (_, value, low, high) in enumerate(rows):
            axes.errorbar(
                100 * value,
                place,
                xerr=[[100 * (value - low)], [100 * (high - value)]],
                fmt="o",
                color=SERIES[0],
                capsize=4,
                markersize=7,
            )
            axes.annotate(f"{100 * value:.2f} %", (100 * value, place), xytext=(0, 8), textcoords="offset points", ha="center")
        if promised is not None:
            axes.axvline(100 * promised, color=BROKEN, linestyle="--", linewidth=1.2)
            axes.annotate(
                f"promised {100 * promised:.1f} %",
                (100 * promised, len(rows) - 0.45),
                xytext=(4, 0),
                textcoords="offset points",
                color=BROKEN,
            )
        axes.set_yticks(range(len(rows)), [row[0] for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.7)
        axes.set_xlabel("accuracy on the test part, %, with 95 % interval")
    return drawn.svg


def confusion_matrix(matrix: Array, labels: Sequence[str]) -> str:
    """Counts by true class (rows) and predicted class (columns), shaded by the row's share."""
    counts = np.asarray(matrix, dtype=np.int64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(9.0, 2.2 + 0.46 * len(labels))
    with canvas("confusion", width_in=side + 0.8, height_in=side) as drawn:
        axes = drawn.axes
        axes.grid(visible=False)
        axes.imshow(shares, cmap="GnBu", vmin=0.0, vmax=1.0, aspect="auto")
        for row, column in np.ndindex(*counts.shape):
            if counts[row, column]:
                colour = "white" if shares[row, column] > 0.6 else INK
                axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=8)
        axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
        axes.set_yticks(range(len(labels)), labels)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
    return drawn.svg


def class_balance(labels: Sequence[str], parts: Sequence[tuple[str, Sequence[int]]]) -> str:
    """Samples by class, stacked by part. parts: (name, count for each class)."""
    with canvas("balance", height_in=3.0) as drawn:
        bottom = np.zeros(len(labels))
        for (name, counts), colour in zip(parts, SERIES, strict=False):
            drawn.axes.bar(range(len(labels)), counts, bottom=bottom, label=name, color=colour, width=0.72)
            bottom = bottom + np.asarray(counts)
        many = len(labels) > 5
        drawn.axes.set_xticks(range(len(labels)), labels, rotation=30 if many else 0, ha="right" if many else "center")
        drawn.axes.set_ylabel("samples")
        drawn.axes.grid(visible=False, axis="x")
        drawn.figure.legend(loc="outside upper center", ncols=len(parts))
    return drawn.svg


def layer_damage(names: Sequence[str], sqnr_db: Sequence[float], accuracies: Sequence[float | None]) -> str:
    """Signal to quantisation noise of each layer, and the accuracy when only that layer is quantised (share)."""
    with canvas("damage", height_in=1.2 + 0.24 * len(names)) as drawn:
        places = np.arange(len(names))
        drawn.axes.barh(places, sqnr_db, color=SERIES[0], height=0.68)
        for place, (noise, accuracy) in enumerate(zip(sqnr_db, accuracies, strict=True)):
            text = f" {noise:.1f} dB" + ("" if accuracy is None else f", alone {100 * accuracy:.1f} % right")
            drawn.axes.text(max(noise, 0), place, text, va="center", fontsize=8)
        drawn.axes.set_yticks(places, names, fontsize=8)
        drawn.axes.invert_yaxis()
        drawn.axes.set_xlim(0, max([*sqnr_db, 1.0]) * 1.35)
        drawn.axes.set_xlabel("signal to quantisation noise, dB (more is better)")
        drawn.axes.grid(visible=False, axis="y")
    return drawn.svg


def layer_costs(names: Sequence[str], classes: Sequence[Mapping[str, int]]) -> str:
    """Instructions of each layer of generated C as one stacked bar. classes: instructions by kind, for each layer."""
    kinds = sorted({kind for row in classes for kind in row}, key=lambda kind: -sum(row.get(kind, 0) for row in classes))
    totals = [sum(row.values()) for row in classes]
    whole = max(sum(totals), 1)
    with canvas("layer-costs", height_in=1.5 + 0.24 * len(names)) as drawn:
        places = np.arange(len(names))
        left = np.zeros(len(names))
        for kind, colour in zip(kinds, (*SERIES, GREY, *MORE), strict=False):
            width = np.array([row.get(kind, 0) for row in classes], dtype=np.float64) / 1000
            drawn.axes.barh(places, width, left=left, color=colour, height=0.68, label=kind)
            left += width
        for place, total in enumerate(totals):
            drawn.axes.text(total / 1000, place, f" {100 * total / whole:.1f} %", va="center", fontsize=8)
        drawn.axes.set_yticks(places, names, fontsize=8)
        drawn.axes.invert_yaxis()
        drawn.axes.set_xlim(0, max([*totals, 1]) / 1000 * 1.15)
        drawn.axes.set_xlabel("thousands of instructions")
        drawn.axes.grid(visible=False, axis="y")
        drawn.figure.legend(loc="outside upper center", ncols=5)
    return drawn.svg


def latency_curves(curves: Sequence[tuple[str, Sequence[float]]], *, promised_us: float | None) -> str:
    """Share of calls that took at most so long. curves: (name, latencies in microseconds)."""
    with canvas("latency") as drawn:
        for (name, values), colour in zip(curves, SERIES * 4, strict=False):
            ordered = np.sort(np.asarray(values, dtype=np.float64))
            drawn.axes.step(ordered, np.linspace(0, 100, len(ordered)), where="post", label=name, color=colour, linewidth=1.6)
        if promised_us is not None:
            drawn.axes.axvline(promised_us, color=BROKEN, linestyle="--", linewidth=1.2, label="budget (90th percentile)")
        drawn.axes.axhline(90, color=GREY, linewidth=0.8, linestyle=":")
        drawn.axes.set_xscale("log")
        drawn.axes.set_xlabel("time of one call, µs, one thread, log scale")
        drawn.axes.set_ylabel("calls, %")
        drawn.figure.legend(loc="outside upper center", ncols=2)
    return drawn.svg


def pareto(points: Sequence[tuple[str, float, float, bool]], *, x_label: str) -> str:
    """Accuracy against a cost for all that was tried. points: (name, cost, accuracy share, chosen)."""
    with canvas("pareto", height_in=3.6) as drawn:
        axes = drawn.axes
        for place, (name, cost, value, chosen) in enumerate(points):
            axes.scatter([cost], [100 * value], s=70 if chosen else 34, color=SERIES[0] if chosen else GREY, zorder=3)
            axes.annotate(
                name,
                (cost, 100 * value),
                xytext=(6, 5 if place % 2 else -10),
                textcoords="offset points",
                fontsize=7.5,
                fontweight="bold" if chosen else "normal",
            )
        front = _front([(cost, value) for _, cost, value, _ in points])
        axes.plot([cost for cost, _ in front], [100 * value for _, value in front], color=SERIES[1], linewidth=1.2, zorder=2)
        axes.margins(x=0.18, y=0.2)
        axes.set_xlabel(x_label)
        axes.set_ylabel("accuracy, %")
    return drawn.svg


def training_curve(history: Sequence[tuple[float, float]]) -> str:
    """Loss on the training part and metric on the validation part, by epoch. history: (loss, metric)."""
    with canvas("training", height_in=2.8) as drawn:
        epochs = np.arange(1, len(history) + 1)
        drawn.axes.plot(epochs, [loss for loss, _ in history], color=GREY, label="training loss")
        drawn.axes.set_xlabel("epoch")
        drawn.axes.set_ylabel("training loss")
        right = drawn.axes.twinx()
        right.spines["right"].set_visible(True)
        right.grid(visible=False)
        right.plot(epochs, [100 * metric for _, metric in history], color=SERIES[0], label="validation accuracy")
        right.set_ylabel("validation accuracy, %")
        drawn.figure.legend(loc="outside upper center", ncols=2)
    return drawn.svg


def _front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other beats in both cost (less) and value (more), by rising cost."""
    best: list[tuple[float, float]] = []
    for cost, value in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or value > best[-1][1]:
            best.append((cost, value))
    return best
