"""A project's folder: where the contract stands, where a build keeps its cache, and who may build there at a time.

marram.toml          the contract
dist/                bundles and the report: what a build hands over
.marram/cache/       values by key; safe to delete
.marram/checkpoints/ trainings that were interrupted
.marram/result.mp    the last build's result
.marram/signing.key  the project's own key, made by the first build that needs one
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

import msgspec

from marram.core.errors import UserError

CONTRACT_NAME = "marram.toml"


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A project folder and the contract in it."""

    folder: Path
    contract_path: Path

    @property
    def dist(self) -> Path:
        """Bundles and report."""
        return self.folder / "dist"

    @property
    def state(self) -> Path:
        """Cache, checkpoints and the last result."""
        return self.folder / ".marram"

    @property
    def cache(self) -> Path:
        """Values by key."""
        return self.state / "cache"

    @property
    def checkpoints(self) -> Path:
        """Trainings that were interrupted."""
        return self.state / "checkpoints"

    @property
    def result(self) -> Path:
        """The last build's result."""
        return self.state / "result.mp"

    @property
    def signing_key(self) -> Path:
        """The project's own key."""
        return self.state / "signing.key"

    @property
    def public_key(self) -> Path:
        """The public half of the project's own key."""
        return self.state / "signing.key.pub"


def find_project(place: Path) -> Project:
    """The project of a folder, or of a contract file.

    Raises:
        UserError: there is no contract there.
    """
    path = place / CONTRACT_NAME if place.is_dir() else place
    if not path.is_file():
        raise UserError("there is no contract here", where=str(path), hint="Start a project with: marram init watch")
    return Project(folder=path.parent.resolve(), contract_path=path.resolve())


@contextlib.contextmanager
def exclusive(project: Project) -> Iterator[None]:
    """Hold the project for one build. The lock goes with the process, however it ends.

    Raises:
        UserError: another build is running there.
    """
    project.state.mkdir(parents=True, exist_ok=True)
    with (project.state / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError("another build is running in this project", where=str(project.folder)) from error
        yield
