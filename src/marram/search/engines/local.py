"""The engine without workers: one item after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

from marram.core.ports import Progress
from marram.search.engines.attempts import TRIES, attempt, result
from marram.search.engines.engine import Arrived, Engine, Failed, ignored, silent

T = TypeVar("T")
R = TypeVar("R")


class _Serial:
    def map(
        self,
        function: Callable[[T], R],
        items: Sequence[T],
        *,
        progress: Progress = silent,
        arrived: Arrived = ignored,
    ) -> list[R | Failed]:
        results: list[R | Failed] = []
        for index, item in enumerate(items):
            progress(f"{index} of {len(items)} done", index / len(items))
            results.append(_result(function, item))
            arrived(index, results[-1])
        progress(f"{len(items)} of {len(items)} done", 1.0)
        return results

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def serial() -> Engine:
    """Runs items one after the other in this process; no worker can die, so only a MemoryError is a failed trial."""
    return _Serial()


def _result(function: Callable[[T], R], item: T) -> R | Failed:
    for _ in range(TRIES):
        made = attempt(function, item)
        if made.kind != "lost":
            break
    value: R | Failed = result(made)
    return value
