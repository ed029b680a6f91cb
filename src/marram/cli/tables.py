"""Tables for a person: promises kept or broken, stages, devices, what a machine has."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from marram.core.evidence import Figure, Verdict

KEPT = {True: "[green]kept[/]", False: "[bold red]broken[/]", None: "[yellow]not measured[/]"}


def figure_text(figure: Figure) -> str:
    """A figure with its unit and interval, or the reason why there is none."""
    if figure.value is None:
        return f"not measured: {figure.reason}"
    text = f"{figure.value:.4g} {figure.unit}".strip()
    if figure.low is not None and figure.high is not None:
        text += f" ({figure.low:.4g} to {figure.high:.4g})"
    return text if figure.kind == "measured" else f"{text}, {figure.kind}"


def verdict_table(verdicts: tuple[Verdict, ...], *, title: str) -> Table:
    """One row for each promise and budget."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("", "promise", "limit", "measured", "how"):
        table.add_column(heading, no_wrap=heading in {"", "promise", "limit"})
    for verdict in verdicts:
        table.add_row(
            KEPT[verdict.kept],
            verdict.promise,
            f"{verdict.limit:.4g} {verdict.unit}".strip(),
            escape(figure_text(verdict.figure)),
            escape(verdict.figure.method),
        )
    return table


def plain_table(headings: tuple[str, ...], rows: list[tuple[str, ...]], *, title: str | None = None) -> Table:
    """A table of texts."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table
