"""Ties: every index of every axis of every tensor has a number; what must go together is tied, what must stay is pinned."""

from __future__ import annotations

import numpy as np

from marram.core.graph import Array, Graph


class Ties:
    """A relation that grows: numbers, pairs that are tied, numbers that are pinned, and those whose dropping is inexact.

    Args:
        graph: shapes must be known.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.starts: dict[tuple[str, int], int] = {}
        count = 0
        for name, tensor in graph.tensors.items():
            for axis, size in enumerate(tensor.shape):
                self.starts[name, axis] = count
                count += size
        self._count = count
        self._pairs: list[tuple[Array, Array]] = []
        self._pinned: list[Array] = []
        self._inexact: list[Array] = []

    def rank(self, name: str) -> int:
        """Axes of a tensor."""
        return len(self.graph.tensors[name].shape)

    def size(self, name: str, axis: int) -> int:
        """Elements along one axis; -1 is the last."""
        return self.graph.tensors[name].shape[axis]

    def along(self, name: str, axis: int) -> Array:
        """The numbers of an axis' indices, in order: (size,) int64."""
        start = self.starts[name, axis % self.rank(name)]
        return np.arange(start, start + self.size(name, axis))

    def tie(self, a: Array, b: Array) -> None:
        """Numbers that stay or go together, pair by pair; shapes broadcast."""
        first, second = np.broadcast_arrays(a, b)
        self._pairs.append((first.ravel(), second.ravel()))

    def pin(self, name: str, *axes: int) -> None:
        """All indices of these axes stay."""
        self._pinned += [self.along(name, axis) for axis in axes]

    def pin_whole(self, name: str) -> None:
        """All indices of all axes stay."""
        self.pin(name, *range(self.rank(name)))

    def pin_numbers(self, numbers: Array) -> None:
        """These numbers stay."""
        self._pinned.append(numbers)

    def mark_inexact(self, numbers: Array) -> None:
        """Where one of these goes, what remains is computed otherwise than if it had been zero."""
        self._inexact.append(numbers)

    def solved(self) -> tuple[Array, Array, Array]:
        """For each number: the least one that it is tied to, whether that one is pinned, whether that one is inexact."""
        labels = _components(self._count, self._pairs)
        pinned, inexact = (np.zeros(self._count, np.bool_) for _ in range(2))
        for flags, marked in ((pinned, self._pinned), (inexact, self._inexact)):
            if marked:
                flags[labels[np.concatenate(marked)]] = True
        return labels, pinned[labels], inexact[labels]


def _components(count: int, pairs: list[tuple[Array, Array]]) -> Array:
    """The least number of each connected component, by hooking roots and halving paths."""
    labels = np.arange(count)
    if not pairs:
        return labels
    a, b = (np.concatenate(part) for part in zip(*pairs, strict=True))
    while True:
        first, second = labels[a], labels[b]
        apart = first != second
        if not apart.any():
            return labels
        a, b, first, second = a[apart], b[apart], first[apart], second[apart]
        np.minimum.at(labels, np.maximum(first, second), np.minimum(first, second))
        while not np.array_equal(jumped := labels[labels], labels):
            labels = jumped
