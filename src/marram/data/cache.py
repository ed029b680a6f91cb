"""Decoded samples kept in one memory-mapped ``.npy`` for each dataset, so that files are decoded once.

The name of a cache file is the hash of the samples' content in order and of the decoding, so a stale one is never read. It is
written under a lock to a ``.part`` file, synced and renamed: after a kill the next run starts it anew. Hashes of files are
remembered too, by name, size and time of change.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from marram.core.durable import write_atomically
from marram.core.errors import UserError
from marram.core.graph import Array
from marram.core.ports import Progress
from marram.data.dataset import HASH_BYTES, Dataset, SampleDType
from marram.data.file_samples import FileSamples

BATCH = 256


def cached(dataset: Dataset, folder: Path, *, progress: Progress | None = None) -> Dataset:
    """The dataset with its files decoded into ``folder`` at the first read, and read from there after it.

    A dataset whose samples already stand in memory comes back as it is.
    """
    if not isinstance(dataset.samples, FileSamples):
        return dataset
    return dataset.with_samples(CachedSamples(dataset.samples, folder, progress=progress))


class CachedSamples:
    """Samples that are decoded by ``source`` at most once.

    Args:
        source: what decodes.
        folder: where the decoded samples are kept; made when it is needed.
        progress: told how far decoding is.
    """

    def __init__(self, source: FileSamples, folder: Path, *, progress: Progress | None = None) -> None:
        self._source = source
        self._folder = folder
        self._progress = progress
        self._decoded: Array | None = None
        self._all_hashes: Array | None = None
        self.shape: tuple[int, ...] = source.shape
        self.dtype: SampleDType = source.dtype
        self.decoding = source.decoding

    def __len__(self) -> int:
        return len(self._source)

    def read(self, indices: Array) -> Array:
        """Copy the samples out of the cache; the first call fills it."""
        if self._decoded is None:
            self._decoded = self._open_or_fill()
        return np.asarray(self._decoded[indices])

    def hashes(self, indices: Array) -> Array:
        """Hashes of the files, remembered while their names, sizes and times stay."""
        if self._all_hashes is None:
            self._all_hashes = self._remembered_hashes()
        return np.asarray(self._all_hashes[indices])

    def name(self, index: int) -> str:
        """The file."""
        return self._source.name(index)

    def duration_s(self, indices: Array) -> float | None:
        """Sum of the samples' lengths."""
        return self._source.duration_s(indices)

    def _remembered_hashes(self) -> Array:
        path = self._folder / f"hashes-{self._source.stamp()[:32]}.npy"
        kept = _opened(path, (len(self), HASH_BYTES), np.dtype(np.uint8))
        if kept is not None:
            return np.array(kept)
        hashes = self._source.hashes(np.arange(len(self)))
        stream = io.BytesIO()
        np.save(stream, hashes)
        write_atomically(path, stream.getvalue())
        return hashes

    def _open_or_fill(self) -> Array:
        content = self.hashes(np.arange(len(self))).tobytes() + repr((self.decoding, self.shape, self.dtype)).encode()
        path = self._folder / f"samples-{hashlib.sha256(content).hexdigest()[:32]}.npy"
        shape, dtype = (len(self), *self.shape), np.dtype(self.dtype)
        with _locked(path.with_suffix(".lock")):
            kept = _opened(path, shape, dtype)
            if kept is None:
                self._fill(path, shape, dtype)
                kept = _opened(path, shape, dtype)
        if kept is None:
            raise UserError("cannot be read back", where=str(path), hint="Check the disk, or build without a cache.")
        return kept

    def _fill(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
        """Decode all into ``path``. Written as a stream: a full disk is then an error and not a signal."""
        part = path.with_suffix(".part")
        try:
            with part.open("wb") as stream:
                header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(stream, header)
                for start in range(0, len(self), BATCH):
                    indices = np.arange(start, min(start + BATCH, len(self)))
                    stream.write(np.ascontiguousarray(self._source.read(indices), dtype).tobytes())
                    if self._progress is not None:
                        self._progress("decoding", (int(indices[-1]) + 1) / len(self))
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(path)
        except OSError as error:
            raise _unwritable(path, error) from error
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Only one process at a time is inside; a killed one lets go."""
    import fcntl

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("ab")
    except OSError as error:
        raise _unwritable(path, error) from error
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"the cache cannot be written: {error.strerror or error}",
        where=str(path.parent),
        hint="Free space or choose another cache folder.",
    )


def _opened(path: Path, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Array | None:
    """The memory-mapped array, or None when it is not there or not as expected."""
    try:
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape == shape and array.dtype == dtype else None
