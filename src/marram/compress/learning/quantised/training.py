"""Quantisation-aware training of an integer Graph. torch is imported on the first call.

The Graph is folded: batch norms are in the weights, and the folded weights are trained directly, without statistics of batches.
So the values that training sees are those of the device at every step, there is no second set of weights to fold again, and
nothing has to be re-estimated before export. What batch norm does for a training from scratch is not needed for a few epochs
from a trained net; Jacob et al. (CVPR 2018) and Krishnamoorthi (2018) freeze the statistics after a while for the same reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from marram.compress.learning.fine_tuning import training_settings
from marram.compress.learning.logits import training_form
from marram.compress.material import Material, Standing
from marram.core.errors import UserError
from marram.core.graph import Array, Graph, Quantisation
from marram.core.recipe import Distillation, TrainQuantised
from marram.model.reference import interpret
from marram.model.training import Evaluation, TrainingResult, TrainingSettings, evaluate, predict, train
from marram.sense import quantise as entered

if TYPE_CHECKING:
    from marram.compress.learning.distillation import Lesson
    from marram.compress.learning.quantised.module import QuantisedGraph

_CHECKED_SAMPLES = 16


def train_quantised(
    exact: Graph,
    integer: Graph,
    *,
    original: Graph,
    decision: TrainQuantised,
    material: Material,
    weight_bits: Mapping[str, int] | None = None,
) -> Graph:
    """Train an integer Graph's weights, biases and step sizes through its own roundings. Equal arguments give equal Graphs.

    While training every integer is what ``interpret`` of the Graph computes, so validation judges what is deployed, and nothing
    is calibrated afterwards. ``precision`` of the tuning has no part in it: bfloat16 does not hold the integers.

    Args:
        exact: the float Graph that ``integer`` was quantised from, with the same node names: the reals behind the weights.
        integer: where training begins, of one input and one output.
        original: the teacher where the distillation asks for it.
        decision: how to train.
        material: examples, preprocessing, a teacher, whether targets are classes; a given input quantisation stays.
        weight_bits: of nodes' weights. Where a node is not named, each channel keeps to the bits (8, 4, 2) that hold the
            integers it begins with.

    Returns:
        An integer Graph of the same structure; ``integer`` itself where no epoch is better on validation.

    Raises:
        UserError: no training examples, a Graph or a teacher that does not fit, settings that make no sense.
    """
    from marram.compress.learning.quantised.module import QuantisedGraph

    examples = material.to_learn_from("quantisation-aware training")
    settings = training_settings(decision.tuning, classes=material.classes)
    form = training_form(exact, classes=material.classes)
    lesson = _lesson(form, decision.distillation, original, material, settings)
    net = QuantisedGraph(
        integer,
        exact,
        learn_scales=decision.learn_scales,
        given=_given(integer, material),
        weight_bits=weight_bits,
        classes=material.classes,
        after_node=lesson.after_node if lesson else None,
    )
    start = None
    if material.validation is not None:
        start = evaluate(net, material.validation, settings, preprocess=material.preprocess)
    result = train(
        lesson.student(net) if lesson else net,
        examples,
        material.validation,
        settings,
        preprocess=material.preprocess,
        objective=lesson.objective if lesson else None,
        progress=material.progress,
    )
    if start is not None and not _is_better(result, start):
        return integer
    trained = net.graph()
    samples = next(iter(examples.batches(_CHECKED_SAMPLES)))[0]
    _check(net, trained, samples, material)
    return trained


def trained_quantised(standing: Standing, decision: TrainQuantised, material: Material) -> Standing:
    """The step of replay."""
    assert standing.integer is not None
    integer = train_quantised(
        standing.exact, standing.integer, original=standing.original, decision=decision, material=material
    )
    return msgspec.structs.replace(standing, integer=integer)


def _given(integer: Graph, material: Material) -> tuple[str, ...]:
    """The inputs whose quantisation was given."""
    given = material.input_quantisation
    if isinstance(given, Quantisation):
        return integer.inputs
    return () if given is None else tuple(given)


def _lesson(
    form: Graph, distillation: Distillation | None, original: Graph, material: Material, settings: TrainingSettings
) -> Lesson | None:
    if distillation is None:
        return None
    from marram.compress.learning.distillation import Lesson

    return Lesson(form, material.teacher_for(distillation, original), distillation, settings)


def _is_better(result: TrainingResult, start: Evaluation) -> bool:
    assert result.best_metric is not None
    return result.best_metric > start.metric if result.metric == "accuracy" else result.best_metric < start.metric


def _check(net: QuantisedGraph, trained: Graph, samples: Array, material: Material) -> None:
    """Hold the module's outputs against the reference's: a torch whose sums are not exact must not go unnoticed."""
    given = predict(net, samples, preprocess=material.preprocess)
    reals = np.asarray(material.preprocess(samples) if material.preprocess else samples, np.float32)
    source, target = (tensors[0].quantisation for tensors in (trained.input_tensors, trained.output_tensors))
    assert source is not None
    assert target is not None
    (whole,) = interpret(trained, entered(reals, source))
    wanted = (whole.astype(np.float32) - np.float32(target.zero_point)) * np.float32(target.scale)
    if not np.array_equal(given.reshape(-1), wanted.reshape(-1)):
        raise UserError(
            "torch's integers are not the reference's",
            where=f"graph {trained.name}",
            hint="Please report this with your processor and torch's version.",
        )
