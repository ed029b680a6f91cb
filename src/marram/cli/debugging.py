"""``marram debug``: what went wrong inside, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

import marram
from marram.cli.options import AsJson, Trust
from marram.cli.output import failures, print_json, progress, screen
from marram.cli.tables import plain_table
from marram.core.recipe import CalibrationMethod

if TYPE_CHECKING:
    from marram.report.quantisation_record import QuantisationReport

debug = typer.Typer(help="What went wrong inside a model.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(debug, name="debug")


@debug.callback()
def options() -> None:
    """What went wrong inside a model."""


@debug.command()
def quantisation(
    place: Annotated[Path, typer.Argument(help="A project, a .mrm bundle, or a float .onnx or .tflite file.")] = Path(),
    *,
    data: Annotated[Path | None, typer.Option(help="For a model file: an .npz with samples x and class indices y.")] = None,
    calibration: Annotated[CalibrationMethod, typer.Option(help="For a model file: how it is quantised.")] = "min_max",
    project: Annotated[Path | None, typer.Option(help="For a bundle: its project; the one that holds it if not given.")] = None,
    out: Annotated[Path | None, typer.Option(help="The page with the picture; in the project's dist if not given.")] = None,
    no_tries: Annotated[bool, typer.Option("--no-tries", help="Suggest next steps without trying them.")] = False,
    trust: Trust = None,
    as_json: AsJson = False,
) -> None:
    """Each layer's damage, the worst samples, why, and what helps: a table here, a page with a picture."""
    with failures(as_json=as_json), progress() as report:
        found = marram.debug_quantisation(
            place,
            data=data,
            calibration=calibration,
            trust=tuple(trust or ()),
            project=project,
            out=out,
            try_steps=not no_tries,
            progress=report,
        )
    print_json(found) if as_json else show_quantisation(found)


def show_quantisation(found: QuantisationReport) -> None:
    """Layers, worst samples, next steps."""
    from marram.report.quantisation_page import symptom_line

    screen.print(f"[bold]{escape(found.subject)}[/]: {escape(', then '.join(found.recipe))}", soft_wrap=True)
    screen.print(f"{symptom_line(found.symptom)} ({escape(found.data)})", soft_wrap=True)
    layers = [
        (
            one.node,
            f"{one.damage.sqnr_db:.1f}",
            f"{one.alone_db:.1f}",
            _percent(one.noise_share),
            "" if one.damage.accuracy is None else _percent(one.damage.accuracy),
            f"{100 * one.damage.saturated:.3f} %",
            f"{one.stretch:.1f}",
            f"{one.channel_ratio:.1f}",
            "" if one.weight_db is None else f"{one.weight_db:.1f}",
        )
        for one in found.layers
    ]
    headings = ("layer", "SQNR dB", "alone dB", "of noise", "right", "outside", "stretch", "channels", "weights dB")
    screen.print(plain_table(headings, layers))
    worst = [
        (one.origin, one.target or "", *_answers(found, one.before, one.after, flipped=one.flipped), f"{one.moved:.4g}")
        for one in found.worst
    ]
    screen.print(plain_table(("worst samples", "class", "float", "integer", "", "score moved"), worst))
    for finding in found.findings:
        layers_named = f" ({finding.rule}: {', '.join(finding.nodes)})" if finding.nodes else ""
        screen.print(f"next: [bold]{escape(finding.step)}[/]{escape(layers_named)}", soft_wrap=True)
        for tried in found.tried:
            if tried.rule == finding.rule:
                said = tried.reason if tried.symptom is None else symptom_line(tried.symptom)
                screen.print(escape(f"  {'; '.join(tried.changes)}: {said}"), soft_wrap=True)
    screen.print(f"page: {escape(found.page)}", soft_wrap=True)


def _answers(found: QuantisationReport, before: str | None, after: str | None, *, flipped: bool) -> tuple[str, str, str]:
    if found.symptom.flips is None:
        return "", "", ""
    return before or "", after or "", "flipped" if flipped else ""


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
