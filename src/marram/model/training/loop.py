"""The training loop. ``run`` is what ``marram.model.training.train`` calls; each epoch is a function of (seed, epoch)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor, nn, optim
from torch.nn import functional

from marram.core.errors import DataError, UserError
from marram.core.graph import Array
from marram.core.ports import Progress
from marram.model.training import checkpoint as checkpoints
from marram.model.training.augmentation import augment
from marram.model.training.checkpoint import Course
from marram.model.training.examples import Examples
from marram.model.training.settings import EpochRecord, Evaluation, TrainingResult, TrainingSettings, check

Preprocessing = Callable[[Array], Array]
Objective = Callable[[nn.Module, Tensor, Tensor, Array], Tensor]
"""As ``marram.model.training.Objective``."""


class _Job(msgspec.Struct, frozen=True, kw_only=True):
    """What stays the same from epoch to epoch."""

    model: nn.Module
    optimiser: optim.Optimizer
    training: Examples
    validation: Examples | None
    settings: TrainingSettings
    preprocess: Preprocessing | None
    objective: Objective
    progress: Progress


def run(
    model: nn.Module,
    training: Examples,
    validation: Examples | None,
    settings: TrainingSettings,
    *,
    preprocess: Preprocessing | None,
    objective: Objective | None,
    checkpoint: Path | None,
    progress: Progress,
) -> TrainingResult:
    """As ``marram.model.training.train``."""
    check(settings)
    _check_examples(training, validation)
    with deterministic(settings.threads), torch.random.fork_rng(devices=[]):
        _check_model(model, training, preprocess)
        optimiser = _optimiser(model, settings)
        course = Course(history=[], best_metric=None, best_epoch=0, best_state={})
        if checkpoint is not None and checkpoint.exists():
            course = checkpoints.load(checkpoint, model, optimiser, settings)
        job = _Job(
            model=model,
            optimiser=optimiser,
            training=training,
            validation=validation,
            settings=settings,
            preprocess=preprocess,
            objective=objective or default_objective(settings),
            progress=progress,
        )
        while not _finished(course, settings):
            _epoch(job, course)
            if checkpoint is not None:
                checkpoints.save(checkpoint, course, model, optimiser, settings)
        model.load_state_dict(course.best_state)
        model.eval()
    return TrainingResult(
        metric=settings.metric,
        best_metric=course.best_metric,
        best_epoch=course.best_epoch,
        epochs_run=course.epochs_run,
        stopped_early=course.epochs_run < settings.epochs,
        history=tuple(course.history),
    )


@contextmanager
def deterministic(threads: int) -> Iterator[None]:
    """Torch with this many threads and deterministic algorithms only; afterwards as it was."""
    memory: Any = torch.utils.deterministic  # a module whose attributes torch's types do not know
    before = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        memory.fill_uninitialized_memory,
    )
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # filling fresh memory with NaN finds bugs in torch's kernels; here it would only cost time
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1], warn_only=before[2])
        memory.fill_uninitialized_memory = before[3]


def evaluation(
    model: nn.Module, examples: Examples, settings: TrainingSettings, preprocess: Preprocessing | None
) -> Evaluation:
    """As ``marram.model.training.evaluate``, inside ``deterministic``."""
    if len(examples) == 0:
        raise DataError("there are no examples to evaluate on")
    loss_sum = metric_sum = 0.0
    count = 0
    with _evaluating(model):
        for samples, targets in examples.batches(max(settings.batch_size, 256)):
            batch = _tensor(samples, preprocess)
            with _precision(settings):
                output = model(batch)
            wanted = _wanted(batch, targets, output, settings)
            loss_sum += float(_loss(output, wanted, settings)) * len(batch)
            metric_sum += _metric_sum(output, wanted, settings)
            count += len(batch)
    return Evaluation(loss=loss_sum / count, metric=metric_sum / count, examples=count)


def outputs(model: nn.Module, samples: Array, preprocess: Preprocessing | None, batch_size: int) -> Array:
    """As ``marram.model.training.predict``, inside ``deterministic``."""
    with _evaluating(model):
        parts = [
            model(_tensor(samples[start : start + batch_size], preprocess)).numpy()
            for start in range(0, len(samples), batch_size)
        ]
    return np.concatenate(parts)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def _epoch(job: _Job, course: Course) -> None:
    """One pass over the training examples, validation, and the course moved on by one."""
    settings, number = job.settings, course.epochs_run
    torch.manual_seed(_seed_of(settings.seed, number))
    generator = np.random.default_rng([settings.seed, number])
    shuffled = job.training.subset(generator.permutation(len(job.training)))
    steps = math.ceil(len(job.training) / settings.batch_size)
    title = _title(course, settings)
    loss_sum, count, rate = 0.0, 0, 0.0
    job.model.train()
    for step, (samples, targets) in enumerate(shuffled.batches(settings.batch_size)):
        job.progress(title, (number + step / steps) / settings.epochs)
        if len(samples) == 1 and steps > 1:
            continue  # batch norm has no statistics of a single vector
        rate = rate_at((number * steps + step) / (settings.epochs * steps), settings)
        clean = _numbers(samples, job.preprocess)
        loss = _step(job, clean, targets, generator=generator, rate=rate)
        if not math.isfinite(loss):
            raise _not_finite(clean, number, step)
        loss_sum += loss * len(samples)
        count += len(samples)
    judged = evaluation(job.model, job.validation, settings, job.preprocess) if job.validation is not None else None
    course.history.append(EpochRecord(epoch=number + 1, training_loss=loss_sum / count, learning_rate=rate, validation=judged))
    _keep_best(course, job.model, judged, settings)
    job.progress(_title(course, settings), (number + 1) / settings.epochs)


def _step(job: _Job, clean: Array, targets: Array, *, generator: np.random.Generator, rate: float) -> float:
    """One gradient step; the loss before it."""
    for group in job.optimiser.param_groups:
        group["lr"] = rate
    batch = torch.from_numpy(augment(job.settings.augmentation, clean, generator))
    with _precision(job.settings):
        loss = job.objective(job.model, batch, torch.from_numpy(clean), targets)
    job.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    value = float(loss.detach())
    if math.isfinite(value):
        job.optimiser.step()
    return value


def default_objective(settings: TrainingSettings) -> Objective:
    """The loss that the task defines: cross entropy against class indices, or squared error against the clean batch."""

    def objective(model: nn.Module, batch: Tensor, clean: Tensor, targets: Array) -> Tensor:
        output = model(batch)
        return _loss(output, _wanted(clean, targets, output, settings), settings)

    return objective


def rate_at(part: float, settings: TrainingSettings) -> float:
    """The learning rate when ``part`` of all steps (0 to 1) is done."""
    if part < settings.warmup:
        # the first step, at part 0, must not be lost: it starts at a hundredth
        return settings.learning_rate * max(part / settings.warmup, 0.01)
    left = (1 - part) / max(1 - settings.warmup, 1e-9)
    shapes = {"cosine": 0.5 * (1 - math.cos(math.pi * left)), "linear": left, "constant": 1.0}
    return settings.learning_rate * shapes[settings.schedule]


def _optimiser(model: nn.Module, settings: TrainingSettings) -> optim.Optimizer:
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise UserError("the model has no weights to train")
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    if settings.optimiser == "sgd":
        return optim.SGD(groups, lr=settings.learning_rate, momentum=0.9, nesterov=True)
    return optim.AdamW(groups, lr=settings.learning_rate)


def _precision(settings: TrainingSettings) -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=settings.precision == "bfloat16")


def _numbers(samples: Array, preprocess: Preprocessing | None) -> Array:
    return np.ascontiguousarray(preprocess(samples) if preprocess else samples, dtype=np.float32)


def _tensor(samples: Array, preprocess: Preprocessing | None) -> Tensor:
    return torch.from_numpy(_numbers(samples, preprocess))


def _wanted(batch: Tensor, targets: Array, output: Tensor, settings: TrainingSettings) -> Tensor:
    """What the output is held against: class indices, or the input."""
    if settings.task == "reconstruction":
        if output.shape != batch.shape:
            raise UserError(f"the model gives {tuple(output.shape)} for {tuple(batch.shape)}: it does not reconstruct")
        return batch
    if output.dim() != 2:
        raise UserError(f"a classifier gives (batch, classes), not {tuple(output.shape)}")
    if targets.min() < 0 or targets.max() >= output.shape[1]:
        raise DataError(
            f"targets run from {targets.min()} to {targets.max()}, the model has {output.shape[1]} classes",
            hint="Make the model with as many classes as the data has labels.",
        )
    return torch.from_numpy(np.asarray(targets, np.int64))


def _loss(output: Tensor, wanted: Tensor, settings: TrainingSettings) -> Tensor:
    if settings.task == "classification":
        return functional.cross_entropy(output.float(), wanted, label_smoothing=settings.label_smoothing)
    return functional.mse_loss(output.float(), wanted)


def _metric_sum(output: Tensor, wanted: Tensor, settings: TrainingSettings) -> float:
    if settings.task == "classification":
        return float((output.argmax(dim=1) == wanted).sum())
    return float(functional.mse_loss(output.float(), wanted)) * len(wanted)


def _keep_best(course: Course, model: nn.Module, judged: Evaluation | None, settings: TrainingSettings) -> None:
    """Remember the model's state where it is the best so far; without validation, always."""
    if judged is not None and course.best_metric is not None:
        better = judged.metric > course.best_metric if settings.metric == "accuracy" else judged.metric < course.best_metric
        if not better:
            return
    course.best_metric = judged.metric if judged is not None else None
    course.best_epoch = course.epochs_run
    course.best_state = {name: value.detach().clone() for name, value in model.state_dict().items()}


