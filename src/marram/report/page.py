"""The record of a build as one HTML file: no script, no network, every plot inside, the same bytes for the same record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from marram.compress.telling import describe
from marram.core.recipe import Recipe
from marram.report.plots import (
    accuracy_bars,
    class_balance,
    confusion_matrix,
    latency_curves,
    layer_costs,
    layer_damage,
    pareto,
    training_curve,
)
from marram.report.record import BuildResult, TargetResult
from marram.report.searched import searched
from marram.report.wording import figure_text, limit_text

_TEMPLATE = Path(__file__).with_name("page.html")
_WORDS = {True: "kept", False: "broken", None: "not measured"}
_FIRMWARE_FIGURES = (
    "instructions",
    "instructions_per_mac",
    "latency_p90_us",
    "energy_uj",
    "ram_bytes",
    "flash_bytes",
    "stack_bytes",
    "arena_bytes",
)
_STATES = {True: "kept", False: "broken", None: "unknown"}


def page(result: BuildResult) -> str:
    """The report of a build, as the text of one HTML file."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        kib=lambda size: f"{size / 1024:.1f} KiB",
        percent=lambda share: "" if share is None else f"{100 * share:.2f} %",
        word=_WORDS.__getitem__,
        state=_STATES.__getitem__,
        figure=figure_text,
        limit=limit_text,
    )
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(**_context(result))


def _context(result: BuildResult) -> dict[str, Any]:
    first = result.targets[0]
    sections = [("promises", "Promises"), ("accuracy", "Accuracy"), ("quantisation", "Quantisation"), ("cost", "Cost")]
    found = searched(result)
    if found:
        sections.insert(1, ("search", "Search"))
    firmware = [_firmware(target) for target in result.targets if target.evidence.layers]
    if firmware:
        sections.append(("firmware", "Firmware"))
    sections += [("data", "Data"), ("model", "Model"), ("lineage", "Lineage")]
    return {
        "result": result,
        "banner": _banner(result),
        "sections": [section for section in sections if section[0] != "quantisation" or result.damage],
        "plots": _plots(result),
        "firmware": firmware,
        "searched": [row | {"panels": [_markup(svg) for svg in row["panels"]]} for row in found],
        "confusion_of": f"{first.name}: {first.runtime}, {first.precision}",
        "classes": _class_rows(first, result.labels),
        "recipe": "" if result.recipe is None else recipe_text(result.recipe),
        "trials": [{"title": recipe_text(row.recipe), "closeness_db": row.closeness_db} for row in result.trials],
        "data_rows": _data_rows(result),
        "model_line": _model_line(result),
        "drawing": _markup(result.model.drawing),
    }


def recipe_text(recipe: Recipe) -> str:
    """A recipe's decisions in a few words."""
    return ", then ".join(describe(decision) for decision in recipe.decisions)


def _banner(result: BuildResult) -> str:
    verdicts = [verdict for target in result.targets for verdict in target.verdicts]
    missed = sum(verdict.kept is not True for verdict in verdicts)
    if not verdicts:
        return "nothing was promised"
    return f"all {len(verdicts)} promises kept" if not missed else f"{missed} of {len(verdicts)} promises not kept"


def _markup(svg: str) -> Any:
    from markupsafe import Markup

    return Markup(svg)  # noqa: S704  # our own SVG, in which names were escaped when it was drawn


def _plots(result: BuildResult) -> dict[str, Any]:
    first = result.targets[0]
    drawn = {
        "accuracy": "",
        "pareto": "",
        "balance": "",
        "confusion": "",
        "damage": "",
        "latency": "",
        "training": "",
    }
    if rows := _accuracy_rows(result):
        drawn["accuracy"] = accuracy_bars(rows, promised=_promised(first, "accuracy_min"))
    if points := _pareto_points(result):
        drawn["pareto"] = pareto(points, x_label="size of the program, KiB")
    if result.labels:
        drawn["balance"] = class_balance(result.labels, [(part.name, part.per_class) for part in result.data.parts])
    if first.evidence.confusion is not None:
        drawn["confusion"] = confusion_matrix(np.array(first.evidence.confusion), result.labels)
    if result.damage:
        drawn["damage"] = _damage_plot(result)
    curves = [(attempt.title, attempt.calls_us) for attempt in first.attempts if attempt.calls_us]
    if curves:
        budget = _promised(first, "latency_ms")
        drawn["latency"] = latency_curves(curves, promised_us=None if budget is None else 1000 * budget)
    if result.model.history:
        drawn["training"] = training_curve(result.model.history)
    return {name: _markup(svg) for name, svg in drawn.items()}


