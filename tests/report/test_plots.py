"""Plots: the same values give the same bytes, names are escaped, and what is drawn is what was given."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np

from marram.report import plots


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_plots_are_reproducible() -> None:
    rows = [("float model", 0.9, 0.88, 0.92), ("int8", 0.89, 0.87, 0.91)]
    assert plots.accuracy_bars(rows, promised=0.8) == plots.accuracy_bars(rows, promised=0.8)


def test_accuracies_are_written_beside_their_points() -> None:
    said = texts(plots.accuracy_bars([("int8", 0.8912, 0.87, 0.91)], promised=0.85))
    assert "89.12 %" in said
    assert "promised 85.0 %" in said


def test_the_confusion_matrix_shows_every_count() -> None:
    matrix = np.array([[50, 3], [7, 40]])
    said = texts(plots.confusion_matrix(matrix, ["cat", "dog"]))
    assert {"50", "3", "7", "40", "cat", "dog"} <= set(said)


def test_names_cannot_break_out_of_the_drawing() -> None:
    svg = plots.class_balance(["<script>alert(1)</script>", "b"], [("training", [1, 2])])
    assert "<script>" not in svg
    assert "<script>alert(1)</script>" in texts(svg)


def test_ids_of_two_plots_differ() -> None:
    one = plots.training_curve([(1.0, 0.5), (0.5, 0.7)])
    other = plots.latency_curves([("a", [1.0, 2.0, 3.0])], promised_us=2.0)
    clips = [set(re.findall(r'clipPath id="([^"]+)"', svg)) for svg in (one, other)]
    assert clips[0]
    assert not clips[0] & clips[1]


def test_the_pareto_front_leaves_out_what_is_beaten() -> None:
    assert plots._front([(2.0, 0.8), (1.0, 0.7), (3.0, 0.75), (2.5, 0.9)]) == [(1.0, 0.7), (2.0, 0.8), (2.5, 0.9)]
