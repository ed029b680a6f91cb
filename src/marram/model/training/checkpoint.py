"""The state of a training between two epochs, as one file that is whole or not there."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn, optim

from marram.core.durable import write_atomically
from marram.core.errors import UserError
from marram.model.training.settings import EpochRecord, TrainingSettings

_FORMAT = 1


class Course(msgspec.Struct, kw_only=True):
    """How far a training has come. Mutable: the loop moves it on."""

    history: list[EpochRecord]
    best_metric: float | None
    best_epoch: int
    best_state: dict[str, torch.Tensor]

    @property
    def epochs_run(self) -> int:
        """Epochs that are complete."""
        return len(self.history)


def save(path: Path, course: Course, model: nn.Module, optimiser: optim.Optimizer, settings: TrainingSettings) -> None:
    """Replace the checkpoint.

    Raises:
        UserError: the place cannot be written.
    """
    buffer = io.BytesIO()
    content = {
        "format": _FORMAT,
        "settings": msgspec.to_builtins(settings),
        "history": msgspec.to_builtins(course.history),
        "best_metric": course.best_metric,
        "best_epoch": course.best_epoch,
        "best_state": course.best_state,
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    torch.save(content, buffer)
    write_atomically(path, buffer.getvalue())


def load(path: Path, model: nn.Module, optimiser: optim.Optimizer, settings: TrainingSettings) -> Course:
    """Put model and optimiser back where the checkpoint left them, and say how far that is.

    Raises:
        UserError: the file is damaged, or of a training with other settings or another model.
    """
    content = _content(path)
    _check_settings(path, content["settings"], settings)
    try:
        model.load_state_dict(content["model"])
        optimiser.load_state_dict(content["optimiser"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise UserError(
            "the checkpoint is of another model", where=str(path), hint="Delete it, or name another file."
        ) from error
    return Course(
        history=msgspec.convert(content["history"], list[EpochRecord]),
        best_metric=content["best_metric"],
        best_epoch=content["best_epoch"],
        best_state=content["best_state"],
    )


def _content(path: Path) -> dict[str, Any]:
    damaged = "the checkpoint cannot be read"
    try:
        content = torch.load(io.BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load promises no types: zip, pickle, storage and key errors all come out of it
        raise UserError(damaged, where=str(path), hint="Delete it to start again.") from error
    expected = {"format", "settings", "history", "best_metric", "best_epoch", "best_state", "model", "optimiser"}
    if not isinstance(content, dict) or set(content) != expected or content["format"] != _FORMAT:
        raise UserError(damaged, where=str(path), hint="Delete it to start again.")
    return content


def _check_settings(path: Path, saved: dict[str, Any], settings: TrainingSettings) -> None:
    wanted = msgspec.to_builtins(settings)
    different = sorted(key for key in wanted.keys() | saved.keys() if wanted.get(key) != saved.get(key))
    if different:
        raise UserError(
            f"the checkpoint was made with other settings: {', '.join(different)}",
            where=str(path),
            hint="Delete it to start again, or train with the settings it was made with.",
        )
