"""Search problems whose answers are known; functions of an importable module, as engines ask for."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from marram.search.trials import Objective, Outcome, Value, Variable

TWO = (Objective(name="cost"), Objective(name="error"))


def line(count: int, levels: int) -> tuple[Variable, ...]:
    return tuple(Variable(name=f"x{index}", choices=tuple(range(levels))) for index in range(count))


class Zdt1(msgspec.Struct, frozen=True, kw_only=True):
    """The first problem of E. Zitzler, K. Deb, L. Thiele, Evolutionary Computation 8 (2000), on a grid; both become small."""

    levels: int

    def __call__(self, values: Mapping[str, Value]) -> Outcome:
        first, *others = (float(value) / (self.levels - 1) for value in values.values())
        far = 1 + 9 * sum(others) / len(others)
        return Outcome(objectives=(first, far * (1 - (first / far) ** 0.5)), figures={"far": far})


def weighed(values: Mapping[str, Value]) -> Outcome:
    """A small knapsack: cost and what is missed; limits are broken above a cost of 10."""
    taken = [int(value) for value in values.values()]
    cost = sum((index + 1) * value for index, value in enumerate(taken))
    missed = sum((3 - value) * (7 - index) % 5 for index, value in enumerate(taken))
    return Outcome(objectives=(float(cost), float(missed)), violations={"cost": cost / 10 - 1})


def mixed(values: Mapping[str, Value]) -> Outcome:
    """Words, reals and whole numbers."""
    size, rate, kind = int(values["size"]), float(values["rate"]), str(values["kind"])
    return Outcome(objectives=(size * rate, -size + (0.5 if kind == "wide" else 0.0)))


class Dying(msgspec.Struct, frozen=True, kw_only=True):
    """Dies of some values, gives no number for others."""

    def __call__(self, values: Mapping[str, Value]) -> Outcome:
        outcome = weighed(values)
        if values["x0"] == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return msgspec.structs.replace(outcome, objectives=(float("nan"), 1.0)) if values["x1"] == 3 else outcome


class Noted(msgspec.Struct, frozen=True, kw_only=True):
    """Adds a byte to a file at each evaluation, and takes a while."""

    file: Path
    seconds: float = 0.0

    def __call__(self, values: Mapping[str, Value]) -> Outcome:
        with self.file.open("a") as file:
            file.write("x")
        time.sleep(self.seconds)
        return weighed(values)
