"""What pricing has found out already, for the caller to keep from one candidate to the next."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

import numpy as np

from marram.compile.c.answers import Answers
from marram.compile.c.families import Family
from marram.core.graph import Array, Graph

T = TypeVar("T")
_MOST_BYTES = 1 << 28
_MOST_ENTRIES = 200_000


class PriceCache:
    """Kernels' answers at places, loops of routines, and constants: all that recurs over the candidates of a search.

    Results do not depend on it. It is emptied by itself when it has grown large. Not for several threads at once.
    """

    def __init__(self) -> None:
        self._answers: dict[str, Answers] = {}
        self._arrays: dict[Hashable, Array] = {}
        self._found: dict[Hashable, object] = {}
        self._bytes = 0

    def answers(self, family: Family) -> Answers:
        """What a family has answered so far."""
        return self._answers.setdefault(family.name, Answers(family))

    def with_known_constants(self, graph: Graph) -> Graph:
        """The graph with arrays that are known already in place of equal ones: places are told apart by their identity."""
        graph.constants.update({name: self._known(values) for name, values in graph.constants.items()})
        return graph

    def _known(self, values: Array) -> Array:
        key = (values.dtype.str, values.shape, hash(np.ascontiguousarray(values).tobytes()))
        found = self._arrays.get(key)
        if found is not None and np.array_equal(found, values):
            return found
        self._grow(values.nbytes)
        self._arrays[key] = values
        return values

    def once(self, key: Hashable, make: Callable[[], T], *, size_bytes: int = 0) -> T:
        """What was made for the key before, or now."""
        if key not in self._found:
            self._grow(size_bytes)
            self._found[key] = make()
        return self._found[key]  # type: ignore[return-value]

    def _grow(self, size_bytes: int) -> None:
        self._bytes += size_bytes
        if self._bytes > _MOST_BYTES or len(self._found) > _MOST_ENTRIES:
            self._answers, self._arrays, self._found, self._bytes = {}, {}, {}, size_bytes
