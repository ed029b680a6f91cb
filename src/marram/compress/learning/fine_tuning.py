"""Fine-tuning: the weights of a float Graph are trained on, whatever file it came from. torch is imported on the first call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from marram.compress.learning.freezing import check_frozen, frozen_constants, with_frozen_norms
from marram.compress.learning.logits import training_form, with_constants
from marram.compress.material import Material, Standing
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.core.ports import Progress
from marram.core.recipe import Distillation, FineTune, Tuning
from marram.model.training import TrainingResult, TrainingSettings, train

if TYPE_CHECKING:
    from torch import nn

    from marram.compress.learning.distillation import Lesson


def fine_tune(
    graph: Graph,
    *,
    original: Graph,
    tuning: Tuning,
    distillation: Distillation | None = None,
    material: Material,
    frozen: tuple[str, ...] = (),
    thaw_epoch: int | None = None,
) -> Graph:
    """Train a float Graph's weights on. Equal arguments give equal Graphs.

    Batch norms are trained as usual where the Graph has them; a folded Graph has none. With nodes to thaw there are two
    trainings one after the other, each with its own course of the learning rate; validation chooses among all epochs.

    Args:
        graph: a float Graph of one input and one output. Scores may end in a softmax: the loss gets the logits before it.
        original: the teacher where the distillation asks for it.
        tuning: how to train.
        distillation: what is learnt from a teacher beside the targets; None: nothing.
        material: examples, preprocessing, a teacher, whether targets are classes.
        frozen: nodes whose constants stay as they are, byte for byte; their batch norms use and keep their statistics.
        thaw_epoch: how many epochs they stay so; None: all.

    Returns:
        The Graph with other constants: those of the best epoch by validation, of the last one without validation.

    Raises:
        UserError: a name in ``frozen`` that no node has, nothing left to train, a teacher that does not fit or is not there,
            examples that do not fit the Graph, settings that make no sense.
    """
    check_frozen(graph, frozen)
    asked = _teacher(distillation, original, material)
    phases = _phases(tuning, frozen, thaw_epoch)
    chosen, best = graph, None
    for index, (held, phase) in enumerate(phases):
        told = msgspec.structs.replace(material, progress=_phase_progress(material.progress, index, phases))
        after, result = _trained(chosen, held, phase, asked, told)
        if best is None or result.best_metric is None or _is_better(result, best):
            chosen, best = after, result.best_metric
    return chosen


def training_settings(tuning: Tuning, *, classes: bool) -> TrainingSettings:
    """The settings of a training that a Tuning asks for: AdamW, a warm-up and a cosine.

    Args:
        tuning: how weights are trained on.
        classes: whether targets are classes; False: the input is reconstructed.
    """
    task = "classification" if classes else "reconstruction"
    return msgspec.convert({**msgspec.structs.asdict(tuning), "task": task}, TrainingSettings)


def fine_tuned(standing: Standing, decision: FineTune, material: Material) -> Standing:
    """The step of replay."""
    exact = fine_tune(
        standing.exact,
        original=standing.original,
        tuning=decision.tuning,
        distillation=decision.distillation,
        material=material,
        frozen=decision.frozen,
        thaw_epoch=decision.thaw_epoch,
    )
    return msgspec.structs.replace(standing, exact=exact)


_Phase = tuple[tuple[str, ...], Tuning]
"""What is frozen in a training, and how it is trained."""


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A teacher and what is asked of it."""

    distillation: Distillation
    teacher: Graph | nn.Module


def _teacher(distillation: Distillation | None, original: Graph, material: Material) -> _Asked | None:
    if distillation is None:
        return None
    return _Asked(distillation=distillation, teacher=material.teacher_for(distillation, original))


def _phases(tuning: Tuning, frozen: tuple[str, ...], thaw_epoch: int | None) -> list[_Phase]:
    """What is frozen in each training, and how long it is."""
    if thaw_epoch is not None and thaw_epoch < 0:
        raise UserError(f"thaw_epoch is {thaw_epoch}, not 0 or more", where="fine-tuning")
    if not frozen or thaw_epoch == 0:
        return [((), tuning)]
    if thaw_epoch is None or thaw_epoch >= tuning.epochs:
        return [(frozen, tuning)]
    # another seed, lest the second training begin with the shuffles of the first
    seed = int(np.random.SeedSequence([tuning.seed, thaw_epoch]).generate_state(1)[0])
    after = msgspec.structs.replace(tuning, epochs=tuning.epochs - thaw_epoch, seed=seed)
    return [(frozen, msgspec.structs.replace(tuning, epochs=thaw_epoch)), ((), after)]


def _phase_progress(progress: Progress, index: int, phases: list[_Phase]) -> Progress:
    """The progress of one training among others."""
    epochs = [phase.epochs for _, phase in phases]
    before, here = sum(epochs[:index]), epochs[index]
    return lambda what, part: progress(what, (before + here * part) / sum(epochs))


def _is_better(result: TrainingResult, best: float) -> bool:
    assert result.best_metric is not None
    return result.best_metric > best if result.metric == "accuracy" else result.best_metric < best


def _trained(
    graph: Graph, frozen: tuple[str, ...], tuning: Tuning, asked: _Asked | None, material: Material
) -> tuple[Graph, TrainingResult]:
    """One training: the Graph with the constants it gave, and what it reached."""
    from marram.model.torch_graph import TorchGraph, trained_graph

    settings = training_settings(tuning, classes=material.classes)
    form = with_frozen_norms(training_form(graph, classes=material.classes), frozen)
    lesson = _lesson(form, asked, settings) if asked else None
    net = TorchGraph(form, after_node=lesson.after_node if lesson else None)
    for name in frozen_constants(form, frozen):
        net.weights()[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in net.parameters()):
        raise UserError("there are no weights to train", where=f"graph {graph.name}", hint="Freeze fewer nodes.")
    result = train(
        lesson.student(net) if lesson else net,
        material.to_learn_from("fine-tuning"),
        material.validation,
        settings,
        preprocess=material.preprocess,
        objective=lesson.objective if lesson else None,
        progress=material.progress,
    )
    return with_constants(graph, trained_graph(net).constants), result


def _lesson(form: Graph, asked: _Asked, settings: TrainingSettings) -> Lesson:
    from marram.compress.learning.distillation import Lesson

    return Lesson(form, asked.teacher, asked.distillation, settings)
