"""The command ``compress``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marram.cli.options import AsJson
from marram.cli.output import failures, print_json, progress, screen
from marram.cli.tables import plain_table
from marram.core.errors import UserError
from marram.core.recipe_file import read


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(compress)


def compress(
    model: Annotated[Path, typer.Argument(help="A float .onnx or .tflite file.")],
    out: Annotated[Path, typer.Argument(help="Where the result goes: .onnx or .tflite.")],
    *,
    data: Annotated[Path, typer.Option(help="An .npz with inputs x and class indices y.")],
    recipe: Annotated[
        Path | None, typer.Option(help="Decisions, as marram explain --json has them; instead of the wishes below.")
    ] = None,
    prune: Annotated[float, typer.Option(min=0.01, max=1.0, help="The share of multiply-accumulates to leave.")] = 1.0,
    epochs: Annotated[int, typer.Option(min=0, help="Of every training.")] = 10,
    distil: Annotated[bool, typer.Option("--distil", help="Learn from the model as it came, or from --teacher.")] = False,
    teacher: Annotated[Path | None, typer.Option(help="A float model file to learn from.")] = None,
    bits: Annotated[int, typer.Option(help="Of weights: 8, 4 or 2; the first and the last layer keep 8.")] = 8,
    round_adaptively: Annotated[bool, typer.Option("--round", help="Round weights by what keeps outputs nearest.")] = False,
    train_quantised: Annotated[bool, typer.Option("--qat", help="Train through the roundings at the end.")] = False,
    keep_float: Annotated[bool, typer.Option("--float", help="Leave the model float.")] = False,
    pack: Annotated[bool, typer.Option("--pack", help="Weights of 4 bits stand in 4 bits in the file.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Make a model smaller by decisions: pruned, distilled, in fewer bits; and say what each cost."""
    from marram._build.squeezing import Wishes, squeeze

    with failures(as_json=as_json):
        if bits not in {8, 4, 2}:
            raise UserError(f"weights have 8, 4 or 2 bits, not {bits}", where="--bits")
        wishes = Wishes(
            prune=prune,
            epochs=epochs,
            distil=distil or teacher is not None,
            weight_bits=bits,  # type: ignore[arg-type]  # checked above
            round_adaptively=round_adaptively,
            train_quantised=train_quantised,
            integers=not keep_float,
        )
        with progress() as report:
            result = squeeze(
                model,
                out,
                data=data,
                recipe=None if recipe is None else read(recipe),
                wishes=wishes,
                teacher=teacher,
                pack=pack,
                seed=seed,
                progress=report,
            )
    if as_json:
        print_json(result)
        return
    rows = [
        (stage.decision, f"{stage.macs:,}", f"{stage.parameters:,}", "" if stage.accuracy is None else f"{stage.accuracy:.2%}")
        for stage in result.stages
    ]
    screen.print(plain_table(("decision", "MACs", "parameters", "held-out accuracy"), rows))
    screen.print(f"written: {result.path}")
