"""What training is told and what it tells: settings in, records and a result out."""

from __future__ import annotations

from typing import Literal

import msgspec

from marram.core.errors import UserError
from marram.core.recipe import Augmentation
from marram.model.training.augmentation import AUGMENTATIONS


class TrainingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to train. The defaults suit nets of 5,000 to 500,000 parameters on some thousand samples.

    Args:
        task: cross entropy against class indices, or mean squared error against the input.
        epochs: passes over the training examples.
        batch_size: samples of one step.
        optimiser: AdamW, or SGD with Nesterov momentum 0.9.
        learning_rate: its peak.
        weight_decay: decoupled for AdamW, coupled for SGD; biases, norms and other vectors are spared.
        schedule: how the rate falls from its peak to 0 after the warm-up.
        warmup: part of all steps, 0 to 1, in which the rate rises linearly from 0; 0.3 with "linear" is a one-cycle.
        label_smoothing: part of the target spread over all classes.
        patience: epochs without a better validation metric after which training stops; 0: never.
        seed: of shuffling, augmentation and dropout.
        augmentation: what is done to training batches after preprocessing.
        threads: torch's threads. One is fastest for tiny nets on a busy machine, where OpenMP's barriers spin.
        precision: "bfloat16" runs convolutions and products in it (autocast), weights stay float32: about 2.5 times as
            fast where the processor has AMX or AVX512-BF16, slow elsewhere.
    """

    task: Literal["classification", "reconstruction"] = "classification"
    epochs: int = 30
    batch_size: int = 64
    optimiser: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = 0.1
    label_smoothing: float = 0.0
    patience: int = 0
    seed: int = 0
    augmentation: Augmentation = "none"
    threads: int = 1
    precision: Literal["float32", "bfloat16"] = "float32"

    @property
    def metric(self) -> Literal["accuracy", "mse"]:
        """Name of the metric that chooses the best epoch: accuracy (more is better) or mse (less is better)."""
        return "accuracy" if self.task == "classification" else "mse"


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mean loss and metric over a set of examples; ``metric`` is a part of 1 for accuracy."""

    loss: float
    metric: float
    examples: int


class EpochRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One epoch: the mean loss while training, the rate at its end, and what validation said, if there is one."""

    epoch: int
    training_loss: float
    learning_rate: float
    validation: Evaluation | None


class TrainingResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What training reached. ``best_metric`` is None without validation; epochs count from 1."""

    metric: Literal["accuracy", "mse"]
    best_metric: float | None
    best_epoch: int
    epochs_run: int
    stopped_early: bool
    history: tuple[EpochRecord, ...]


def check(settings: TrainingSettings) -> None:
    """Refuse settings that make no sense.

    Raises:
        UserError: names each setting at fault.
    """
    rules = {
        "epochs must be at least 1": settings.epochs >= 1,
        "batch_size must be at least 2": settings.batch_size >= 2,
        "learning_rate must be above 0": 0 < settings.learning_rate < float("inf"),
        "weight_decay must not be negative": 0 <= settings.weight_decay < float("inf"),
        "warmup must be from 0 to 1": 0 <= settings.warmup <= 1,
        "label_smoothing must be from 0 to below 1": 0 <= settings.label_smoothing < 1,
        "patience must not be negative": settings.patience >= 0,
        "seed must not be negative": settings.seed >= 0,
        "threads must be at least 1": settings.threads >= 1,
        f"augmentation must be one of {', '.join(AUGMENTATIONS)}": settings.augmentation in AUGMENTATIONS,
    }
    broken = [rule for rule, kept in rules.items() if not kept]
    if broken:
        raise UserError("; ".join(broken), where="training settings")
