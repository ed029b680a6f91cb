"""Mean and deviation of each channel in one pass over batches.

Source: Chan, Golub, LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample Variances, 1979.
"""

from __future__ import annotations

import numpy as np

from marram.core.graph import Array


class Moments:
    """Count, mean, standard deviation, minimum and maximum of each channel, grown batch by batch.

    Args:
        channels: size of the last axis; 1 takes every value of a batch as one channel.
    """

    def __init__(self, channels: int) -> None:
        self.count = 0
        self.mean: Array = np.zeros(channels)
        self.low: Array = np.full(channels, np.inf)
        self.high: Array = np.full(channels, -np.inf)
        self._squares: Array = np.zeros(channels)

    def add(self, batch: Array) -> None:
        """Take in a batch whose last axis is the channels."""
        rows = np.asarray(batch).reshape(-1, len(self.mean))
        if not len(rows):
            return
        values = np.array(rows.T, np.float64, order="C")  # a copy, so that sums run along memory
        count = len(rows)
        mean = values.mean(axis=1)
        shift = mean - self.mean
        total = self.count + count
        self.low = np.minimum(self.low, values.min(axis=1))
        self.high = np.maximum(self.high, values.max(axis=1))
        values -= mean[:, None]
        self._squares += np.square(values).sum(axis=1) + shift**2 * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.count = total

    @property
    def std(self) -> Array:
        """Population standard deviation of each channel; 0 before the first batch."""
        return np.sqrt(self._squares / max(1, self.count))
