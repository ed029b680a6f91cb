"""Material: what decisions work on beside the Graph: samples to calibrate and learn from, a teacher, what a target charges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from marram.compress.integers.calibration import Samples
from marram.compress.integers.quantisation import InputQuantisation
from marram.core.errors import UserError
from marram.core.graph import Array, Graph
from marram.core.ports import Progress
from marram.model.training import Examples, Preprocessing

if TYPE_CHECKING:
    from torch import nn

Cost = Callable[[Graph], Mapping[str, float]]
"""What a float Graph would cost on a target once quantised, by resource: ``instructions``, ``ram_bytes``, ``flash_bytes``."""


def nobody(_what: str, _part: float) -> None:
    """The progress that nobody is told of."""


class Material(msgspec.Struct, frozen=True, kw_only=True):
    """What decisions may use.

    Args:
        calibration: float32 samples, one array or a list of batches.
        input_quantisation: as for ``quantise``.
        training: what is learnt from; decisions that train need it.
        validation: what chooses the best epoch; None: the last epoch is kept.
        preprocess: stored samples of both to float32 inputs; None where they are it already.
        teacher: for distillation from ``given``: a float Graph, or a module that takes the same batches.
        cost: of the target, for decisions that are told a share of one of its resources other than MACs.
        classes: whether targets are classes; False for models that learn their own input.
        progress: told what is being done.
    """

    calibration: Samples
    input_quantisation: InputQuantisation = None
    training: Examples | None = None
    validation: Examples | None = None
    preprocess: Preprocessing | None = None
    teacher: Graph | nn.Module | None = None
    cost: Cost | None = None
    classes: bool = True
    progress: Progress = nobody

    def to_learn_from(self, what: str) -> Examples:
        """The training examples.

        Raises:
            UserError: there are none; says that ``what`` needs them.
        """
        if self.training is None:
            raise UserError(f"{what} trains, and there are no training examples", hint="Give data, or leave the decision out.")
        return self.training


class Made(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of a standing where its original is known to who asks."""

    exact: Graph
    integer: Graph | None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A Graph on its way through a recipe: the one it began as, the float form, the integer form once there is one."""

    original: Graph
    exact: Graph
    integer: Graph | None = None


def calibration_array(material: Material) -> Array:
    """The calibration samples as one array ``(N, ...)``.

    Raises:
        UserError: they come as batches of several inputs.
    """
    import numpy as np

    samples = material.calibration
    if isinstance(samples, np.ndarray):
        return samples
    batches = [batch for batch in samples if isinstance(batch, np.ndarray)]
    if not batches:
        raise UserError("needs calibration samples of one input", hint="Give one array, or batches that are arrays.")
    return np.concatenate(batches)
