"""The port of engines: a function over many items, here, in processes or on a cluster, with the same results.

An engine gives each item to the function once, in a process that may die without harm to the others, and hands results back in
the order of the items. What the function computes must depend on its item alone; then the results are the same whatever the
engine and however many workers it has. The workers of ``processes`` and ``ray`` compute with one thread each; ``serial`` leaves
threads to the function, which wraps work in torch into ``model.training.loop.deterministic``.

What goes wrong in a trial, the same way in every engine:

- an exception ends the map, and is raised there as it was raised in the worker: of several the one of the earliest item, after
  all items before it are done;
- a worker that dies (killed, out of memory), or a MemoryError: the item is tried once more, then its result is ``Failed``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import msgspec

from marram.core.ports import Progress

T = TypeVar("T")
R = TypeVar("R")


class Failed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The result of an item whose worker died twice, and how."""

    reason: str


Arrived = Callable[[int, Any], None]
"""Called in the caller's thread with an item's index and its result, ``Failed`` included, as soon as it is there."""


def silent(_what: str, _part: float) -> None:
    """The progress that is told to nobody."""


def ignored(_index: int, _result: object) -> None:
    """The arrivals that nobody waits for."""


class Engine(Protocol):
    """Runs trials. A context manager: what it holds is given back at the end, at once if by an error or Ctrl-C."""

    def map(
        self,
        function: Callable[[T], R],
        items: Sequence[T],
        *,
        progress: Progress = silent,
        arrived: Arrived = ignored,
    ) -> list[R | Failed]:
        """The function's results, in the order of the items.

        Args:
            function: of a module, or a frozen struct with ``__call__``; what it holds is sent to each worker once.
            items: what can be pickled.
            progress: told how many items are done.
            arrived: told each result as it comes, in any order, so that it can be kept at once.

        Raises:
            UserError: the function or an item cannot be sent to a worker.
        """

    def close(self) -> None:
        """Give back what the engine holds. Safe to call twice."""

    def __enter__(self) -> Self:
        """The engine itself."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """``close``."""
