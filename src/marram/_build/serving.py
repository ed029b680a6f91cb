"""``marram run``: a bundle's answers to samples in files, on this machine, through the very engine that a device uses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from marram._build.running import runner_here
from marram._build.trusting import trusted_keys
from marram.bundle import open as open_bundle
from marram.core.errors import DataError, UserError
from marram.core.graph import Array
from marram.data.readers import audio, images
from marram.runtime import Engine, preprocess_of
from marram.sense import AudioPreprocess, ImagePreprocess, Preprocess

_ARRAY_SUFFIXES = (".csv", ".npy")


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model said of one input file: the class and its score, and the scores of all classes by name."""

    input: str
    label: str
    score: float
    scores: dict[str, float]


def run(bundle: str | Path, inputs: Sequence[str | Path], *, trust: Sequence[str | Path] = ()) -> tuple[Answer, ...]:
    """Run a bundle on files.

    Args:
        bundle: the ``.mrm`` file.
        inputs: one sample each: an image, a ``.wav`` or ``.flac``, a ``.npy`` or a ``.csv`` without header.
        trust: public key files; those of the bundle's own project if none are given.

    Raises:
        IntegrityError: the bundle cannot be trusted or does not answer its golden vectors.
        DataError: a file that is no sample for this model.
    """
    opened = open_bundle(bundle, trusted_keys(Path(bundle), trust))
    preprocess = preprocess_of(opened)
    with Engine(opened, runner=runner_here(opened.program)) as engine:
        answers = []
        for path in inputs:
            prediction = engine.predict(read_sample(Path(path), preprocess))
            names = opened.manifest.labels or tuple(str(index) for index in range(len(prediction.scores)))
            answers.append(
                Answer(
                    input=str(path),
                    label=names[prediction.index],
                    score=prediction.score,
                    scores=dict(zip(names, prediction.scores.tolist(), strict=True)),
                )
            )
    return tuple(answers)


def read_sample(path: Path, preprocess: Preprocess | None) -> Array:
    """One sample from a file, as the preprocessing takes it, without a batch axis.

    Raises:
        UserError: there is no such file.
        DataError: it cannot be read as such a sample.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    if path.suffix.lower() in _ARRAY_SUFFIXES:
        return _array(path)
    if isinstance(preprocess, ImagePreprocess):
        return images.decode(data, size=None, channels=preprocess.channels, where=str(path))
    if isinstance(preprocess, AudioPreprocess):
        return audio.decode(data, rate_hz=preprocess.rate_hz, samples=preprocess.samples, where=str(path))
    raise DataError("this model takes arrays", where=str(path), hint=f"Give a file of {' or '.join(_ARRAY_SUFFIXES)}.")


def _array(path: Path) -> Array:
    try:
        if path.suffix.lower() == ".csv":
            return np.loadtxt(path, delimiter=",", dtype=np.float32, ndmin=2)
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"is no array: {error}", where=str(path)) from error
