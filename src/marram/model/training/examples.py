"""Where training takes its samples from: anything that has a length, batches and subsets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from marram.core.errors import DataError
from marram.core.graph import Array


class Examples(Protocol):
    """Samples with their targets; ``data.Dataset`` is one."""

    def __len__(self) -> int:
        """Number of samples."""

    def batches(self, size: int) -> Iterator[tuple[Array, Array]]:
        """Samples ``(B, ...)`` and class indices ``(B,)`` in order, ``size`` at a time, the last batch perhaps fewer."""

    def subset(self, indices: Array) -> Examples:
        """The samples of these indices, in their order."""


class ArrayExamples:
    """Examples held in memory, in the dtype they came in.

    Args:
        samples: ``(N, ...)``; 50,000 images stay uint8.
        targets: class indices ``(N,)``; None for reconstruction, which has no need of them.

    Raises:
        DataError: samples and targets differ in number.
    """

    def __init__(self, samples: Array, targets: Array | None = None) -> None:
        self._samples = samples
        self._targets = np.full(len(samples), -1, np.int64) if targets is None else np.asarray(targets, np.int64)
        self._order: Array = np.arange(len(samples))
        if self._targets.shape != (len(samples),):
            raise DataError(f"{len(samples)} samples have targets of shape {self._targets.shape}")

    def __len__(self) -> int:
        return len(self._order)

    def batches(self, size: int) -> Iterator[tuple[Array, Array]]:
        """As ``Examples.batches``."""
        for start in range(0, len(self._order), size):
            chosen = self._order[start : start + size]
            yield self._samples[chosen], self._targets[chosen]

    def subset(self, indices: Array) -> ArrayExamples:
        """As ``Examples.subset``; the arrays are shared."""
        part = ArrayExamples(self._samples, self._targets)
        part._order = self._order[indices]
        return part
