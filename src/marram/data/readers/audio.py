"""Sound clips in a folder or zip archive, by class folder or by a pattern such as ``{label}_{group}_{index}.wav``.

Every clip becomes int16 (samples,): mono (mean of the channels), at one rate, of one length; the beginning is kept, a short
clip is filled up with zeros at its end. PCM of 16 bits, mono and at that rate, keeps its very values.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from marram.core.errors import DataError, MissingExtra
from marram.core.graph import Array
from marram.data.dataset import Dataset
from marram.data.file_samples import FileSamples
from marram.data.files import Files
from marram.data.readers.labelled import labelled_files
from marram.data.resampling import input_steps, resample

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".aiff", ".aif"})


def read(
    path: Path,
    *,
    rate_hz: int,
    samples: int,
    pattern: str | None = None,
    group: str | None = None,
    classes: Sequence[str] | None = None,
) -> Dataset:
    """The clips under a folder or in a zip archive; nothing is decoded yet.

    Args:
        path: the folder or archive.
        rate_hz: rate of the clips after reading.
        samples: length of the clips after reading.
        pattern: of file names, as ``layout.by_pattern`` says; None reads classes from folders.
        group: the pattern's field that is the group.
        classes: declared class names, in order; None takes those found, sorted.

    Raises:
        DataError: no clips, no classes, or names that fit neither.
    """

    def clips(files: Files, names: tuple[str, ...]) -> FileSamples:
        return FileSamples(
            files,
            names,
            decode=partial(_decode_at, rate_hz=rate_hz, samples=samples),
            decoding=f"sound {rate_hz} Hz {samples} samples mono",
            shape=(samples,),
            dtype="int16",
            seconds_each=samples / rate_hz,
        )

    return labelled_files(path, clips, suffixes=SUFFIXES, pattern=pattern, group=group, classes=classes)


def decode(data: bytes, *, rate_hz: int, samples: int, where: str) -> Array:
    """One clip: int16 (samples,). Only what can reach the clip is read, however long the file.

    Raises:
        DataError: not a sound file, damaged, empty, or with NaN.
        MissingExtra: soundfile is not installed.
    """
    try:
        import soundfile
    except ImportError as error:
        raise MissingExtra("soundfile", extra="build") from error
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as stream:
            steps = input_steps(samples, source_hz=stream.samplerate, target_hz=rate_hz)
            sound = stream.read(frames=min(steps, stream.frames), dtype="float64", always_2d=True)
            source_hz = stream.samplerate
    except (soundfile.SoundFileError, OSError, ValueError, TypeError, MemoryError) as error:
        raise DataError(f"not a readable sound file: {error}", where=where, hint="Repair or remove the file.") from error
    if not len(sound):
        raise DataError("holds no sound", where=where, hint="Remove the file.")
    if not np.isfinite(sound).all():
        raise DataError("holds NaN or infinite values", where=where, hint="Repair or remove the file.")
    return _fitted(resample(sound.mean(axis=1), source_hz=source_hz, target_hz=rate_hz), samples)


def _fitted(sound: Array, samples: int) -> Array:
    """int16, rounded half away from zero and saturated, cut or filled to ``samples``."""
    scaled = sound[:samples] * 32768.0
    rounded = np.trunc(scaled + np.copysign(0.5, scaled))
    clip = np.zeros(samples, np.int16)
    clip[: len(rounded)] = np.clip(rounded, -32768, 32767)
    return clip


def _decode_at(data: bytes, where: str, *, rate_hz: int, samples: int) -> Array:
    return decode(data, rate_hz=rate_hz, samples=samples, where=where)
