"""The engine: a bundle becomes a running model, after it has answered its golden vectors as it did where it was built."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import msgspec
import numpy as np

from marram.core.errors import DataError, DeviceError, IntegrityError, UserError
from marram.core.graph import Array
from marram.core.manifest import Bundle, Golden
from marram.core.ports import Runner, Session
from marram.core.program import Program
from marram.runtime.backends import runner as runner_of
from marram.sense import Preprocess
from marram.sense.feeding import feed, reals

_FLOAT_INPUT_TOLERANCE = 1e-4  # of float preprocessing, relative to values of about one: another processor's rounding
_SIGNAL_STEPS = 1  # what that rounding can do to an integer input


class Prediction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer: the ``index`` of the largest score, its ``label`` (None if the bundle has no labels), and all ``scores``."""

    label: str | None
    index: int
    score: float
    scores: Array


class Engine:
    """A bundle's model, loaded, proven and ready. One caller at a time; a context manager.

    Args:
        bundle: opened by ``marram.bundle.open``.
        threads: how many the runtime may use.
        runner: what runs the program; the runtime that the bundle names, on this machine, if none is given.

    Raises:
        IntegrityError: the model does not answer its golden vectors as it should, or its blob is not a model.
        MissingExtra: the runtime is not installed.

    Example::

        with Engine(bundle.open("watch.mrm", trust=(key,))) as engine:
            print(engine.predict(window).label)
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1, runner: Runner | None = None) -> None:
        self.bundle = bundle
        self._preprocess = preprocess_of(bundle)
        self._session: Session | None = None
        session = (runner or runner_of(bundle.program.runtime)).open(bundle.program, threads=threads)
        try:
            _prove(session, bundle, self._preprocess)
        except BaseException:
            session.close()
            raise
        self._session = session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give back what the model holds. Safe to call twice."""
        if self._session is not None:
            self._session.close()
        self._session = None

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """One inference on arrays of the program's own shapes and dtypes.

        Raises:
            UserError: other shapes, dtypes or numbers of arrays, or a closed engine.
            DeviceError: the runtime failed.
        """
        if self._session is None:
            raise UserError("the engine is closed")
        return self._session.run(inputs)

    def predict(self, sample: Array) -> Prediction:
        """The answer to one raw sample, as the sensor or file gives it, without a batch axis.

        Raises:
            DataError: the sample is not what the model takes.
            UserError: the model has several inputs, or the engine is closed.
            DeviceError: the runtime failed, or answered with NaN.
        """
        (only,) = self.predict_batch(np.asarray(sample)[np.newaxis])
        return only

    def predict_batch(self, samples: Array) -> tuple[Prediction, ...]:
        """The answers to raw samples (N, ...); errors as ``predict``."""
        program = self.bundle.program
        if len(program.inputs) != 1:
            raise UserError(f"the model takes {len(program.inputs)} inputs; use run", where=program.target)
        if not isinstance(samples, np.ndarray) or samples.ndim < 2 or not len(samples):
            raise DataError("samples are an array (N, ...) with at least one of them", where="samples")
        batch = feed(self._preprocess, samples, program.inputs[0])
        return tuple(self._prediction(self.run([batch[index : index + 1]])[0]) for index in range(len(batch)))

    def _prediction(self, output: Array) -> Prediction:
        scores = reals(output, self.bundle.program.outputs[0]).reshape(-1)
        if np.isnan(scores).any():
            raise DeviceError("the model answered with NaN", where=self.bundle.program.target)
        index = int(scores.argmax())
        labels = self.bundle.manifest.labels
        return Prediction(
            label=labels[index] if index < len(labels) else None, index=index, score=float(scores[index]), scores=scores
        )


def preprocess_of(bundle: Bundle) -> Preprocess | None:
    """The bundle's preprocessing, None if it takes inputs as they are.

    Raises:
        IntegrityError: the manifest holds none that this version knows.
    """
    if bundle.manifest.preprocess is None:
        return None
    try:
        return msgspec.convert(bundle.manifest.preprocess, Preprocess)  # type: ignore[no-any-return]
    except (msgspec.ValidationError, UserError) as error:
        raise IntegrityError(f"the preprocessing is none that this version knows: {error}", where="manifest.json") from error


def golden_outputs(session: Session, program: Program, golden: Golden) -> tuple[Array, ...]:
    """What a loaded program answers to golden vectors, stacked as they are."""
    rows = [session.run([array[index : index + 1] for array in golden.inputs]) for index in range(len(golden.inputs[0]))]
    return tuple(
        np.concatenate(parts).reshape(len(rows), *tensor.shape[1:])
        for parts, tensor in zip(zip(*rows, strict=True), program.outputs, strict=True)
    )


def _prove(session: Session, bundle: Bundle, preprocess: Preprocess | None) -> None:
    """Hold preprocessing and model against the golden vectors."""
    golden = bundle.golden
    if golden.samples is not None:
        _prove_inputs(feed(preprocess, golden.samples, bundle.program.inputs[0]), golden)
    found = golden_outputs(session, bundle.program, golden)
    for tensor, expected, output in zip(bundle.program.outputs, golden.outputs, found, strict=True):
        largest = _largest_gap(expected, output)
        if not largest <= bundle.manifest.golden_tolerance:
            raise IntegrityError(
                f"the model answers its golden vectors with output {tensor.name} off by {largest:g}, "
                f"and {bundle.manifest.golden_tolerance:g} is allowed",
                where=bundle.program.target,
                hint="The runtime or this processor computes differently from where the bundle was built, or is at fault.",
            )


def _prove_inputs(inputs: Array, golden: Golden) -> None:
    assert golden.samples is not None
    expected = golden.inputs[0][: len(golden.samples)]  # inputs that came from no sample may follow
    if expected.dtype.kind == "f":
        allowed = _FLOAT_INPUT_TOLERANCE * max(1.0, float(np.abs(expected).max()))
    else:
        allowed = 0 if golden.samples.dtype == np.uint8 else _SIGNAL_STEPS
    largest = _largest_gap(expected, inputs)
    if not largest <= allowed:
        raise IntegrityError(f"the preprocessing of golden samples is off by {largest:g}, and {allowed:g} is allowed")


def _largest_gap(expected: Array, found: Array) -> float:
    return float(np.abs(expected.astype(np.float64) - found.astype(np.float64)).max(initial=0.0))
