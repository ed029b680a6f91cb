"""What the commands about decisions show on the screen for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from marram.cli.output import screen
from marram.cli.tables import plain_table, verdict_table
from marram.core.evidence import Figure
from marram.core.ledger import FIGURES, Figures
from marram.report.wording import figure_text

if TYPE_CHECKING:
    from marram._build.comparing import Difference, KeyRow
    from marram._build.explaining import Explanation, Rejected, Room
    from marram._build.reverting import Reverted

_OTHERS_SHOWN = 8
_TITLES = {
    "accuracy_validation": "validation accuracy",
    "closeness_db": "closeness to the float model",
    "ram_bytes": "RAM",
    "flash_bytes": "flash",
    "macs": "MACs",
    "weight_bytes": "weights",
}


def show_explanation(found: Explanation) -> None:
    """Decisions with gains and costs, what was tried against each, what binds."""
    title = f"[bold]{escape(found.name)} {found.version}[/] for {escape(found.target)} ({found.runtime}, {found.precision})"
    _say(f"{title}\n   before the first decision: {figures_line(found.start) or 'not known'}")
    for one in found.decisions:
        _say(f"[bold]{one.number:>2} {escape(one.decision)}[/]")
        told = (("gained", changes_line(one.gained)), ("cost", changes_line(one.cost)), ("then", figures_line(one.figures)))
        for what, text in told:
            if text:
                _say(f"     {what:<7} {text}")
        for rejected in one.against:
            _say(f"     against {_rejected(rejected)}")
    for rejected in found.others[:_OTHERS_SHOWN]:
        _say(f"also tried: {_rejected(rejected)}")
    if len(found.others) > _OTHERS_SHOWN:
        _say(f"also tried: {len(found.others) - _OTHERS_SHOWN} more, which --json lists")
    if found.rooms:
        _say(_binding(found.rooms))
    _remarks(found.remarks)


def show_reverted(found: Reverted) -> None:
    """What the bundle without a decision promises, and how it differs."""
    screen.print(verdict_table(found.verdicts, title=f"without decision {found.number}, {escape(found.decision)}"))
    screen.print()
    show_difference(found.difference)
    screen.print(f"bundle: {escape(found.bundle)}", soft_wrap=True)
    screen.print(f'recipe: {escape(found.recipe_file)} (a contract takes it by \\[compress] recipe = "...")', soft_wrap=True)
    _remarks(found.remarks)


def show_difference(found: Difference) -> None:
    """Decisions, then figures side by side, then contract and lineage."""
    screen.print(f"a: {escape(found.a.path)}\nb: {escape(found.b.path)}", soft_wrap=True)
    for line in found.decisions or ("The decisions are the same.",):
        screen.print(escape(line), soft_wrap=True)
    if found.same_program is not None:
        screen.print("The programs are the same, byte for byte." if found.same_program else "The programs differ.")
    if found.figures:
        rows = [
            (
                row.name,
                number(row.name, row.unit, row.a),
                number(row.name, row.unit, row.b),
                _change(row.name, row.unit, row.change),
            )
            for row in found.figures
        ]
        screen.print(plain_table(("figure", "a", "b", "b - a"), rows))
    for what, keys in (("contract", found.contract), ("lineage", found.lineage)):
        _show_keys(what, keys)


def _show_keys(what: str, rows: Sequence[KeyRow]) -> None:
    if rows:
        screen.print(plain_table((what, "a", "b"), [(row.key, _text(row.a), _text(row.b)) for row in rows]))


def figures_line(figures: Figures) -> str:
    """Figures with their units, in the order in which ledgers have them."""
    found = ((name, figures.get(name)) for name in FIGURES)
    return ", ".join(f"{_title(name)} {number(name, FIGURES[name].unit, value)}" for name, value in found if value is not None)


def changes_line(changed: Mapping[str, float]) -> str:
    """Differences with their signs and units."""
    return ", ".join(
        f"{_title(name)} {_change(name, FIGURES[name].unit, changed[name])}" for name in FIGURES if name in changed
    )


def number(name: str, unit: str, value: float | None) -> str:
    """A figure's value in the words of the report; a dash where there is none."""
    if value is None:
        return "-"
    if unit in {"MACs", "instructions"}:
        return f"{value:,.0f}"
    return figure_text(Figure(name=name, unit=unit, value=value, method=""))


def _change(name: str, unit: str, value: float | None) -> str:
    if value is None:
        return ""
    text = number(f"{name}_drop" if unit == "share" else name, unit, abs(value))
    return f"{'+' if value > 0 else '-'}{text}" if value else "0"


def _title(name: str) -> str:
    return _TITLES.get(name, name)


def _say(text: str) -> None:
    screen.print(text, soft_wrap=True)


def _remarks(remarks: Sequence[str]) -> None:
    for remark in remarks:
        _say(f"[yellow]note:[/] {escape(remark)}")


def _rejected(found: Rejected) -> str:
    shown = figures_line(found.figures)
    return escape(": ".join(filter(None, (found.differs or "the same decisions", shown, found.reason))))


def _binding(rooms: Sequence[Room]) -> str:
    first, *others = (f"{room.promise} ({100 * room.used:.0f} % used)" for room in rooms)
    return f"binds: {first}" + (f"; then {', '.join(others)}" if others else "")


def _text(value: Any) -> str:
    return "-" if value is None else str(value)
