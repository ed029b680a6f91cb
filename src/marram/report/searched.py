"""What the page says of a search: its panels, its models, and why what was ruled out was ruled out."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

from marram.compress.telling import describe
from marram.core.recipe import Decision, Recipe
from marram.report.record import BuildResult, FinalModel, SearchedPart, SearchRecord, TargetResult
from marram.report.search_plot import Dot, panel

_LABELS = {
    "instructions": ("instructions of one inference", 1.0),
    "macs": ("multiply-accumulates of one inference", 1.0),
    "ram_bytes": ("RAM, KiB", 1024.0),
    "flash_bytes": ("flash, KiB", 1024.0),
    "latency_p90_us": ("latency, ms (estimate)", 1000.0),
    "energy_uj": ("energy, uJ (estimate)", 1.0),
}


def searched(result: BuildResult) -> list[dict[str, Any]]:
    """By target what was searched: ``panels`` as SVG, ``models``, ``ruled_out`` as (why, how many), ``verdict``."""
    record = result.search
    return [] if record is None else [_of_target(record, target) for target in result.targets]


def _of_target(record: SearchRecord, target: TargetResult) -> dict[str, Any]:
    parts = [part for part in record.parts if part.target == target.name]
    verdict = record.verdicts.get(target.name)
    return {
        "name": target.name,
        "count": len(parts),
        "estimated": sum(part.error is not None for part in parts),
        "panels": [_panel(record, target, parts, figure) for figure in _figures(record, target, parts)],
        "models": [_row(model, target.name) for model in record.models if target.name in model.fates],
        "ruled_out": Counter(key for part in parts for key in part.excess).most_common(),
        "verdict": None if verdict is None else verdict.why,
        "proven": verdict is not None and verdict.kind == "proven",
    }


def _figures(record: SearchRecord, target: TargetResult, parts: list[SearchedPart]) -> list[str]:
    """The main cost, then the costs that have a budget."""
    known = {name for part in parts for name in part.prices}
    budgets = [verdict.figure.name for verdict in target.verdicts]
    return [name for name in dict.fromkeys((record.costs[target.name], *budgets)) if name in known and name in _LABELS]


def _panel(record: SearchRecord, target: TargetResult, parts: list[SearchedPart], figure: str) -> str:
    label, unit = _LABELS[figure]
    # a budget's unit is that of the axis: ms, KiB, uJ
    budget = next((verdict.limit for verdict in target.verdicts if verdict.figure.name == figure), None)
    dots = [_dot(record, part, figure, unit) for part in parts if figure in part.prices]
    return panel(f"{target.name}: accuracy and {label.split(',')[0]}", label, dots, budget=budget)


def _dot(record: SearchRecord, part: SearchedPart, figure: str, unit: float) -> Dot:
    model = None if part.finalist is None else record.models[part.finalist]
    accuracy = None if part.error is None else 1 - part.error
    words = [text_of(part.decisions) or "the whole net"]
    if model is not None:
        accuracy = 1 - model.integer_error
        words.insert(0, f"{model.title}: {model.fates.get(part.target, 'not finished for this target')}")
    words += [f"{name} {value:,.0f}" for name, value in sorted(part.prices.items())]
    if accuracy is not None:
        words.append(
            f"accuracy on validation samples {100 * accuracy:.1f} % ({'estimated' if model is None else 'finished, int8'})"
        )
    words += [f"over {key} by {100 * share:.1f} %" for key, share in sorted(part.excess.items())]
    kind = _kind(part, model)
    return Dot(cost=part.prices[figure] / unit, accuracy=accuracy, words=tuple(words), kind=kind)


def _kind(part: SearchedPart, model: FinalModel | None) -> Literal["part", "over", "final", "chosen"]:
    if model is not None and part.target in model.fates:
        return "chosen" if model.fates[part.target] == "chosen" else "final"
    return "over" if part.excess else "part"


def text_of(decisions: tuple[Decision, ...]) -> str:
    """Decisions in a few words, one after the other."""
    return ", then ".join(describe(decision) for decision in decisions)


def _row(model: FinalModel, target: str) -> dict[str, Any]:
    return {
        "title": model.title,
        "exact": 1 - model.exact_error,
        "integer": 1 - model.integer_error,
        "fate": model.fates[target],
        "recipe": recipe_lines(model.recipe),
    }


def recipe_lines(recipe: Recipe) -> list[str]:
    """A recipe, one decision a line."""
    return [describe(decision) for decision in recipe.decisions]