def _finished(course: Course, settings: TrainingSettings) -> bool:
    out_of_patience = 0 < settings.patience <= course.epochs_run - course.best_epoch
    return course.epochs_run >= settings.epochs or (out_of_patience and course.best_metric is not None)


def _title(course: Course, settings: TrainingSettings) -> str:
    epoch = min(course.epochs_run + 1, settings.epochs)
    if not course.history:
        return f"training, epoch {epoch} of {settings.epochs}"
    last = course.history[-1]
    figure = f", {settings.metric} {last.validation.metric:.4f}" if last.validation else ""
    return f"training, epoch {epoch} of {settings.epochs} (loss {last.training_loss:.4f}{figure})"


def _seed_of(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch, 1]).generate_state(1)[0])


def _check_examples(training: Examples, validation: Examples | None) -> None:
    if len(training) < 2:
        raise DataError(f"training needs at least 2 examples, not {len(training)}")
    if validation is not None and len(validation) == 0:
        raise DataError("the validation set is empty", hint="Give it examples, or train without validation.")


def _check_model(model: nn.Module, training: Examples, preprocess: Preprocessing | None) -> None:
    """Run the model once on two samples, so that a misfit is told before hours pass."""
    samples, _ = next(iter(training.subset(np.arange(2)).batches(2)))
    batch = _tensor(samples, preprocess)
    try:
        with _evaluating(model):
            model(batch)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"the model does not take a batch of shape {tuple(batch.shape)}: {reason}") from error


def _not_finite(clean: Array, epoch: int, step: int) -> UserError:
    where = f"epoch {epoch + 1}, batch {step + 1}"
    if not np.isfinite(clean).all():
        return DataError("the training samples hold NaN or infinity", where=where, hint="Clean the data, or its preprocessing.")
    return UserError("the loss is not finite any more", where=where, hint="Lower learning_rate or lengthen warmup.")
