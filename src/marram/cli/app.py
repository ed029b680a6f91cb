"""The commands. Each parses its arguments, calls the one function of the same name, and prints what came back.

Exit codes: 0 success, 1 a promise or a check does not hold, 2 what was asked cannot be done, 3 not to be trusted, 4 the
device failed, 5 an outside tool failed, 70 a bug, 130 interrupted (``core/errors.py``).
"""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

import marram
from marram.cli import debugging, decisions, squeezing
from marram.cli.engines import EngineName, engine_of
from marram.cli.options import AsJson
from marram.cli.output import failures, print_json, progress, screen
from marram.cli.screens import show_bench, show_build, show_compiled, show_core_bench
from marram.cli.tables import plain_table, verdict_table
from marram.core.errors import EXIT_BROKEN_PROMISE, EXIT_OK

app = typer.Typer(
    help="Machine learning at the edge, with a contract: build, prove and run models that keep their promises.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
decisions.register(app)
squeezing.register(app)
debugging.register(app)


def _print_version(*, wanted: bool) -> None:
    if wanted:
        screen.print(marram.__version__)
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=lambda value: _print_version(wanted=value), is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Machine learning at the edge, with a contract: build, prove and run models that keep their promises."""


Memories = Annotated[
    list[str] | None,
    typer.Option(
        "--memory",
        help="NAME[=SIZE][:COST], repeated: memories that the model may use, for instance dtcm=64KiB --memory sram=512KiB:0.5. "
        "COST is how many cycles a byte waits there.",
    ),
]
FlashCost = Annotated[
    float | None,
    typer.Option(min=0.0, help="With --memory: cycles that a byte of flash waits; constants are copied where they wait less."),
]
Place = Annotated[Path, typer.Argument(help="A project folder or its marram.toml.")]


@app.command()
def init(
    template: Annotated[str, typer.Argument(help="watch (IMU, ten people) or fashion (images).")] = "watch",
    folder: Annotated[Path | None, typer.Argument(help="Where the project goes; the template's name if not given.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a project folder with data and a marram.toml that works."""
    with failures(as_json=as_json), progress() as report:
        place = marram.init(template, folder or Path(template), progress=report)
    if as_json:
        print_json({"folder": str(place)})
    else:
        screen.print(f"Made {escape(str(place))}. Next: [bold]marram build {escape(str(place))}[/]")


@app.command()
def build(
    place: Place = Path(),
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    engine: Annotated[EngineName, typer.Option(help="What runs the trials of a search.")] = EngineName.processes,
    workers: Annotated[int | None, typer.Option(min=1, help="How many trials run at once; one for each processor.")] = None,
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster; a local one if not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Build every target of the contract, prove it, and say which promises hold."""
    from marram._build.job import plan

    with failures(as_json=as_json):
        if dry_run:
            stages = plan(place)
            if as_json:
                print_json(stages)
            else:
                rows = [(stage.name, "nothing to do" if stage.cached else "will run") for stage in stages]
                screen.print(plain_table(("stage", "plan"), rows))
            raise typer.Exit(EXIT_OK)
        with progress() as report, engine_of(engine, workers, address) as trials:
            result = marram.build(place, engine=trials, progress=report)
    if as_json:
        print_json(result)
    else:
        show_build(result)
    raise typer.Exit(EXIT_OK if result.kept else EXIT_BROKEN_PROMISE)


@app.command()
def report(
    place: Place = Path(),
    *,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the report's path only.")] = False,
    as_json: AsJson = False,
) -> None:
    """Open the HTML report of the last build."""
    from marram._build.job import last_result

    with failures(as_json=as_json):
        result = last_result(place)
    path = Path(result.folder) / result.report
    if as_json:
        print_json(result)
    else:
        screen.print(escape(str(path)), soft_wrap=True)
        if not no_browser and sys.stdout.isatty():
            webbrowser.open(path.as_uri())


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="A .mrm file.")],
    *,
    trust: Annotated[list[Path] | None, typer.Option(help="Public key files to trust; the project's own if not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Prove a bundle again: signature, contents, golden vectors, parity, and the budgets by measuring them here."""
    with failures(as_json=as_json), progress() as report:
        proof = marram.verify(bundle, trust=tuple(trust or ()), progress=report)
    if as_json:
        print_json(proof)
    else:
        screen.print(plain_table(("check", "result"), [(check.name, check.result) for check in proof.checks]))
        screen.print(verdict_table(proof.verdicts, title="promises and budgets"))
    raise typer.Exit(EXIT_OK if proof.kept else EXIT_BROKEN_PROMISE)


@app.command()
def run(
    bundle: Annotated[Path, typer.Argument(help="A .mrm file.")],
    *,
    input_path: Annotated[list[Path], typer.Option("--input", help="A sample: image, .wav, .csv or .npy. May be given again.")],
    trust: Annotated[list[Path] | None, typer.Option(help="Public key files to trust; the project's own if not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run a bundle on samples, here."""
    with failures(as_json=as_json):
        answers = marram.run(bundle, tuple(input_path), trust=tuple(trust or ()))
    if as_json:
        print_json(answers)
    else:
        rows = [(answer.input, answer.label, f"{answer.score:.4f}") for answer in answers]
        screen.print(plain_table(("input", "answer", "score"), rows))


@app.command()
def bench(
    model: Annotated[Path, typer.Argument(help="A .onnx or .tflite file.")],
    *,
    device: Annotated[str, typer.Option(help="A device profile; see marram devices.")] = "host",
    calls: Annotated[int, typer.Option(min=10, max=1_000_000, help="Calls of each runtime on this machine.")] = 1000,
    arena_kib: Annotated[
        float | None, typer.Option(min=0.01, help="Microcontrollers: the most that the arena may hold.")
    ] = None,
    memory: Memories = None,
    flash_cost: FlashCost = None,
    stream_rows: Annotated[
        int | None, typer.Option(min=1, help="Microcontrollers: the model is fed as data comes, so many rows at a time.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Cost and parity of a model: on every runtime of this machine, or as C on a microcontroller's emulated core."""
    from marram._build.core_benchmarking import CoreBenchResult

    with failures(as_json=as_json), progress() as report:
        result = marram.bench(
            model,
            device_name=device,
            calls=calls,
            arena_kib=arena_kib,
            memories=tuple(memory or ()),
            flash_cost=flash_cost,
            stream_rows=stream_rows,
            progress=report,
        )
    if as_json:
        print_json(result)
    elif isinstance(result, CoreBenchResult):
        show_core_bench(result)
    else:
        show_bench(result)


@app.command("compile")
def compile_(
    model: Annotated[Path, typer.Argument(help="A .tflite or .onnx file of an integer model.")],
    *,
    device: Annotated[str, typer.Option(help="A device profile; see marram devices.")] = "cortex-m4",
    out: Annotated[Path, typer.Option(help="Folder for the sources; made if it is not there.")] = Path("firmware"),
    name: Annotated[str | None, typer.Option(help="Prefix of all names in the C; the file's name if not given.")] = None,
    arena_kib: Annotated[float | None, typer.Option(min=0.01, help="The most that the arena may hold, in KiB.")] = None,
    self_test: Annotated[int, typer.Option(min=1, max=64, help="Golden vectors in the self-test.")] = 2,
    pack: Annotated[bool, typer.Option("--pack-weights", help="Weights that fit 4 or 2 bits take no more in flash.")] = False,
    memory: Memories = None,
    flash_cost: FlashCost = None,
    stream_rows: Annotated[
        int | None, typer.Option(min=1, help="The model is fed as data comes, so many rows of its window at a time.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write C11 source of an integer model, for a microcontroller or as a native library: no contract, no data needed."""
    from marram._build.compiling import compile_model

    with failures(as_json=as_json):
        result = compile_model(
            model,
            device_name=device,
            out=out,
            name=name,
            arena_kib=arena_kib,
            self_test_vectors=self_test,
            pack=pack,
            memories=tuple(memory or ()),
            flash_cost=flash_cost,
            stream_rows=stream_rows,
        )
    print_json(result) if as_json else show_compiled(result)


@app.command()
def export(
    source: Annotated[Path, typer.Argument(help="A .tflite or .onnx file of an integer model, or a .mrm bundle of C.")],
    *,
    ecosystem: Annotated[str, typer.Option("--for", help="cmake, arduino, platformio or zephyr.")],
    out: Annotated[Path, typer.Option(help="A new folder.")],
    device: Annotated[str, typer.Option(help="For a model file: a device profile with runtime c.")] = "cortex-m4",
    name: Annotated[str | None, typer.Option(help="Prefix of all names in the C; the file's name if not given.")] = None,
    arena_kib: Annotated[float | None, typer.Option(min=0.01, help="For a model file: limit of the arena, in KiB.")] = None,
    trust: Annotated[list[Path] | None, typer.Option(help="Public key files to trust; the project's own if not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a folder that builds in an ecosystem."""
    from marram._build.compiling import export as write

    with failures(as_json=as_json):
        result = write(
            source,
            ecosystem=ecosystem,
            out=out,
            device_name=device,
            name=name,
            arena_kib=arena_kib,
            trust=tuple(trust or ()),
        )
    print_json(result) if as_json else show_compiled(result)


@app.command()
def doctor(*, as_json: AsJson = False) -> None:
    """Which targets, runtimes and tools this machine has, and how to get the rest."""
    with failures(as_json=as_json):
        findings = marram.doctor()
    if as_json:
        print_json(findings)
    else:
        rows = [(item.subject, "yes" if item.present else "no", item.version or "", item.remedy or "") for item in findings]
        screen.print(plain_table(("what", "here", "version", "how to get it"), rows))


@app.command()
def devices(*, as_json: AsJson = False) -> None:
    """The device profiles that a contract may name."""
    from marram.compile import devices as known

    with failures(as_json=as_json):
        profiles = known()
    if as_json:
        print_json(profiles)
    else:
        rows = [(p.name, p.title, ", ".join(p.runtimes), "yes" if p.here else "no", p.notes) for p in profiles]
        screen.print(plain_table(("device", "what it is", "runtimes", "measured here", "notes"), rows))
