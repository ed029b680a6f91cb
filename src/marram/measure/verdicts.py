"""Promises and budgets held against figures: kept, broken, or None where the figure could not be taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from marram.core.contract import PromiseSection, TargetSection
from marram.core.evidence import Evidence, Figure, Verdict


class Limit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One promise or budget: the figure that it is about, and where it must stay.

    ``figure_units`` is how many of the figure's units make one of the limit's. ``bound`` says what of the figure counts: its
    value, or the end of its interval, so that doubt counts against the promise.
    """

    promise: str
    figure: str
    limit: float
    unit: str
    side: Literal["min", "max"]
    figure_units: float = 1.0
    bound: Literal["value", "low", "high"] = "value"


def promise_limits(promises: PromiseSection) -> tuple[Limit, ...]:
    """The limits of a contract's ``[promises]``."""
    rows: tuple[tuple[str, str, Literal["min", "max"], Literal["value", "high"]], ...] = (
        ("accuracy_min", "accuracy", "min", "value"),
        ("accuracy_drop_max", "accuracy_drop", "max", "high"),
        ("worst_class_accuracy_min", "worst_class_accuracy", "min", "value"),
        ("flip_rate_max", "flip_rate", "max", "value"),
    )
    return tuple(
        Limit(promise=key, figure=figure, limit=getattr(promises, key), unit="share", side=side, bound=bound)
        for key, figure, side, bound in rows
        if getattr(promises, key) is not None
    )


def budget_limits(target: TargetSection) -> tuple[Limit, ...]:
    """The limits of one of a contract's ``[targets.NAME]``."""
    rows = (
        ("latency_ms", "latency_p90_us", "ms", 1000.0),
        ("memory_mib", "peak_memory_bytes", "MiB", 1024.0 * 1024.0),
        ("size_kib", "size_bytes", "KiB", 1024.0),
        ("ram_kib", "ram_bytes", "KiB", 1024.0),
        ("flash_kib", "flash_bytes", "KiB", 1024.0),
        ("energy_uj", "energy_uj", "uJ", 1.0),
    )
    return tuple(
        Limit(promise=key, figure=figure, limit=getattr(target, key), unit=unit, side="max", figure_units=units)
        for key, figure, unit, units in rows
        if getattr(target, key) is not None
    )


def judge(limits: Sequence[Limit], evidence: Evidence, *, subject: str) -> tuple[Verdict, ...]:
    """One verdict for each limit, in order.

    Args:
        limits: promises and budgets.
        evidence: what was measured.
        subject: whose they are, for instance the target's name.
    """
    return tuple(_verdict(limit, evidence, subject) for limit in limits)


def _verdict(limit: Limit, evidence: Evidence, subject: str) -> Verdict:
    figure = evidence.figure(limit.figure) or _not_taken(limit)
    counted = {"value": figure.value, "low": figure.low, "high": figure.high}[limit.bound]
    if figure.kind == "estimated" and limit.side == "max" and figure.high is not None:
        counted = figure.high  # doubt counts against the promise
    kept = None
    if figure.value is not None and counted is not None:
        allowed = limit.limit * limit.figure_units
        kept = counted <= allowed if limit.side == "max" else counted >= allowed
    return Verdict(subject=subject, promise=limit.promise, limit=limit.limit, unit=limit.unit, figure=figure, kept=kept)


def _not_taken(limit: Limit) -> Figure:
    reason = "this version of marram does not take it"
    return Figure(name=limit.figure, unit="", value=None, method="none", reason=reason)
