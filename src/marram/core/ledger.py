"""The Ledger noun: a Recipe's decisions with how the model stood after each, so that each has its gain and its cost.

Figures are those that come out the same on every run; times are not among them. ``FIGURES`` names them all.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from marram.core.recipe import Decision, Recipe

Figures = dict[str, float | None]
"""Figures by name, as in ``FIGURES``; None where one could not be taken."""


class FigureKind(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A figure's unit, and whether more of it is better."""

    unit: str
    better: Literal["more", "less"]


FIGURES: dict[str, FigureKind] = {
    "accuracy_validation": FigureKind(unit="share", better="more"),
    "closeness_db": FigureKind(unit="dB", better="more"),
    "instructions": FigureKind(unit="instructions", better="less"),
    "ram_bytes": FigureKind(unit="B", better="less"),
    "flash_bytes": FigureKind(unit="B", better="less"),
    "macs": FigureKind(unit="MACs", better="less"),
    "weight_bytes": FigureKind(unit="B", better="less"),
}


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A decision and how the model stood after it."""

    decision: Decision
    figures: Figures


class Trial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recipe that was tried: its figures, and why it was not taken; ``reason`` is empty for the one that was.

    ``title`` says what was tried beside the recipe, such as another architecture; empty for the recipe alone.
    """

    recipe: Recipe
    figures: Figures
    reason: str = ""
    title: str = ""


class Ledger(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What each decision of a Recipe did to one model on one target.

    ``base`` is the digest of the float Graph that the decisions began with, ``material`` that of the samples they used.
    ``start`` holds the figures before the first decision; ``priced_for`` names the target whose prices are in the figures,
    None where there were none. ``trials`` is everything that was tried, in order.
    """

    base: str
    material: str
    priced_for: str | None
    start: Figures
    entries: tuple[Entry, ...]
    trials: tuple[Trial, ...] = ()

    @property
    def recipe(self) -> Recipe:
        """The decisions alone."""
        return Recipe(decisions=tuple(entry.decision for entry in self.entries))


def changes(ledger: Ledger) -> tuple[Figures, ...]:
    """What each decision changed, in order: each figure less what it was before; None where one of the two is not known."""
    before, found = ledger.start, []
    for entry in ledger.entries:
        found.append({name: _difference(before.get(name), after) for name, after in entry.figures.items()})
        before = entry.figures
    return tuple(found)


def gains(change: Figures) -> dict[str, float]:
    """The figures that became better, by how much they changed."""
    return {name: value for name, value in change.items() if value and (value > 0) == (FIGURES[name].better == "more")}


def costs(change: Figures) -> dict[str, float]:
    """The figures that became worse, by how much they changed."""
    return {name: value for name, value in change.items() if value and (value > 0) != (FIGURES[name].better == "more")}


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before
