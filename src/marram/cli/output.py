"""What every command shares: JSON or text on standard output, progress on standard error, exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from marram.core.codec import to_json
from marram.core.errors import EXIT_INTERRUPTED, MarramError

errors = Console(stderr=True, highlight=False, soft_wrap=True)
screen = Console(highlight=False)

Report = Callable[[str, float], None]


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(to_json(value).decode() + "\n")


@contextmanager
def progress() -> Iterator[Report]:
    """A progress bar on standard error; plain lines where that is no terminal."""
    if not errors.is_terminal:
        yield _plain_lines()
        return
    columns = (TextColumn("{task.description:<44}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(what: str, part: float) -> None:
            head = what.partition(":")[0]
            if head not in tasks:
                tasks[head] = bars.add_task(what, total=1.0)
            bars.update(tasks[head], completed=part, description=what)

        yield show


def _plain_lines() -> Report:
    """A line when something starts and when it ends, so that a log stays short."""
    told: set[tuple[str, bool]] = set()

    def show(what: str, part: float) -> None:
        head = what.partition(":")[0]
        if (head, part >= 1.0) not in told:
            told.add((head, part >= 1.0))
            errors.print(f"marram: {what}" if part >= 1.0 else f"marram: {head} ...")

    return show


@contextmanager
def failures(*, as_json: bool) -> Iterator[None]:
    """Turn an error of ours into its text and exit code, and Ctrl-C into 130. Anything else is a bug and shows itself."""
    try:
        yield
    except MarramError as error:
        _fail(error, as_json=as_json)
    except KeyboardInterrupt:
        errors.print("marram: interrupted; what was finished is kept, and the same command goes on from there")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _fail(error: MarramError, *, as_json: bool) -> NoReturn:
    if as_json:
        print_json({"error": {"kind": type(error).__name__, "what": error.what, "where": error.where, "hint": error.hint}})
    else:
        errors.print(f"[bold red]error:[/] {_escape(str(error))}")
    raise typer.Exit(error.exit_code) from None


def _escape(text: str) -> str:
    """Text of others is shown as it is, not read as markup."""
    return text.replace("[", r"\[")
