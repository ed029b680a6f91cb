"""Distillation: the loss of a step when a student learns from a teacher. Importing this module imports torch.

With w, T and f for ``weight``, ``temperature`` and ``features`` of a ``Distillation`` a step's loss is

    (1 - w) * task + w * T^2 * KL(softmax(teacher / T) || softmax(student / T)) + f * (mean of the losses of pairs)

where ``task`` is cross entropy against the targets, and teacher and student see the same augmented batch. For reconstruction
the middle term is w times the mean squared error to the teacher's output, and T has no part in it.
Sources: Hinton et al. 2015; Romero et al., FitNets, 2015; Zagoruyko and Komodakis 2017.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from marram.compress.learning.features import Comparison, Taps
from marram.compress.learning.logits import training_form
from marram.compress.learning.pairing import check_pairs, pairs_of
from marram.compress.rewrites.folding import fold
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.core.recipe import Distillation
from marram.model.torch_graph import AfterNode, TorchGraph
from marram.model.training.loop import Objective, default_objective
from marram.model.training.settings import TrainingSettings

__all__ = ["Lesson", "Student", "distilled_loss", "pairs_of"]


def distilled_loss(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """``T^2 * KL(softmax(teacher / T) || softmax(student / T))``, the mean over samples; logits ``(B, C)`` float32."""
    wanted = functional.log_softmax(teacher / temperature, dim=1)
    given = functional.log_softmax(student / temperature, dim=1)
    return temperature**2 * functional.kl_div(given, wanted, reduction="batchmean", log_target=True)


class Student(nn.Module):
    """What is trained: a net, and beside it projections that only the loss needs."""

    def __init__(self, net: nn.Module, projections: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.projections = projections

    def forward(self, batch: Tensor) -> Tensor:
        """The net's output."""
        output: Tensor = self.net(batch)
        return output


class Lesson:
    """A teacher, what it is asked, and the loss that this makes.

    Use: make the student's ``TorchGraph`` with ``lesson.after_node``, train ``lesson.student(net)`` with ``lesson.objective``.

    Args:
        student: the Graph that will learn, in its training form (``logits.training_form``).
        teacher: a float Graph, whose final softmax is cut off, or a module that takes the same batches and gives logits (for
            reconstruction: outputs). It is asked in evaluation mode and without gradients.
        distillation: weights, temperature, pairs.
        settings: task, label smoothing, seed of the projections.

    Raises:
        UserError: weights or temperature that make no sense; a teacher of another input or output size, naming both; pairs
            that cannot be compared; features of a teacher that is no Graph.
    """

    def __init__(
        self, student: Graph, teacher: Graph | nn.Module, distillation: Distillation, settings: TrainingSettings
    ) -> None:
        _check_settings(distillation)
        self._asks = distillation
        self._classes = settings.task == "classification"
        self._task = default_objective(settings)
        form = training_form(teacher, classes=self._classes) if isinstance(teacher, Graph) else None
        pairs = _pairs(student, form, distillation)
        self._taps = Taps(pairs), Taps(pairs.values())
        if form is not None and not pairs:
            form = fold(form)  # the same function, sooner; tensors that pairs name would be lost
        self._teacher = teacher if isinstance(teacher, nn.Module) else _resting(form, self._taps[1])
        _check_teacher(student, form, self._teacher)
        self._comparison = Comparison(student, form, pairs, distillation.compare, seed=settings.seed)

    def after_node(self, name: str, value: Tensor) -> Tensor:
        """The student's hook (``model.torch_graph.AfterNode``): values pass unchanged, those of pairs are remembered."""
        return self._taps[0](name, value)

    def student(self, net: nn.Module) -> Student:
        """The net with the projections that are trained beside it."""
        return Student(net, self._comparison)

    def objective(self, model: nn.Module, batch: Tensor, clean: Tensor, targets: object) -> Tensor:
        """The loss of one step; an ``Objective`` of ``model.training``."""
        asks, (mine, theirs) = self._asks, self._taps
        with mine.open():
            given = model(batch)
        with theirs.open():
            wanted = self._asked(batch).float()
        loss = (1 - asks.weight) * _task_loss(self._task, given, (batch, clean, targets))
        if self._classes:
            taught = distilled_loss(given.float(), wanted, temperature=asks.temperature)
        else:
            taught = functional.mse_loss(given.float(), wanted)
        loss = loss + asks.weight * taught
        if asks.features:
            loss = loss + asks.features * self._comparison(mine.take(), theirs.take())
        return loss

    def _asked(self, batch: Tensor) -> Tensor:
        """The teacher's output; a module that was in training mode is so again afterwards."""
        was_training = self._teacher.training
        self._teacher.eval()
        try:
            with torch.no_grad():
                output: Tensor = self._teacher(batch)
        finally:
            self._teacher.train(was_training)
        return output


