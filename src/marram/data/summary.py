"""What a report says of the data, taken in one pass over the samples and in bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from math import prod

import msgspec
import numpy as np

from marram.core.errors import DataError
from marram.core.graph import Array
from marram.core.ports import Progress
from marram.data.checks import refuse_not_finite
from marram.data.dataset import HASH_BYTES, PART_NAMES, Dataset
from marram.data.splitting import Split
from marram.sense.statistics import Moments

QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
VALUES_KEPT = 1 << 17
CHANNELS_SHOWN = 64
BATCH = 256


class PartSummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One part: its samples, those of each class (in the order of the labels), its groups, and its length in time."""

    name: str
    samples: int
    per_class: tuple[int, ...]
    groups: tuple[str, ...]
    duration_s: float | None


class ChannelSummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One channel over all samples. ``quantiles`` belong to ``QUANTILES``, taken from ``values`` evenly spread values."""

    name: str
    low: float
    high: float
    mean: float
    std: float
    quantiles: tuple[float, ...]
    values: int
    constant: bool


class DataSummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the data is. ``balance`` is the smallest class by the largest, 1 when all are equal, None without classes.

    ``duplicates`` counts samples whose decoded content another sample has before them; ``conflicting`` those among them
    with another class; ``still`` the samples that are one value throughout. ``left_out`` counts samples in no part.
    """

    digest: str
    samples: int
    sample_shape: tuple[int, ...]
    sample_dtype: str
    labels: tuple[str, ...]
    split_by: str
    seed: int
    held_out_groups: tuple[str, ...]
    parts: tuple[PartSummary, ...]
    channels: tuple[ChannelSummary, ...]
    balance: float | None
    duplicates: int
    conflicting: int
    still: int
    left_out: int
    duration_s: float | None
    remarks: tuple[str, ...]


def summarise(dataset: Dataset, split: Split, *, progress: Progress | None = None) -> DataSummary:
    """Read every sample once and describe the data and its parts.

    Raises:
        DataError: a sample with NaN or inf, or all samples one and the same value.
    """
    tally = _Tally(dataset)
    done = 0
    for samples, _ in dataset.batches(BATCH):
        tally.add(samples, done)
        done += len(samples)
        if progress is not None:
            progress("summarising the data", done / len(dataset))
    channels = tally.channels()
    if channels and all(channel.constant for channel in channels) and len({channel.low for channel in channels}) == 1:
        raise DataError(f"every value is {channels[0].low:g}: there is nothing to learn", where=dataset.name(0))
    duplicates, conflicting, leaking = tally.duplicates(split)
    counts = np.bincount(dataset.targets[dataset.targets >= 0], minlength=len(dataset.labels))
    return DataSummary(
        digest=dataset.digest,
        samples=len(dataset),
        sample_shape=dataset.sample_shape,
        sample_dtype=dataset.sample_dtype,
        labels=dataset.labels,
        split_by=split.by,
        seed=split.seed,
        held_out_groups=split.held_out_groups,
        parts=tuple(_part(dataset, name, positions) for name, positions in zip(PART_NAMES, split.parts, strict=True)),
        channels=channels,
        balance=float(counts.min() / counts.max()) if dataset.labels and counts.max() else None,
        duplicates=duplicates,
        conflicting=conflicting,
        still=tally.still,
        left_out=len(dataset) - sum(map(len, split.parts)),
        duration_s=dataset.duration_s,
        remarks=dataset.remarks + split.remarks + _remarks(channels, conflicting, leaking),
    )


class _Tally:
    """What one pass gathers: moments, spread values for quantiles, and a hash of each decoded sample."""

    def __init__(self, dataset: Dataset) -> None:
        shape = dataset.sample_shape
        self._dataset = dataset
        self._width = shape[-1] if len(shape) > 1 and shape[-1] <= CHANNELS_SHOWN else 1
        self._moments = Moments(self._width)
        rows = len(dataset) * prod(shape) // self._width
        self._step = _step(rows, prod(shape) // self._width)
        self._seen = 0
        self._values: list[Array] = []
        self._hashes = np.empty((len(dataset), HASH_BYTES), np.uint8)
        self.still = 0

    def add(self, samples: Array, position: int) -> None:
        """Take in a batch whose first sample has this position."""
        if samples.dtype.kind == "f" and not np.isfinite(samples).all():
            for row, sample in enumerate(samples):
                refuse_not_finite(sample, where=self._dataset.name(position + row), channels=self._dataset.channels)
        for row, sample in enumerate(samples):
            digest = hashlib.sha256(np.ascontiguousarray(sample).tobytes()).digest()
            self._hashes[position + row] = np.frombuffer(digest[:HASH_BYTES], np.uint8)
        flat = samples.reshape(len(samples), -1)
        self.still += int((flat == flat[:, :1]).all(axis=1).sum())
        rows = samples.reshape(-1, self._width)
        self._moments.add(rows)
        self._values.append(np.array(rows[-self._seen % self._step :: self._step]))
        self._seen += len(rows)

    def channels(self) -> tuple[ChannelSummary, ...]:
        """The summary of each channel."""
        if not self._seen:
            return ()
        values = np.concatenate(self._values)
        quantiles = np.quantile(values.astype(np.float64), QUANTILES, axis=0)
        moments, names = self._moments, self._dataset.channels
        return tuple(
            ChannelSummary(
                name=names[index] if len(names) == self._width else str(index),
                low=float(moments.low[index]),
                high=float(moments.high[index]),
                mean=float(moments.mean[index]),
                std=float(moments.std[index]),
                quantiles=tuple(quantiles[:, index].tolist()),
                values=len(values),
                constant=bool(moments.low[index] == moments.high[index]),
            )
            for index in range(self._width)
        )

    def duplicates(self, split: Split) -> tuple[int, int, int]:
        """Samples seen before, those of them with another class, and contents that stand in two parts."""
        rows = np.ascontiguousarray(self._hashes).view(f"V{HASH_BYTES}").ravel()
        _, leads, ids = np.unique(rows, return_index=True, return_inverse=True)
        again = np.flatnonzero(leads[ids] != np.arange(len(ids)))
        targets = self._dataset.targets
        conflicting = int((targets[again] != targets[leads[ids[again]]]).sum())
        held = [set(ids[positions].tolist()) for positions in split.parts]
        leaking = len((held[0] & held[1]) | (held[0] & held[2]) | (held[1] & held[2]))
        return len(again), conflicting, leaking


def _step(rows: int, rows_each: int) -> int:
    """Distance of the values kept: about ``VALUES_KEPT`` in all, and never in step with the samples."""
    step = max(1, -(-rows // VALUES_KEPT))
    while step > 1 and np.gcd(step, rows_each) != 1:
        step += 1
    return step


def _part(dataset: Dataset, name: str, positions: Array) -> PartSummary:
    part = dataset.subset(positions)
    counts = np.bincount(part.targets[part.targets >= 0], minlength=len(dataset.labels))
    return PartSummary(
        name=name,
        samples=len(part),
        per_class=tuple(counts.tolist()),
        groups=() if part.groups is None else tuple(sorted(set(part.groups))),
        duration_s=part.duration_s,
    )


def _remarks(channels: Sequence[ChannelSummary], conflicting: int, leaking: int) -> tuple[str, ...]:
    remarks = [f"channel {channel.name} is {channel.low:g} throughout" for channel in channels if channel.constant]
    if conflicting:
        remarks.append(f"{conflicting} samples have the content of another sample and a different class")
    if leaking:
        remarks.append(f"{leaking} contents stand in two parts once decoded, in files that differ")
    return tuple(remarks)
