"""Long recordings of several channels, cut into windows when they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
import numpy as np

from marram.core.errors import DataError
from marram.core.graph import Array
from marram.data.checks import refuse_unusable
from marram.data.dataset import HASH_BYTES, Dataset, SampleDType
from marram.data.layout import encode, nearest
from marram.data.resampling import resample


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """One uninterrupted recording under one label.

    ``signal`` is (steps, channels), real numbers; ``rate_hz`` None means the rate that the contract states.
    """

    signal: Array
    name: str
    label: str | None = None
    group: str | None = None
    rate_hz: float | None = None


class WindowSamples:
    """Windows of one length, each at a start within one of several signals.

    Args:
        signals: float32 (steps, channels) each.
        names: of the signals, for messages.
        recordings: int64 (N,), the signal of each window.
        starts: int64 (N,), its first step.
        steps: length of every window.
        rate_hz: steps a second.
    """

    dtype: SampleDType = "float32"

    def __init__(
        self, signals: Sequence[Array], names: Sequence[str], *, recordings: Array, starts: Array, steps: int, rate_hz: float
    ) -> None:
        self._signals = tuple(signals)
        self._names = tuple(names)
        self._recordings = recordings
        self._starts = starts
        self._steps = steps
        self._rate_hz = rate_hz
        self.shape: tuple[int, ...] = (steps, signals[0].shape[1])
        self.decoding = f"windows of {steps} steps at {rate_hz:g} Hz"

    def __len__(self) -> int:
        return len(self._starts)

    def read(self, indices: Array) -> Array:
        """Copy the windows out of their recordings."""
        batch = np.empty((len(indices), *self.shape), np.float32)
        for row, index in enumerate(indices):
            batch[row] = self._window(index)
        return batch

    def hashes(self, indices: Array) -> Array:
        """Hash the values of each window."""
        rows = np.empty((len(indices), HASH_BYTES), np.uint8)
        for row, index in enumerate(indices):
            digest = hashlib.sha256(np.ascontiguousarray(self._window(index), "<f4").tobytes()).digest()
            rows[row] = np.frombuffer(digest[:HASH_BYTES], np.uint8)
        return rows

    def name(self, index: int) -> str:
        """The recording and the seconds at which the window starts."""
        return f"{self._names[self._recordings[index]]} at {self._starts[index] / self._rate_hz:g} s"

    def duration_s(self, indices: Array) -> float | None:
        """Seconds covered by at least one window."""
        order = np.lexsort((self._starts[indices], self._recordings[indices]))
        recordings, starts = self._recordings[indices][order], self._starts[indices][order]
        gaps = np.where(recordings[1:] == recordings[:-1], starts[1:] - starts[:-1], self._steps)
        return float((np.minimum(gaps, self._steps).sum() + (self._steps if len(starts) else 0)) / self._rate_hz)

    def _window(self, index: int) -> Array:
        start = self._starts[index]
        signal = self._signals[self._recordings[index]]
        return np.asarray(signal[start : start + self._steps])


def cut(
    recordings: Sequence[Recording],
    *,
    rate_hz: float,
    window_s: float,
    stride_s: float | None = None,
    channels: tuple[str, ...],
    classes: Sequence[str] | None = None,
    group_name: str = "group",
    source: str,
) -> Dataset:
    """Windows of ``window_s`` seconds every ``stride_s`` seconds (None: no overlap) as a Dataset, float32.

    Recordings at another rate are resampled; those shorter than a window are left out and named in the remarks. Windows
    that overlap remember their recording, so that a split keeps them together.

    Raises:
        DataError: no recordings, none long enough, wrong channels, NaN, inf, or constant data.
    """
    if not recordings:
        raise DataError("holds no recordings", where=source)
    steps = max(1, round(window_s * rate_hz))
    stride = steps if stride_s is None else max(1, round(stride_s * rate_hz))
    _refuse_half_named(recordings, source)
    signals = [_signal(recording, rate_hz=rate_hz, channels=channels) for recording in recordings]
    refuse_unusable(signals, [recording.name for recording in recordings], channels=channels, source=source)
    kept = [number for number, signal in enumerate(signals) if len(signal) >= steps]
    if not kept:
        longest = max(len(signal) for signal in signals) / rate_hz
        raise DataError(
            f"no recording is as long as a window of {window_s:g} s; the longest has {longest:g} s",
            where=source,
            hint="Shorten window_s, or check rate_hz.",
        )
    counts = [(len(signals[number]) - steps) // stride + 1 for number in kept]
    index = np.repeat(np.arange(len(kept)), counts)
    starts = np.concatenate([np.arange(count) * stride for count in counts]).astype(np.int64)
    chosen = [recordings[number] for number in kept]
    labelled = None if chosen[0].label is None else [str(chosen[number].label) for number in index]
    targets, labels = encode(labelled, len(starts), declared=classes, source=source)
    grouped = None if chosen[0].group is None else [str(chosen[number].group) for number in index]
    return Dataset(
        WindowSamples(
            [signals[number] for number in kept],
            [recording.name for recording in chosen],
            recordings=index,
            starts=starts,
            steps=steps,
            rate_hz=rate_hz,
        ),
        targets=targets,
        labels=labels,
        groups=grouped,
        origins=index if stride < steps else None,
        group_name=group_name,
        channels=channels,
        remarks=_left_out(recordings, kept, window_s),
    )


def select_channels(names: Sequence[str], wanted: tuple[str, ...], *, source: str) -> list[int]:
    """Where each wanted channel stands among ``names``.

    Raises:
        DataError: one that the data lacks, with the nearest names.
    """
    known = list(names)
    for name in wanted:
        if name not in known:
            raise DataError(
                f"has no channel {name!r}",
                where=source,
                hint=f"It has: {', '.join(known)}.{nearest(name, known)} Correct [input] channels.",
            )
    return [known.index(name) for name in wanted]


def _signal(recording: Recording, *, rate_hz: float, channels: tuple[str, ...]) -> Array:
    signal = np.asarray(recording.signal)
    if signal.ndim != 2 or signal.shape[1] != len(channels):
        turned = " It looks transposed." if signal.ndim == 2 and signal.shape[0] == len(channels) else ""
        raise DataError(
            f"has shape {signal.shape}, not (steps, {len(channels)})",
            where=recording.name,
            hint=f"The contract's channels are {', '.join(channels)}.{turned}",
        )
    if signal.dtype.kind not in "iuf":
        raise DataError(f"holds {signal.dtype}, not numbers", where=recording.name)
    if recording.rate_hz is not None and recording.rate_hz != rate_hz and np.isfinite(signal).all():
        signal = resample(signal, source_hz=recording.rate_hz, target_hz=rate_hz)
    with np.errstate(over="ignore"):  # what overflows becomes inf and is refused as such
        return np.ascontiguousarray(signal, np.float32)


def _refuse_half_named(recordings: Sequence[Recording], source: str) -> None:
    for what, missing in (
        ("label", [recording.name for recording in recordings if recording.label is None]),
        ("group", [recording.name for recording in recordings if recording.group is None]),
    ):
        if 0 < len(missing) < len(recordings):
            raise DataError(f"{len(missing)} recordings have no {what}, the others have", where=f"{source}: {missing[0]}")


def _left_out(recordings: Sequence[Recording], kept: list[int], window_s: float) -> tuple[str, ...]:
    if len(kept) == len(recordings):
        return ()
    first = next(recording.name for number, recording in enumerate(recordings) if number not in set(kept))
    count = len(recordings) - len(kept)
    return (f"{count} of {len(recordings)} recordings are shorter than a window of {window_s:g} s and left out, first {first}",)
