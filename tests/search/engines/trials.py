"""What the tests of engines run in workers: functions of an importable module, as engines ask for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np

from marram.core.errors import DataError, MissingExtra


def square(value: int) -> int:
    return value * value


def slow_first(value: int) -> int:
    """Later items end first."""
    time.sleep(0.3 if value == 0 else 0.0)
    return value


class Shifted(msgspec.Struct, frozen=True, kw_only=True):
    """A function that holds data."""

    weights: np.ndarray

    def __call__(self, value: int) -> float:
        return float(self.weights.sum() + value)


def where(_: int) -> tuple[int, str | None]:
    """The process, and how many threads libraries of linear algebra may use there."""
    return os.getpid(), os.environ.get("OMP_NUM_THREADS")


def refuse(value: int) -> int:
    """Odd items are refused, the later ones sooner."""
    if value % 2:
        time.sleep(0.4 if value == 1 else 0.0)
        raise DataError(f"item {value} is odd", where="trials.py", hint="Use even ones.")
    return value


def missing(_: int) -> int:
    raise MissingExtra("optuna", extra="build")


def bug(_: int) -> int:
    return {}["nothing"]


def give_lambda(_: int) -> object:
    return lambda: None


def noisy(value: int) -> int:
    print("trial speaks", value)  # noqa: T201
    subprocess.run([sys.executable, "-c", "print('child speaks')"], check=True)
    return value


class Doomed(msgspec.Struct, frozen=True, kw_only=True):
    """Kills its own process at item 1: each time, or only the first time, as the folder remembers."""

    folder: Path
    always: bool
    how: str = "kill"

    def __call__(self, value: int) -> int:
        if value == 1 and (self.always or not (self.folder / "died").exists()):
            with (self.folder / "died").open("a") as file:
                file.write("x")
            if self.how == "memory":
                raise MemoryError("no room for the tensor")
            if self.how == "exit":
                os.write(2, b"a last word\n")
                os._exit(3)
            os.kill(os.getpid(), signal.SIGKILL)
        return value * 10


class Marked(msgspec.Struct, frozen=True, kw_only=True):
    """Writes its own and its child's process id, then works for long."""

    folder: Path

    def __call__(self, value: int) -> int:
        child = subprocess.Popen(["sleep", "60"])
        (self.folder / f"{value}.tmp").write_text(f"{os.getpid()} {child.pid}")
        (self.folder / f"{value}.tmp").rename(self.folder / f"{value}.pid")
        time.sleep(60)
        return value
