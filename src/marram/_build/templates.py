"""``marram init``: a project folder with real data and a contract that works."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

from marram._build.project import CONTRACT_NAME
from marram.core.durable import write_atomically
from marram.core.errors import UserError
from marram.core.ports import Progress
from marram.data.registry.fashion import fashion_images
from marram.data.registry.watch import watch_recordings

_PROJECTS = Path(__file__).with_name("projects")
_DATA: dict[str, Callable[[Path], Path]] = {
    "fashion": lambda folder: fashion_images(folder / "images"),
    "watch": watch_recordings,
}


def init(template: str, folder: str | Path, *, progress: Progress = lambda _what, _part: None) -> Path:
    """Make a project.

    Args:
        template: ``watch`` (IMU recordings of ten people) or ``fashion`` (Fashion-MNIST).
        folder: where; made if it is not there. Data that is there already is kept.
        progress: told what is being done.

    Returns:
        The folder.

    Raises:
        UserError: no such template, or the folder holds a project already.
        ToolError: the data could not be fetched.
    """
    if template not in _DATA:
        near = difflib.get_close_matches(template, _DATA, n=1)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        raise UserError(f"there is no template {template!r}", hint=f"{guess}Templates: {', '.join(sorted(_DATA))}.")
    place = Path(folder)
    if (place / CONTRACT_NAME).exists():
        raise UserError("holds a project already", where=str(place), hint="Choose another folder, or build this one.")
    place.mkdir(parents=True, exist_ok=True)
    progress(f"data: fetching {template}", 0.0)
    _DATA[template](place)
    # the contract comes last: a folder that has one is complete
    files = sorted((_PROJECTS / template).iterdir(), key=lambda path: path.name == CONTRACT_NAME)
    for path in files:
        write_atomically(place / path.name, path.read_bytes())
    write_atomically(place / ".gitignore", b".marram/\ndist/\n")
    progress(f"data: {template} is there", 1.0)
    return place
