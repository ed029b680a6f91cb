"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Trust = Annotated[
    list[Path] | None, typer.Option(help="Public key files to trust; the project's own if not given. May be given again.")
]
