from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from marram.report.search_plot import Dot, panel

SPACE = {"s": "http://www.w3.org/2000/svg"}
DOTS = (
    Dot(cost=1000, accuracy=0.6, words=("small",), kind="part"),
    Dot(cost=100_000, accuracy=0.9, words=("large", "instructions 100,000"), kind="chosen"),
    Dot(cost=30_000, accuracy=0.8, words=("middle",), kind="final"),
    Dot(cost=500_000, accuracy=None, words=("over ram_kib by 20 %",), kind="over"),
)


def circles(svg: str) -> dict[str, list[ET.Element]]:
    root = ET.fromstring(svg)
    return {
        dot.find("s:title", SPACE).text: dot.findall("s:circle", SPACE) for dot in root.findall(".//s:g[@class='dot']", SPACE)
    }


def test_every_model_answers_to_the_pointer() -> None:
    found = circles(panel("core", "instructions", DOTS, budget=200_000))
    assert set(found) == {"small", "large\ninstructions 100,000", "middle", "over ram_kib by 20 %"}
    assert len(found["large\ninstructions 100,000"]) == 2  # the ring around what was chosen
    assert found["over ram_kib by 20 %"] == []  # a cross: it was never estimated


def test_costlier_is_further_right_and_better_is_higher() -> None:
    found = circles(panel("core", "instructions", DOTS, budget=None))
    small, middle = found["small"][0], found["middle"][0]
    assert float(small.get("cx")) < float(middle.get("cx"))
    assert float(small.get("cy")) > float(middle.get("cy"))


def test_the_budget_stands_where_its_cost_is() -> None:
    svg = panel("core", "KiB", [Dot(cost=4.0, accuracy=0.5, words=("at it",), kind="part")], budget=4.0)
    line = re.search(r'<line x1="([\d.]+)" x2="[\d.]+" y1="[\d.]+" y2="[\d.]+" stroke="#c0392b"', svg)
    assert line is not None
    assert float(line.group(1)) == float(circles(svg)["at it"][0].get("cx"))
    assert "budget: 4" in svg


def test_words_cannot_break_out_and_equal_searches_give_equal_bytes() -> None:
    dots = [Dot(cost=1.0, accuracy=0.1, words=("</title><script>",), kind="part")]
    svg = panel("<b>", "x", dots, budget=None)
    assert "<script>" not in svg
    assert "<b>" not in svg
    assert svg == panel("<b>", "x", dots, budget=None)
