"""Material: what decisions work on beside the Graph: samples to calibrate and learn from, a teacher, what a target charges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from marram.compress.integers.calibration import Samples
from marram.compress.integers.quantisation import InputQuantisation
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.core.ports import Progress
from marram.core.recipe import Distillation
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

    def teacher_for(self, distillation: Distillation, original: Graph) -> Graph | nn.Module:
        """The teacher that a distillation asks for: the Graph that the recipe began with, or the one that is given.

        Raises:
            UserError: a given one is asked for, and there is none.
        """
        if distillation.teacher == "original":
            return original
        if self.teacher is None:
            what = "a given teacher is asked for, and none is given"
            raise UserError(what, where="distillation", hint="Give one as material.")
        return self.teacher


class Made(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of a standing where its original is known to who asks."""

    exact: Graph
    integer: Graph | None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A Graph on its way through a recipe: the one it began as, the float form, the integer form once there is one."""

    original: Graph
    exact: Graph
    integer: Graph | None = None
