"""Tables for a person: promises kept or broken, stages, devices, what a machine has."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from marram.core.evidence import Verdict
from marram.report.record import Attempt
from marram.report.wording import figure_text, limit_text

KEPT = {True: "[green]kept[/]", False: "[bold red]broken[/]", None: "[yellow]not measured[/]"}


def verdict_table(verdicts: tuple[Verdict, ...], *, title: str) -> Table:
    """One row for each promise and budget."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("", "promise", "limit", "measured"):
        table.add_column(heading, no_wrap=heading in {"", "promise", "limit"})
    for verdict in verdicts:
        table.add_row(
            KEPT[verdict.kept],
            verdict.promise,
            limit_text(verdict),
            escape(figure_text(verdict.figure)),
        )
    return table


def plain_table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, title: str | None = None) -> Table:
    """A table of texts."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table


def attempt_table(attempts: Sequence[Attempt]) -> Table:
    """One row for each program that was tried for a target."""
    rows = [
        (
            attempt.title,
            f"{attempt.size_bytes / 1024:.1f} KiB",
            "" if attempt.accuracy is None else f"{100 * attempt.accuracy:.2f} %",
            "not measured here" if attempt.latency_us is None else f"{attempt.latency_us:.1f} µs",
            "all kept" if attempt.kept else "not all kept",
            "chosen" if attempt.chosen else "",
        )
        for attempt in attempts
    ]
    return plain_table(("program", "size", "accuracy", "median latency", "promises", ""), rows)
