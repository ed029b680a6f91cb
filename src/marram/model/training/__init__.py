"""Training of any torch module: deterministic on the CPU, interruptible, resumable to the same bits.

Samples come as an ``Examples`` (a ``data.Dataset`` is one; ``ArrayExamples`` wraps arrays), stored in any dtype;
``preprocess`` turns a batch of them into the model's float32 input. torch is imported on the first call.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from marram.core.graph import Array
from marram.core.ports import Progress
from marram.core.recipe import Augmentation
from marram.model.training.augmentation import augment
from marram.model.training.examples import ArrayExamples, Examples
from marram.model.training.settings import EpochRecord, Evaluation, TrainingResult, TrainingSettings

if TYPE_CHECKING:
    from torch import nn

    from marram.model.training.loop import Objective

__all__ = [
    "ArrayExamples",
    "Augmentation",
    "EpochRecord",
    "Evaluation",
    "Examples",
    "TrainingResult",
    "TrainingSettings",
    "augment",
    "evaluate",
    "predict",
    "train",
]

Preprocessing = Callable[[Array], Array]


def train(
    model: nn.Module,
    training: Examples,
    validation: Examples | None,
    settings: TrainingSettings,
    *,
    preprocess: Preprocessing | None = None,
    objective: Objective | None = None,
    checkpoint: Path | None = None,
    progress: Progress = lambda _what, _part: None,
) -> TrainingResult:
    """Train ``model`` in place; it ends in evaluation mode with the weights of the best epoch.

    The result depends on the model's weights, the examples, the settings and the number of threads, on nothing else:
    shuffling, augmentation and dropout draw from generators of ``(seed, epoch)``, torch's global random state, thread
    count and determinism switch are put back afterwards.

    Args:
        model: any module that takes one float32 batch and gives one tensor; so does a ``TorchGraph``.
        training: what is learnt from, reshuffled each epoch.
        validation: what chooses the best epoch and stops early; None: the last epoch is kept.
        settings: how to train.
        preprocess: stored samples ``(B, ...)`` to the model's float32 input; None where they are it already.
        objective: the loss of one step, from the model in training mode, the augmented batch ``(B, ...)`` float32, the batch
            before augmentation and the targets ``(B,)``; None: what the task defines. Validation goes by the task's metric.
        checkpoint: file that is replaced after each epoch. If it exists, training goes on from it.
        progress: called after each batch.

    Returns:
        What was reached, with the history.

    Raises:
        UserError: settings that make no sense, a model that does not take the samples, a loss that is not finite any
            more, a checkpoint that is damaged or of another training.
        DataError: no examples, NaN in them, or a target that the model has no output for.
    """
    from marram.model.training import loop

    return loop.run(
        model,
        training,
        validation,
        settings,
        preprocess=preprocess,
        objective=objective,
        checkpoint=checkpoint,
        progress=progress,
    )


def evaluate(
    model: nn.Module,
    examples: Examples,
    settings: TrainingSettings,
    *,
    preprocess: Preprocessing | None = None,
) -> Evaluation:
    """Mean loss and metric of ``model`` on ``examples``, in evaluation mode; the mode is put back.

    Raises:
        DataError: there are no examples, or a target that the model has no output for.
    """
    from marram.model.training import loop

    with loop.deterministic(settings.threads):
        return loop.evaluation(model, examples, settings, preprocess)


def predict(
    model: nn.Module, samples: Array, *, preprocess: Preprocessing | None = None, batch_size: int = 256, threads: int = 1
) -> Array:
    """The outputs of ``model`` in evaluation mode for stored samples ``(N, ...)``, float32; the mode is put back."""
    from marram.model.training import loop

    with loop.deterministic(threads):
        return loop.outputs(model, samples, preprocess, batch_size)