def _firmware(target: TargetResult) -> dict[str, Any]:
    """What the page says of a target that runs generated C."""
    layers = target.evidence.layers
    return {
        "name": target.name,
        "device": target.device,
        "figures": [figure for figure in target.evidence.figures if figure.name in _FIRMWARE_FIGURES],
        "layers": layers,
        "instructions": sum(layer.instructions for layer in layers),
        "bars": _markup(layer_costs([layer.name for layer in layers], [layer.classes for layer in layers])),
        "plan": _markup(target.memory_plan),
        "notes": target.memory_notes,
    }


def _promised(target: TargetResult, promise: str) -> float | None:
    return next((verdict.limit for verdict in target.verdicts if verdict.promise == promise), None)


def _accuracy_rows(result: BuildResult) -> list[tuple[str, float, float, float]]:
    named = [("float model", result.baseline)] if result.baseline is not None else []
    named += [(f"{target.name}: {target.runtime} {target.precision}", target.evidence) for target in result.targets]
    rows = []
    for name, evidence in named:
        figure = evidence.figure("accuracy")
        if figure is not None and figure.value is not None and figure.low is not None and figure.high is not None:
            rows.append((name, figure.value, figure.low, figure.high))
    return rows


def _pareto_points(result: BuildResult) -> list[tuple[str, float, float, bool]]:
    several = len(result.targets) > 1
    return [
        (f"{target.name}: {row.title}" if several else row.title, row.size_bytes / 1024, row.accuracy, row.chosen)
        for target in result.targets
        for row in target.attempts
        if row.accuracy is not None
    ]


def _damage_plot(result: BuildResult) -> str:
    return layer_damage(
        [row.node for row in result.damage],
        [min(row.sqnr_db, 99.0) for row in result.damage],
        [row.accuracy for row in result.damage],
    )


def _class_rows(target: TargetResult, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    if target.evidence.confusion is None:
        return []
    matrix = np.array(target.evidence.confusion)
    true, predicted, right = matrix.sum(axis=1), matrix.sum(axis=0), matrix.diagonal()
    return [
        {
            "label": label,
            "count": int(true[index]),
            "recall": right[index] / true[index] if true[index] else None,
            "precision": right[index] / predicted[index] if predicted[index] else None,
        }
        for index, label in enumerate(labels)
    ]


def _data_rows(result: BuildResult) -> list[tuple[str, str]]:
    data = result.data
    rows = [
        ("samples", f"{data.samples}, each {' x '.join(map(str, data.sample_shape))} {data.sample_dtype}"),
        ("split", f"by {data.split_by}, seed {data.seed}"),
        ("parts", ", ".join(f"{part.name} {part.samples}" for part in data.parts)),
        ("held-out groups", ", ".join(data.held_out_groups) or "none"),
        ("smallest class by the largest", "" if data.balance is None else f"{data.balance:.2f}"),
        ("duplicates", f"{data.duplicates}, {data.conflicting} of them with another class"),
        ("left out of every part", str(data.left_out)),
        ("length", "" if data.duration_s is None else f"{data.duration_s / 60:.1f} minutes"),
        ("content digest", data.digest),
    ]
    return [row for row in rows if row[1]]


def _model_line(result: BuildResult) -> str:
    model = result.model
    if model.parameters is None:
        return f"{model.source}: a file with operators outside the Graph, carried as it came."
    return (
        f"{model.source}: {model.parameters:,} parameters, {model.macs:,} multiply-accumulates for one inference, "
        f"largest live tensor set {(model.peak_live_bytes or 0) / 1024:.1f} KiB as float32."
    )
