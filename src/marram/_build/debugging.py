"""``marram debug quantisation``: the damage of each layer, the worst samples, why, and what was found to help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from marram._build.debug_subjects import Subject, subject_of
from marram.compress import closeness, describe
from marram.compress import diff as recipe_diff
from marram.compress.integers.layer_facts import layer_facts
from marram.compress.integers.next_steps import Finding, Symptom, findings
from marram.compress.integers.stepping import first_batches, run_quantised
from marram.compress.material import Standing
from marram.core.durable import write_atomically
from marram.core.errors import UserError
from marram.core.graph import Array, Graph
from marram.core.ports import Progress
from marram.core.recipe import CalibrationMethod, Decision, FineTune, Prune, Recipe, TrainQuantised
from marram.report.quantisation_page import quantisation_page
from marram.report.quantisation_record import QuantisationReport, TriedStep, WorstSample

_LAYER_SAMPLES = 256
_WORST = 10
_TRAINING = (FineTune, Prune, TrainQuantised)


def debug_quantisation(
    place: str | Path = ".",
    *,
    data: str | Path | None = None,
    calibration: CalibrationMethod = "min_max",
    trust: Sequence[str | Path] = (),
    project: str | Path | None = None,
    out: str | Path | None = None,
    try_steps: bool = True,
    progress: Progress = lambda _what, _part: None,
) -> QuantisationReport:
    """Find out what a quantisation costs, where, and what would help. Nothing of the project is changed.

    Samples are those of the validation part; the test part is not looked at.

    Args:
        place: a project's folder or contract (its recipe is the one that a build takes), a bundle, or a float ``.onnx`` or
            ``.tflite`` file.
        data: for a model file, an ``.npz`` with ``x``, samples as the model takes them, and ``y``, class indices, if any.
        calibration: for a model file, how it is quantised.
        trust: for a bundle, public key files; those of its own project if none are given.
        project: for a bundle, the project that it was made of; the one in whose ``dist`` it lies if not given.
        out: the page; ``dist/quantisation.html`` of the project, or ``<model>.quantisation.html`` here, if not given.
        try_steps: try the suggested recipes that need no training.
        progress: told what is being done.

    Raises:
        UserError: there is nothing there to debug, or something is missing.
        DataError: samples that the model cannot take.
    """
    subject = subject_of(
        Path(place),
        data=None if data is None else Path(data),
        calibration=calibration,
        trust=trust,
        project=project,
        progress=progress,
    )
    standing = subject.replay(subject.recipe)
    assert standing.integer is not None
    progress("debugging: answers", 0.1)
    measure = _measure(subject, standing.original)
    symptom, moved = measure(standing.integer)
    progress("debugging: layers", 0.3)
    layers = layer_facts(standing.exact, standing.integer, subject.samples, subject.targets, limit=_LAYER_SAMPLES)
    found = findings(layers, symptom, subject.recipe)
    progress("debugging: next steps", 0.7)
    path = subject.page if out is None else Path(out)
    report = QuantisationReport(
        subject=subject.name,
        recipe=tuple(map(describe, subject.recipe.decisions)),
        samples=len(subject.samples),
        data=subject.data,
        symptom=symptom,
        layers=layers,
        worst=moved,
        findings=found,
        tried=tuple(_tried(subject, one, recipe, measure, try_steps) for one in found for recipe in one.recipes),
        page=str(path),
    )
    write_atomically(path, quantisation_page(report).encode())
    progress("debugging: done", 1.0)
    return report


_Measure = Callable[[Graph], tuple[Symptom, tuple[WorstSample, ...]]]


def _measure(subject: Subject, exact: Graph) -> _Measure:
    """What measures an integer Graph beside the float one, as a whole and sample by sample."""
    close = closeness(exact, subject.samples)
    before = _scores(exact, subject.samples)

    def measure(integer: Graph) -> tuple[Symptom, tuple[WorstSample, ...]]:
        after = _scores(integer, subject.samples)
        moved = np.abs(after - before).max(axis=1)
        if not subject.classes:
            return Symptom(closeness_db=close(integer)), _worst(subject, before, after, moved, np.zeros(len(moved), bool))
        flipped = before.argmax(axis=1) != after.argmax(axis=1)
        symptom = Symptom(
            closeness_db=close(integer),
            flips=float(flipped.mean()),
            accuracy_before=_accuracy(before, subject.targets),
            accuracy_after=_accuracy(after, subject.targets),
        )
        return symptom, _worst(subject, before, after, moved, flipped)

    return measure


def _scores(graph: Graph, samples: Array) -> Array:
    """The first output as reals, a row for each sample: (N, ...) flattened, float32."""
    batches = first_batches(graph, samples, limit=len(samples))
    rows = [next(array for _, array in run_quantised(graph, values)) for values in batches]
    whole = np.concatenate(rows)
    return np.asarray(whole.reshape(len(whole), -1))


def _accuracy(scores: Array, targets: Array | None) -> float | None:
    if targets is None or not (targets >= 0).any():
        return None
    known = targets >= 0
    return float((scores.argmax(axis=1)[known] == targets[known]).mean())


def _worst(subject: Subject, before: Array, after: Array, moved: Array, flipped: Array) -> tuple[WorstSample, ...]:
    """The samples whose answer flipped, then those whose scores moved farthest."""
    order = np.lexsort((-moved, ~flipped))[:_WORST]
    return tuple(
        _worst_sample(subject, int(index), before, after, float(moved[index]), flipped=bool(flipped[index])) for index in order
    )


def _worst_sample(subject: Subject, index: int, before: Array, after: Array, moved: float, *, flipped: bool) -> WorstSample:
    first, second = int(before[index].argmax()), int(after[index].argmax())
    target = -1 if subject.targets is None else int(subject.targets[index])
    classes = subject.classes
    return WorstSample(
        index=index,
        origin=subject.origins[index],
        target=None if target < 0 else _label(subject, target),
        before=_label(subject, first) if classes else None,
        before_score=float(before[index, first]) if classes else None,
        after=_label(subject, second) if classes else None,
        after_score=float(after[index, second]) if classes else None,
        flipped=flipped,
        moved=moved,
    )


def _label(subject: Subject, index: int) -> str:
    return subject.labels[index] if subject.labels else str(index)


def _tried(subject: Subject, finding: Finding, recipe: Recipe, measure: _Measure, wanted: bool) -> TriedStep:  # noqa: FBT001  # the caller's own option
    changes = recipe_diff(subject.recipe, recipe)
    if not wanted:
        return TriedStep(rule=finding.rule, changes=changes, symptom=None, reason="not tried, as asked")
    if any(isinstance(decision, _TRAINING) for decision in _from_the_first_change(subject.recipe, recipe)):
        return TriedStep(rule=finding.rule, changes=changes, symptom=None, reason="not tried, since it trains")
    try:
        standing: Standing = subject.replay(recipe)
    except UserError as error:
        return TriedStep(rule=finding.rule, changes=changes, symptom=None, reason=f"cannot be: {error.what}")
    assert standing.integer is not None
    return TriedStep(rule=finding.rule, changes=changes, symptom=measure(standing.integer)[0])


def _from_the_first_change(old: Recipe, new: Recipe) -> tuple[Decision, ...]:
    """The decisions that have to be made anew."""
    pairs = zip(old.decisions, new.decisions, strict=False)
    same = next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(old.decisions), len(new.decisions)))
    return new.decisions[same:]
