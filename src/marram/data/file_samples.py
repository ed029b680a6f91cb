"""Samples that are one file each, decoded when they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from marram.core.graph import Array
from marram.data.dataset import HASH_BYTES, SampleDType
from marram.data.files import Files

Decode = Callable[[bytes, str], Array]
"""From a file's content and its place (for messages) to one sample. Raises DataError naming the place."""


class FileSamples:
    """Files decoded one by one.

    Args:
        files: where they are.
        names: which of them, one for each sample.
        decode: how.
        decoding: the same as text, with every setting that changes a value.
        shape: of what ``decode`` returns.
        dtype: of what ``decode`` returns.
        seconds_each: length of a sample in time; None where time has no meaning.
    """

    def __init__(
        self,
        files: Files,
        names: Sequence[str],
        *,
        decode: Decode,
        decoding: str,
        shape: tuple[int, ...],
        dtype: SampleDType,
        seconds_each: float | None = None,
    ) -> None:
        self._files = files
        self._names = tuple(names)
        self._decode = decode
        self._seconds_each = seconds_each
        self.decoding = decoding
        self.shape = shape
        self.dtype: SampleDType = dtype

    def __len__(self) -> int:
        return len(self._names)

    def read(self, indices: Array) -> Array:
        """Read and decode these files, one after the other."""
        batch = np.empty((len(indices), *self.shape), self.dtype)
        for row, index in enumerate(indices):
            name = self._names[index]
            batch[row] = self._decode(self._files.read(name), self._files.where(name))
        return batch

    def hashes(self, indices: Array) -> Array:
        """Hash the files' content."""
        rows = np.empty((len(indices), HASH_BYTES), np.uint8)
        for row, index in enumerate(indices):
            digest = hashlib.sha256(self._files.read(self._names[index])).digest()
            rows[row] = np.frombuffer(digest[:HASH_BYTES], np.uint8)
        return rows

    def stamp(self) -> str:
        """Changes when a file changes its name, size or time: what remembered hashes are held against."""
        ledger = hashlib.sha256()
        for name in self._names:
            ledger.update(repr((name, self._files.stamp(name))).encode())
        return ledger.hexdigest()

    def name(self, index: int) -> str:
        """The file."""
        return self._files.where(self._names[index])

    def duration_s(self, indices: Array) -> float | None:
        """Sum of the samples' lengths."""
        return None if self._seconds_each is None else len(indices) * self._seconds_each
