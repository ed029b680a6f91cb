"""The sandwich rule: in each step the whole net learns the targets, the least and random parts the whole net's answers."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from marram.compress.learning.fine_tuning import training_settings
from marram.compress.learning.logits import with_constants
from marram.core.graph import Array, Graph
from marram.core.ports import Progress
from marram.core.recipe import Decision, Tuning
from marram.model.torch_graph import trained_graph
from marram.model.training import Examples, Preprocessing, TrainingSettings, train
from marram.model.training.loop import Objective, default_objective
from marram.search.space import Cutter, Space, decisions_of, least
from marram.search.supernet.shared import SharedWeights

_RANDOM_PARTS = 2  # of each step; more of them learn little that these do not


def train_whole(
    space: Space,
    training: Examples,
    validation: Examples | None,
    tuning: Tuning,
    *,
    classes: bool,
    preprocess: Preprocessing | None,
    checkpoint: Path | None,
    progress: Progress,
) -> Graph:
    """As ``search.supernet.train_supernet``."""
    settings = training_settings(tuning, classes=classes)
    module = SharedWeights(Cutter(space.graph), classes=classes)
    train(
        module,
        training,
        validation,
        settings,
        preprocess=preprocess,
        objective=sandwich(space, settings),
        checkpoint=checkpoint,
        progress=lambda what, part: progress(what.replace("training", "training the supernet", 1), part),
    )
    return with_constants(space.graph, trained_graph(module.whole).constants)


def sandwich(space: Space, settings: TrainingSettings) -> Objective:
    """The loss of one step. Random parts are drawn from torch's generator, which training seeds for each epoch."""
    smallest = decisions_of(space, least(space))
    own = default_objective(settings)

    def objective(model: nn.Module, batch: Tensor, clean: Tensor, targets: Array) -> Tensor:
        assert isinstance(model, SharedWeights)
        answers: list[Tensor] = []

        class _Whole(nn.Module):  # the whole net's output is needed twice and computed once
            def forward(self, given: Tensor) -> Tensor:
                answers.append(model(given))
                return answers[0]

        loss = own(_Whole(), batch, clean, targets)
        teacher = answers[0].detach().float()
        for decisions in (smallest, *(drawn(space, model.cutter) for _ in range(_RANDOM_PARTS))):
            loss = loss + _from_teacher(model.run(decisions, batch).float(), teacher, settings)
        return loss

    return objective


def drawn(space: Space, cutter: Cutter) -> tuple[Decision, ...]:
    """A random sub-architecture: a common level for all variables and each one's own deviation, so that sizes spread evenly.

    Independent uniform draws would nearly all have the same middling cost.
    """
    level = float(torch.rand(()))
    values = {}
    for variable in space.variables:
        place = level + 0.5 * (float(torch.rand(())) - 0.5)
        index = min(max(int(place * len(variable.choices)), 0), len(variable.choices) - 1)
        values[variable.name] = variable.choices[index]
    return decisions_of(space, values, cutter)


def _from_teacher(output: Tensor, teacher: Tensor, settings: TrainingSettings) -> Tensor:
    if settings.task == "reconstruction":
        return functional.mse_loss(output, teacher)
    # cross entropy with the teacher's probabilities: the divergence up to a constant
    return functional.cross_entropy(output, teacher.softmax(dim=-1))
