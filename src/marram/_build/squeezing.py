"""``marram compress``: decisions applied to a model file with an array of samples; no contract, no device."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from marram._build.modelling import float_graph
from marram._build.sample_file import samples_for
from marram.compress import Material, describe, stages
from marram.compress.integers.layer_damage import accuracy
from marram.compress.integers.stepping import first_batches
from marram.compress.material import Standing
from marram.core.errors import UserError
from marram.core.graph import Array, Graph
from marram.core.ports import Progress
from marram.core.recipe import (
    Decision,
    Distillation,
    FineTune,
    Fold,
    Importance,
    Prune,
    Quantise,
    Recipe,
    Round,
    TrainQuantised,
    Tuning,
    WeightBits,
)
from marram.model.counts import counts
from marram.model.files import load, save
from marram.model.spec import RULES
from marram.model.training import ArrayExamples

_CALIBRATION_SAMPLES = 512
_VALIDATION_SHARE = 0.15
_LEAST_SAMPLES = 8


class Wishes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is wished of a model where no recipe is written down.

    Args:
        prune: the share of its multiply-accumulates that is to be left; 1 prunes nothing.
        importance: by which channels go.
        epochs: of every training; 0 trains nothing.
        distil: whether trainings have the model as it came, or the given teacher, as theirs.
        weight_bits: of all layers with weights but the first and the last; 8, 4 or 2.
        round_adaptively: whether weights are rounded by what keeps each layer's output nearest.
        train_quantised: whether training goes through the roundings at the end.
        integers: False leaves the model float.
    """

    prune: float = 1.0
    importance: Importance = "taylor"
    epochs: int = 10
    distil: bool = False
    weight_bits: WeightBits = 8
    round_adaptively: bool = False
    train_quantised: bool = False
    integers: bool = True


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model stands after a decision; ``accuracy`` on held-out samples, None without classes."""

    decision: str
    macs: int
    parameters: int
    accuracy: float | None


class Squeezed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was made: the file, the recipe, and the model after each decision, the one that came first."""

    path: str
    recipe: Recipe
    stages: tuple[Stage, ...]


def squeeze(
    model: str | Path,
    out: str | Path,
    *,
    data: str | Path,
    recipe: Recipe | None = None,
    wishes: Wishes | None = None,
    teacher: str | Path | None = None,
    pack: bool = False,
    seed: int = 0,
    progress: Progress = lambda _what, _part: None,
) -> Squeezed:
    """Apply decisions to a float model file and write what they make.

    Args:
        model: a float ``.onnx`` or ``.tflite`` file.
        out: where the result goes, by its suffix ``.onnx`` or ``.tflite``.
        data: an ``.npz`` with float32 inputs ``x`` ``(N, ...)`` and, for trainings and accuracies, class indices ``y``
            ``(N,)``; some are held out to choose epochs and to state accuracies.
        recipe: the decisions; None: those that the wishes ask for.
        wishes: what is wished; None: int8.
        teacher: another float model file, for distillation.
        pack: whether weights of 4 bits stand in 4 bits in the file.
        seed: of what is held out.
        progress: told what is being done.

    Raises:
        UserError: a file that cannot be read or written, a decision that cannot be applied.
        DataError: samples that do not fit the model.
    """
    graph = float_graph(load(Path(model)), str(model))
    inputs, targets = samples_for(graph, Path(data), least=_LEAST_SAMPLES)
    order = np.random.default_rng(seed).permutation(len(inputs))
    held = max(1, round(_VALIDATION_SHARE * len(inputs)))
    validation, training = order[:held], order[held:]
    material = Material(
        calibration=inputs[training[:_CALIBRATION_SAMPLES]],
        training=ArrayExamples(inputs[training], None if targets is None else targets[training]),
        validation=ArrayExamples(inputs[validation], None if targets is None else targets[validation]),
        teacher=None if teacher is None else float_graph(load(Path(teacher)), str(teacher)),
        classes=targets is not None,
        progress=progress,
    )
    asked = recipe or recipe_for(graph, wishes or Wishes(), given=teacher is not None, seed=seed)
    judged = inputs[validation], None if targets is None else targets[validation]
    found: list[Stage] = []
    for index, last in enumerate(stages(graph, asked, material)):
        title = "as it came" if index == 0 else describe(asked.decisions[index - 1])
        found.append(_stage(title, last, *judged))
        standing = last
    path = save(standing.exact if standing.integer is None else standing.integer, out, pack=pack)
    return Squeezed(path=str(path), recipe=asked, stages=tuple(found))


def recipe_for(graph: Graph, wishes: Wishes, *, given: bool = False, seed: int = 0) -> Recipe:
    """The decisions that wishes ask for, in the order in which they work together.

    Args:
        graph: the float model.
        wishes: what is wished.
        given: whether a teacher is given; else the model as it came is the teacher.
        seed: of trainings.
    """
    lesson = Distillation(teacher="given" if given else "original") if wishes.distil else None
    tuning = Tuning(epochs=max(wishes.epochs, 1), seed=seed)
    found: list[Decision] = []
    if wishes.prune < 1:
        if not wishes.epochs:
            raise UserError("pruning trains between its cuts", where="epochs", hint="Give at least 1.")
        found.append(Prune(share=wishes.prune, importance=wishes.importance, tuning=tuning, distillation=lesson))
    elif wishes.distil:
        found.append(FineTune(tuning=tuning, distillation=lesson))
    found.append(Fold())
    if not wishes.integers:
        return Recipe(decisions=tuple(found))
    found.append(Quantise(weight_bits=_inner_bits(graph, wishes.weight_bits)))
    if wishes.round_adaptively:
        found.append(Round())
    if wishes.train_quantised:
        through = Tuning(epochs=max(wishes.epochs, 1), learning_rate=2e-4, seed=seed)
        found.append(TrainQuantised(tuning=through, distillation=lesson))
    return Recipe(decisions=tuple(found))


def _inner_bits(graph: Graph, bits: WeightBits) -> dict[str, WeightBits]:
    """Fewer bits for every layer but the first, which sees the data, and the last, which decides."""
    layers = [node.name for node in graph.nodes if RULES[type(node.op)].weights is not None]
    return {} if bits == 8 else dict.fromkeys(layers[1:-1], bits)


def _stage(title: str, standing: Standing, inputs: Array, targets: Array | None) -> Stage:
    graph = standing.exact if standing.integer is None else standing.integer
    counted = counts(graph)
    right = None
    if targets is not None:
        right = accuracy(graph, first_batches(graph, inputs, limit=len(inputs), size=256), targets)
    return Stage(decision=title, macs=counted.macs, parameters=counted.parameters, accuracy=right)