class _Given(nn.Module):
    """Stands for a model whose output is known already, so that the task's own objective judges it."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, _batch: Tensor) -> Tensor:
        return self.output


def _task_loss(task: Objective, output: Tensor, step: tuple[Tensor, Tensor, object]) -> Tensor:
    batch, clean, targets = step
    return task(_Given(output), batch, clean, targets)  # type: ignore[arg-type]


def _resting(form: Graph | None, taps: AfterNode) -> nn.Module:
    assert form is not None
    return TorchGraph(form, after_node=taps).requires_grad_(False).eval()


def _pairs(student: Graph, teacher: Graph | None, distillation: Distillation) -> dict[str, str]:
    """The pairs that are compared; none where features have no part in the loss."""
    if not distillation.features:
        return {}
    if teacher is None:
        raise UserError(
            "features are compared between Graphs, and the teacher is a torch module",
            where="distillation",
            hint="Give model.load(teacher, example=...), or set features to 0.",
        )
    pairs = distillation.pairs or pairs_of(student, teacher)
    check_pairs(student, teacher, pairs, distillation.compare)
    return pairs


def _check_settings(distillation: Distillation) -> None:
    rules = {
        "weight must be from 0 to 1": 0 <= distillation.weight <= 1,
        "temperature must be above 0": 0 < distillation.temperature < float("inf"),
        "features must not be negative": 0 <= distillation.features < float("inf"),
    }
    broken = [rule for rule, kept in rules.items() if not kept]
    if broken:
        raise UserError("; ".join(broken), where="distillation")


def _check_teacher(student: Graph, form: Graph | None, teacher: nn.Module) -> None:
    """Input and output of the teacher are as large as the student's."""
    takes, gives = student.input_tensors[0].shape, student.output_tensors[0].shape
    if form is not None:
        _same_input(form.input_tensors[0].shape, takes)
        _same_output(form.output_tensors[0].shape, gives)
        return
    was_training = teacher.training
    try:
        with torch.no_grad():
            output = teacher.eval()(torch.zeros(2 * takes[0], *takes[1:]))
    except (RuntimeError, ValueError, IndexError, TypeError, UserError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"the teacher does not take the student's input {takes}: {reason}", where="distillation") from error
    finally:
        teacher.train(was_training)
    if not isinstance(output, Tensor):
        raise UserError(f"the teacher gives a {type(output).__name__}, not one tensor", where="distillation")
    _same_output((len(output) // 2, *output.shape[1:]), gives)


def _same_input(teacher: tuple[int, ...], student: tuple[int, ...]) -> None:
    if teacher[1:] != student[1:]:
        raise UserError(
            f"the teacher takes inputs of {teacher[1:]}, the student of {student[1:]}",
            where="distillation",
            hint="Both see the same batch: choose a teacher of the same input.",
        )


def _same_output(teacher: tuple[int, ...], student: tuple[int, ...]) -> None:
    if teacher[1:] != student[1:]:
        many = len(teacher) == len(student) == 2
        raise UserError(
            f"the teacher has {teacher[-1]} classes, the student {student[-1]}"
            if many
            else f"the teacher gives outputs of {teacher[1:]}, the student of {student[1:]}",
            where="distillation",
            hint="Choose a teacher that was trained for the same task.",
        )
