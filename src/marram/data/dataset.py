"""The Dataset: labelled samples that are decoded when they are read, not before.

A ``Dataset`` is a view (an index array) on ``Samples``, which know how to decode. So a subset costs nothing, and a folder of
60,000 images costs its list of names. Every sample has the hash of its stored bytes; from these follow the ``digest``, the
search for duplicates and the split, none of which depends on the order in which files were listed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal, Protocol

import numpy as np

from marram.core.errors import DataError
from marram.core.graph import Array

SampleDType = Literal["uint8", "int16", "float32"]
SAMPLE_DTYPES: tuple[SampleDType, ...] = ("uint8", "int16", "float32")
HASH_BYTES = 16

TRAINING, VALIDATION, TEST = 0, 1, 2
PART_NAMES = ("training", "validation", "test")


class Samples(Protocol):
    """Samples of one shape and dtype that can be decoded in any order.

    ``decoding`` describes, as text, all that turns stored bytes into values: with the hashes it fixes the values.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""

    @property
    def dtype(self) -> SampleDType:
        """Dtype of the samples."""

    @property
    def decoding(self) -> str:
        """How stored bytes become values."""

    def __len__(self) -> int:
        """How many there are."""

    def read(self, indices: Array) -> Array:
        """Decode the samples of these indices: (len(indices), *shape). Raises DataError naming the bad one."""

    def hashes(self, indices: Array) -> Array:
        """First 16 bytes of the SHA-256 of each sample's stored bytes: (len(indices), 16) uint8."""

    def name(self, index: int) -> str:
        """Where a sample comes from, for a person: file, recording or row."""

    def duration_s(self, indices: Array) -> float | None:
        """Seconds of signal that these samples cover, overlaps counted once; None where time has no meaning."""


class Dataset:
    """Samples with their targets, groups and, if the source has one, its own split. Never changed after it is made.

    Args:
        samples: what decodes.
        targets: int64 (N,), class index of each of ``samples``; -1 where there is none.
        labels: class names by index; () when there are no classes. Sorted unless the source declares an order.
        groups: person, speaker, device ... of each sample; None when unknown.
        parts: int8 (N,), ``TRAINING``, ``VALIDATION`` or ``TEST`` as the source itself declares; None when it does not.
        origins: int64 (N,), the recording that each sample was cut from; None when samples share nothing.
        group_name: what a group is, for messages: ``subject``, ``speaker`` ...
        channels: names of the last axis; () when they have none.
        remarks: what a person should know of how it was read, for instance recordings that were left out.

    Raises:
        DataError: counts that disagree, or a target outside the labels.
    """

    def __init__(
        self,
        samples: Samples,
        *,
        targets: Array,
        labels: tuple[str, ...],
        groups: Sequence[str] | None = None,
        parts: Array | None = None,
        origins: Array | None = None,
        group_name: str = "group",
        channels: tuple[str, ...] = (),
        remarks: tuple[str, ...] = (),
        _indices: Array | None = None,
    ) -> None:
        indices = np.arange(len(samples), dtype=np.int64) if _indices is None else _indices
        self.samples = samples
        self.indices = indices
        self.labels = labels
        self.targets = _checked_targets(targets, labels, len(indices))
        self.groups = None if groups is None else tuple(groups)
        self.parts = None if parts is None else np.array(parts, np.int8)
        self.origins = None if origins is None else np.array(origins, np.int64)
        self.group_name = group_name
        self.channels = channels
        self.remarks = remarks
        for what, value in (("groups", self.groups), ("parts", self.parts), ("origins", self.origins)):
            if value is not None and len(value) != len(indices):
                raise DataError(f"{len(indices)} samples, but {len(value)} {what}", hint="Give one entry for each sample.")

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample, for instance (32, 32, 3) or (200, 6)."""
        return self.samples.shape

    @property
    def sample_dtype(self) -> SampleDType:
        """Dtype of the samples as they are stored."""
        return self.samples.dtype

    def __len__(self) -> int:
        return len(self.indices)

    def batches(self, size: int) -> Iterator[tuple[Array, Array]]:
        """Samples (B, *sample_shape) and targets (B,) in order, ``size`` at a time; the last batch may be smaller."""
        if size < 1:
            raise DataError(f"a batch needs at least one sample, not {size}")
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield self.samples.read(self.indices[part]), self.targets[part]

    def subset(self, indices: Array) -> Dataset:
        """The samples of these positions, in this order; nothing is decoded.

        Raises:
            DataError: a position that the dataset does not have.
        """
        chosen = np.asarray(indices)
        if chosen.dtype == np.bool_:
            chosen = np.flatnonzero(chosen)
        chosen = chosen.astype(np.int64)
        if chosen.size and (chosen.min() < 0 or chosen.max() >= len(self)):
            raise DataError(f"the dataset has samples 0 to {len(self) - 1}; the subset asks for another")
        return Dataset(
            self.samples,
            targets=self.targets[chosen],
            labels=self.labels,
            groups=None if self.groups is None else [self.groups[index] for index in chosen],
            parts=None if self.parts is None else self.parts[chosen],
            origins=None if self.origins is None else self.origins[chosen],
            group_name=self.group_name,
            channels=self.channels,
            remarks=self.remarks,
            _indices=self.indices[chosen],
        )

    def with_samples(self, samples: Samples) -> Dataset:
        """The same dataset decoded by other means, for instance from a cache. ``samples`` must have the same indices."""
        return Dataset(
            samples,
            targets=self.targets,
            labels=self.labels,
            groups=self.groups,
            parts=self.parts,
            origins=self.origins,
            group_name=self.group_name,
            channels=self.channels,
            remarks=self.remarks,
            _indices=self.indices,
        )

    def name(self, position: int) -> str:
        """Where a sample comes from, for a person."""
        return self.samples.name(int(self.indices[position]))

    @cached_property
    def hashes(self) -> Array:
        """Hash of each sample's stored bytes: (N, 16) uint8. The first use reads all files."""
        return self.samples.hashes(self.indices)

    @cached_property
    def digest(self) -> str:
        """Content hash of samples, targets, groups and declared parts; the order of samples and their paths do not enter."""
        head = repr((self.sample_shape, self.sample_dtype, self.samples.decoding, self.labels, self.channels))
        rows = sorted(
            hashlib.sha256(
                self.hashes[index].tobytes() + repr((int(self.targets[index]), self._group(index), self._part(index))).encode()
            ).digest()
            for index in range(len(self))
        )
        return "sha256:" + hashlib.sha256(head.encode() + b"\0" + b"".join(rows)).hexdigest()

    @property
    def duration_s(self) -> float | None:
        """Seconds of signal that the samples cover, overlaps counted once; None where time has no meaning."""
        return self.samples.duration_s(self.indices)

    def _group(self, index: int) -> str | None:
        return None if self.groups is None else self.groups[index]

    def _part(self, index: int) -> int | None:
        return None if self.parts is None else int(self.parts[index])


