"""How often a model is right: predictions over a whole dataset, kept so that two models can be compared sample by sample."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from marram.core.codec import digest
from marram.core.errors import DataError, UserError
from marram.core.evidence import Figure
from marram.core.graph import Array, Graph
from marram.core.ports import Progress, Session
from marram.core.program import Program
from marram.data.dataset import Dataset
from marram.measure.statistics import calibration_error, drop_bounds, mcnemar, paired_counts, wilson
from marram.sense import Preprocess
from marram.sense.feeding import feed, reals

Predict = Callable[[Array], Array]
"""Samples (B, ...) as they are stored to scores (B, classes) as float32."""

_BATCH = 256


class Accuracy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model answered to every labelled sample of a dataset, in the dataset's order.

    ``targets`` and ``predictions`` are class indices, int64 (N,); ``confidences`` the largest score, float32 (N,).
    ``samples_digest`` is that of the samples in their order: only answers to the same ones can be paired.
    """

    labels: tuple[str, ...]
    samples_digest: str
    targets: Array
    predictions: Array
    confidences: Array

    @property
    def correct(self) -> Array:
        """Whether each answer is right, bool (N,)."""
        return np.asarray(self.predictions == self.targets)

    @property
    def value(self) -> float:
        """Share of right answers."""
        return float(self.correct.mean())

    @property
    def confusion(self) -> Array:
        """Counts, int64 (true class, answered class)."""
        classes = len(self.labels)
        return np.bincount(self.targets * classes + self.predictions, minlength=classes * classes).reshape(classes, classes)

    @property
    def by_class(self) -> Array:
        """Share of right answers in each class, float64 (classes,); NaN where a class has no sample."""
        matrix = self.confusion
        with np.errstate(invalid="ignore"):
            return np.asarray(np.diag(matrix) / matrix.sum(axis=1))


def session_predictor(session: Session, program: Program, preprocess: Preprocess | None) -> Predict:
    """Scores by a loaded Program, one inference for each sample.

    Raises:
        UserError: the Program takes several inputs, which a dataset's samples cannot feed.
    """
    if len(program.inputs) != 1:
        raise UserError(f"the model takes {len(program.inputs)} inputs, and a dataset feeds one", where=program.target)

    def predict(samples: Array) -> Array:
        batch = feed(preprocess, samples, program.inputs[0])
        rows = [session.run([batch[index : index + 1]])[0] for index in range(len(batch))]
        return reals(np.concatenate(rows), program.outputs[0]).reshape(len(batch), -1)

    return predict


def graph_predictor(graph: Graph, preprocess: Preprocess | None) -> Predict:
    """Scores by the reference interpreter.

    Raises:
        UserError: the Graph takes several inputs, which a dataset's samples cannot feed.
    """
    from marram.model.reference import prepare, run

    if len(graph.inputs) != 1:
        raise UserError(f"the model takes {len(graph.inputs)} inputs, and a dataset feeds one", where=f"graph {graph.name}")
    prepared = prepare(graph)

    def predict(samples: Array) -> Array:
        batch = feed(preprocess, samples, graph.input_tensors[0])
        return reals(run(prepared, batch)[0], graph.output_tensors[0]).reshape(len(batch), -1)

    return predict


def answers(dataset: Dataset, predict: Predict, *, progress: Progress = lambda _what, _part: None) -> Accuracy:
    """What a model answers to every labelled sample of a dataset.

    Raises:
        DataError: the dataset has no classes or no labelled sample.
        UserError: the model's scores are not one for each class, or not finite.
    """
    if not dataset.labels:
        raise DataError("the data has no classes, so answers are neither right nor wrong")
    targets, predictions, confidences = [], [], []
    labelled = dataset.targets >= 0
    done = 0
    for samples, wanted in dataset.batches(_BATCH):
        known = wanted >= 0
        done += len(wanted)
        if known.any():
            scores = _checked(predict(samples[known]), len(dataset.labels))
            targets.append(wanted[known])
            predictions.append(scores.argmax(axis=1))
            confidences.append(scores.max(axis=1))
        progress("accuracy", done / max(1, len(dataset)))
    if not targets:
        raise DataError("no sample has a label, so answers are neither right nor wrong")
    return Accuracy(
        labels=dataset.labels,
        samples_digest=digest(dataset.hashes[labelled].tobytes()),
        targets=np.concatenate(targets).astype(np.int64),
        predictions=np.concatenate(predictions).astype(np.int64),
        confidences=np.concatenate(confidences).astype(np.float32),
    )


