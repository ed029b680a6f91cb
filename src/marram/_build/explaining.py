"""``marram explain``: the decisions of a bundle, what each gained and cost, what was tried against it, and what binds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec

from marram._build.bundle_targets import target_of
from marram._build.trusting import trusted_keys
from marram.bundle import open as open_bundle
from marram.compress import describe
from marram.compress import diff as recipe_diff
from marram.core.codec import encode
from marram.core.contract_file import parse
from marram.core.errors import UserError
from marram.core.evidence import Evidence
from marram.core.ledger import Figures, Ledger, Trial, changes, costs, gains
from marram.core.manifest import Bundle
from marram.core.recipe import Recipe
from marram.measure import Limit, budget_limits, promise_limits


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Root of an explanation's parts."""


class Rejected(_Part, frozen=True, kw_only=True):
    """What was tried instead: how it differs (``- `` without, ``+ `` with), its figures, and why it was not taken."""

    differs: str
    figures: Figures
    reason: str


class Explained(_Part, frozen=True, kw_only=True):
    """One decision: the figures after it, those that it made better (``gained``) and worse (``cost``), by how much.

    ``against`` is what was tried in its place, or without it, all else being the same.
    """

    number: int
    decision: str
    figures: Figures
    gained: dict[str, float]
    cost: dict[str, float]
    against: tuple[Rejected, ...]


class Room(_Part, frozen=True, kw_only=True):
    """How much of what a promise or budget allows is used: 1 is all of it; of an accuracy, the errors that it allows."""

    promise: str
    limit: float
    unit: str
    used: float


class Explanation(_Part, frozen=True, kw_only=True):
    """A bundle's decisions in their order.

    ``start`` holds the figures before the first, empty in a bundle without ledger. ``others`` were tried and differ in more
    than one decision. ``rooms`` come tightest first: the first one binds. ``remarks`` say what is missing and why.
    """

    bundle: str
    digest: str
    name: str
    version: str
    target: str
    runtime: str
    precision: str
    priced_for: str | None
    start: Figures
    decisions: tuple[Explained, ...]
    others: tuple[Rejected, ...]
    rooms: tuple[Room, ...]
    remarks: tuple[str, ...]


def explain(bundle: str | Path, *, trust: Sequence[str | Path] = ()) -> Explanation:
    """What was decided for a bundle's program, and what it gained and cost.

    Args:
        bundle: the ``.mrm`` file.
        trust: public key files; those of the bundle's own project if none are given.

    Raises:
        IntegrityError: the bundle cannot be trusted.
        UserError: it holds no decisions, as a float program does.
    """
    path = Path(bundle)
    opened = open_bundle(path, trusted_keys(path, trust))
    recipe, ledger = recipe_of(opened, path), opened.ledger
    trials = () if ledger is None else ledger.trials
    return Explanation(
        bundle=str(path),
        digest=opened.digest,
        name=opened.manifest.name,
        version=opened.manifest.version,
        target=opened.program.target,
        runtime=opened.program.runtime,
        precision=opened.program.precision,
        priced_for=None if ledger is None else ledger.priced_for,
        start={} if ledger is None else ledger.start,
        decisions=_decisions(recipe, ledger),
        others=_others(recipe, trials),
        rooms=_rooms(opened, path),
        remarks=_remarks(ledger),
    )


def recipe_of(bundle: Bundle, path: Path) -> Recipe:
    """The decisions in a bundle.

    Raises:
        UserError: there are none.
    """
    if bundle.recipe is None or not bundle.recipe.decisions:
        why = "its program is float32" if bundle.program.precision == "float32" else "its model file held integers already"
        raise UserError(
            f"holds no decisions: {why}", where=str(path), hint="Nothing was compressed, so nothing can be explained."
        )
    return bundle.recipe


def _decisions(recipe: Recipe, ledger: Ledger | None) -> tuple[Explained, ...]:
    changed: tuple[Figures, ...] = ({},) * len(recipe.decisions) if ledger is None else changes(ledger)
    figures: tuple[Figures, ...] = changed if ledger is None else tuple(entry.figures for entry in ledger.entries)
    trials = () if ledger is None else ledger.trials
    return tuple(
        Explained(
            number=number,
            decision=describe(decision),
            figures=figures[number],
            gained=gains(changed[number]),
            cost=costs(changed[number]),
            against=tuple(_rejected(recipe, trial) for trial in trials if _place(recipe, trial) == number),
        )
        for number, decision in enumerate(recipe.decisions)
    )


def _place(recipe: Recipe, trial: Trial) -> int | None:
    """The decision that a trial left out or took another in the place of, all else the same; None where it is not so."""
    ours, theirs = recipe.decisions, trial.recipe.decisions
    if trial.title or not trial.reason:
        return None
    for number in range(len(ours)):
        before, after = ours[:number], ours[number + 1 :]
        if theirs == before + after or (
            len(theirs) == len(ours) and theirs[:number] == before and theirs[number + 1 :] == after
        ):
            return number
    return None


def _others(recipe: Recipe, trials: Sequence[Trial]) -> tuple[Rejected, ...]:
    """What was tried and differs in more than one decision; a recipe under two names is told once, the chosen one not."""
    distinct = {encode(trial.recipe): trial for trial in reversed(trials) if trial.recipe != recipe and trial.reason}
    return tuple(_rejected(recipe, trial) for trial in reversed(distinct.values()) if _place(recipe, trial) is None)


def _rejected(recipe: Recipe, trial: Trial) -> Rejected:
    told = (*((trial.title,) if trial.title else ()), *recipe_diff(recipe, trial.recipe))
    return Rejected(differs="; ".join(told), figures=trial.figures, reason=trial.reason)


def _rooms(bundle: Bundle, path: Path) -> tuple[Room, ...]:
    """The promises and budgets by the sealed figures, tightest first; those whose figures are not sealed are left out."""
    contract = parse(bundle.contract, where=f"contract in {path}")
    limits = (*promise_limits(contract.promises), *budget_limits(contract.targets[target_of(contract, bundle, path)]))
    rooms = [
        Room(promise=limit.promise, limit=limit.limit, unit=limit.unit, used=used)
        for limit in limits
        if (used := _used(limit, bundle.evidence)) is not None
    ]
    return tuple(sorted(rooms, key=lambda room: -room.used))


def _used(limit: Limit, evidence: Evidence) -> float | None:
    figure = evidence.figure(limit.figure)
    if figure is None or figure.value is None:
        return None
    counted: float | None = {"value": figure.value, "low": figure.low, "high": figure.high}[limit.bound]
    if figure.kind == "estimated" and figure.high is not None and limit.side == "max":
        counted = figure.high
    allowed = limit.limit * limit.figure_units
    if counted is None:
        return None
    if limit.side == "min":  # of a share: what counts is how far it may be from all
        counted, allowed = 1.0 - counted, 1.0 - allowed
    return max(counted, 0.0) / allowed if allowed > 0 else (0.0 if counted <= 0 else math.inf)


def _remarks(ledger: Ledger | None) -> tuple[str, ...]:
    if ledger is None:
        return ("The bundle was sealed without a ledger: build it again to have figures.",)
    if ledger.priced_for is None:
        return ("No prices are foretold for this target, so decisions have none; the sealed figures are measured.",)
    return ("Instructions, RAM and flash after each decision are predicted; the sealed figures are measured.",)
