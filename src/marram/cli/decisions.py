"""The commands about decisions: ``explain``, ``diff``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import marram
from marram.cli.decision_screens import show_difference, show_explanation, show_reverted
from marram.cli.options import AsJson, Trust
from marram.cli.output import failures, print_json, progress
from marram.core.errors import EXIT_BROKEN_PROMISE, EXIT_OK, UserError


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(explain)
    app.command()(diff)


def explain(
    bundle: Annotated[Path, typer.Argument(help="A .mrm file.")],
    *,
    revert: Annotated[int | None, typer.Option(min=0, help="Build it again without the decision of this number.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="With --revert: the new bundle; dist/<target>.without-<number>.mrm if not given.")
    ] = None,
    project: Annotated[
        Path | None, typer.Option(help="With --revert: the project folder; the one that holds the bundle if not given.")
    ] = None,
    trust: Trust = None,
    as_json: AsJson = False,
) -> None:
    """The decisions behind a bundle: what each gained and cost, and against what; or the bundle without one of them."""
    keys = tuple(trust or ())
    if revert is None:
        with failures(as_json=as_json):
            for option, value in (("--out", out), ("--project", project)):
                if value is not None:
                    raise UserError("goes with --revert", where=option)
            explanation = marram.explain(bundle, trust=keys)
        print_json(explanation) if as_json else show_explanation(explanation)
        return
    with failures(as_json=as_json), progress() as report:
        reverted = marram.revert(bundle, revert, trust=keys, project=project, out=out, progress=report)
    print_json(reverted) if as_json else show_reverted(reverted)
    kept = all(verdict.kept is True for verdict in reverted.verdicts)
    raise typer.Exit(EXIT_OK if kept else EXIT_BROKEN_PROMISE)


def diff(
    a: Annotated[Path, typer.Argument(help="A bundle (.mrm) or a recipe (.json, .toml).")],
    b: Annotated[Path, typer.Argument(help="What it is compared with.")],
    *,
    trust: Trust = None,
    as_json: AsJson = False,
) -> None:
    """Two bundles, two recipes or one of each: decisions taken away and added, figures side by side, what else differs."""
    with failures(as_json=as_json):
        difference = marram.diff(a, b, trust=tuple(trust or ()))
    print_json(difference) if as_json else show_difference(difference)