class ArraySamples:
    """Samples that stand in one array, in memory or memory-mapped.

    Args:
        array: (N, *shape) of a sample dtype.
        source: where they come from, for messages.
        rate_hz: time steps a second along the first axis of a sample; None where time has no meaning.
    """

    decoding = "array"

    def __init__(self, array: Array, *, source: str = "array", rate_hz: float | None = None) -> None:
        self._array = array
        self._source = source
        self._rate_hz = rate_hz
        self.shape: tuple[int, ...] = tuple(array.shape[1:])
        self.dtype: SampleDType = sample_dtype(array, source)

    def __len__(self) -> int:
        return len(self._array)

    def read(self, indices: Array) -> Array:
        """Copy the samples of these indices."""
        return np.asarray(self._array[indices])

    def hashes(self, indices: Array) -> Array:
        """Hash each sample's little-endian bytes."""
        return np.stack([_hash(self._array[index]) for index in indices]) if len(indices) else _no_hashes()

    def name(self, index: int) -> str:
        """The source and the row."""
        return f"{self._source}, sample {index}"

    def duration_s(self, indices: Array) -> float | None:
        """Sum of the samples' lengths."""
        return None if self._rate_hz is None else len(indices) * self.shape[0] / self._rate_hz


def in_memory(
    x: Array,
    y: Array | Sequence[int] | None = None,
    *,
    labels: tuple[str, ...] = (),
    groups: Sequence[str] | None = None,
    source: str = "array",
) -> Dataset:
    """A Dataset of arrays.

    Args:
        x: (N, *sample_shape), uint8, int16 or float32.
        y: class indices (N,); None when there are no classes.
        labels: class names by index; the numbers themselves as text when not given.
        groups: of each sample.
        source: where they come from, for messages.
    """
    targets = np.full(len(x), -1, np.int64) if y is None else np.asarray(y, np.int64)
    if not labels and targets.size and targets.max() >= 0:
        labels = tuple(str(number) for number in range(int(targets.max()) + 1))
    return Dataset(ArraySamples(np.asarray(x), source=source), targets=targets, labels=labels, groups=groups)


def sample_dtype(array: Array, source: str) -> SampleDType:
    """The array's dtype if samples may have it.

    Raises:
        DataError: they may not.
    """
    for name in SAMPLE_DTYPES:
        if array.dtype == np.dtype(name):
            return name
    raise DataError(
        f"samples of dtype {array.dtype} are not taken",
        where=source,
        hint=f"Convert them to one of: {', '.join(SAMPLE_DTYPES)}.",
    )


def _checked_targets(targets: Array, labels: tuple[str, ...], count: int) -> Array:
    found = np.array(targets, np.int64)
    if found.shape != (count,):
        raise DataError(f"{count} samples, but targets of shape {found.shape}", hint="Give one target for each sample.")
    if len(set(labels)) != len(labels):
        raise DataError("two classes have the same name", hint=f"Names: {', '.join(labels)}")
    outside = np.flatnonzero((found < -1) | (found >= len(labels)))
    if outside.size:
        raise DataError(
            f"sample {outside[0]} has class {found[outside[0]]}, but there are {len(labels)} classes, 0 to {len(labels) - 1}",
            hint="Targets are class indices, or -1 where there is none.",
        )
    return found


def _hash(sample: Array) -> Array:
    little = np.ascontiguousarray(sample, dtype=sample.dtype.newbyteorder("<"))
    return np.frombuffer(hashlib.sha256(little.tobytes()).digest()[:HASH_BYTES], np.uint8)


def _no_hashes() -> Array:
    return np.zeros((0, HASH_BYTES), np.uint8)