def accuracy_figures(found: Accuracy, *, baseline: Accuracy | None = None, confidence: float = 0.95) -> tuple[Figure, ...]:
    """Figures of one model and, paired with a baseline's answers to the same samples, of what changed.

    ``accuracy``, ``worst_class_accuracy``, ``calibration_error``; with a baseline ``accuracy_drop``, ``worst_class_drop``,
    ``flip_rate``, ``mcnemar_p``.

    Raises:
        UserError: the baseline's answers are to other data.
    """
    own = (
        _share("accuracy", int(found.correct.sum()), len(found.targets), "top-1, Wilson interval", confidence),
        _worst_class(found, confidence),
        _calibration(found),
    )
    return own if baseline is None else own + _paired(found, baseline, confidence)


def _paired(found: Accuracy, baseline: Accuracy, confidence: float) -> tuple[Figure, ...]:
    if found.samples_digest != baseline.samples_digest or not np.array_equal(found.targets, baseline.targets):
        raise UserError("the baseline answered other samples, so nothing can be paired", where="baseline")
    counts = paired_counts(baseline.correct, found.correct)
    flips = int((found.predictions != baseline.predictions).sum())
    low, high = drop_bounds(counts, confidence=confidence)
    return (
        Figure(
            name="accuracy_drop",
            unit="share",
            value=counts.drop,
            low=low,
            high=high,
            confidence=confidence,
            samples=counts.samples,
            method="paired with the float model, one-sided score bounds (Tango 1998)",
        ),
        _worst_class_drop(found, baseline),
        _share("flip_rate", flips, counts.samples, "answers that differ from the float model's, Wilson interval", confidence),
        Figure(
            name="mcnemar_p",
            unit="probability",
            value=mcnemar(counts),
            samples=counts.first_only + counts.second_only,
            method="exact two-sided McNemar test against the float model, over the samples that one of them gets right",
        ),
    )


def _share(name: str, count: int, samples: int, method: str, confidence: float) -> Figure:
    low, high = wilson(count, samples, confidence=confidence)
    return Figure(
        name=name,
        unit="share",
        value=count / samples,
        low=low,
        high=high,
        confidence=confidence,
        samples=samples,
        method=method,
    )


def _worst_class(found: Accuracy, confidence: float) -> Figure:
    worst = int(np.nanargmin(found.by_class))
    row = found.confusion[worst]
    method = f"top-1 of the worst class, {found.labels[worst]}, Wilson interval"
    return _share("worst_class_accuracy", int(row[worst]), int(row.sum()), method, confidence)


def _worst_class_drop(found: Accuracy, baseline: Accuracy) -> Figure:
    drops = baseline.by_class - found.by_class
    worst = int(np.nanargmax(drops))
    return Figure(
        name="worst_class_drop",
        unit="share",
        value=float(drops[worst]),
        samples=int(found.confusion[worst].sum()),
        method=f"largest drop of one class's accuracy from the float model: {found.labels[worst]}",
    )


def _calibration(found: Accuracy) -> Figure:
    method = "expected calibration error, 15 bins"
    if found.confidences.min() < 0.0 or found.confidences.max() > 1.0 + 1e-3:
        reason = "the scores are not probabilities"
        return Figure(name="calibration_error", unit="share", value=None, method=method, reason=reason)
    error = calibration_error(np.minimum(found.confidences, 1.0).astype(np.float64), found.correct)
    return Figure(name="calibration_error", unit="share", value=error, samples=len(found.targets), method=method)


def _checked(scores: Array, classes: int) -> Array:
    if scores.ndim != 2 or scores.shape[1] != classes:
        raise UserError(
            f"the model gives scores of shape {scores.shape[1:]} and the data has {classes} classes",
            hint="The model's last layer must have one output for each class.",
        )
    if not np.isfinite(scores).all():
        raise UserError("the model gives scores that are NaN or infinite")
    return scores
