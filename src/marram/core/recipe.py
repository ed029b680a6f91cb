"""The Recipe noun: the compression decisions, in order, as data. ``compress.apply`` replays one."""

from __future__ import annotations

from typing import Literal

import msgspec

CalibrationMethod = Literal["min_max", "percentile", "mse", "entropy"]


class _Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="decision", tag=str.lower):
    """Root of the decisions; the tag in the encoding is the class's name in lower case."""


class Fold(_Decision, frozen=True, kw_only=True):
    """Fold batch norm into the layer before it, constants into constants, and tidy the graph. Exact up to float rounding."""


class Equalise(_Decision, frozen=True, kw_only=True):
    """Cross-layer equalisation of weight ranges. Source: Nagel et al., Data-Free Quantization, ICCV 2019."""

    rounds: int = 20


class Quantise(_Decision, frozen=True, kw_only=True):
    """Post-training int8: weights symmetric per output channel, activations affine per tensor.

    ``calibration`` finds activation ranges; ``percentile`` is used by that method alone. Nodes in ``keep_float`` stay float.
    """

    calibration: CalibrationMethod = "min_max"
    percentile: float = 99.99
    keep_float: tuple[str, ...] = ()


class CorrectBias(_Decision, frozen=True, kw_only=True):
    """Shift each bias by the mean error that weight rounding makes on the calibration data. Source: as Equalise."""


Decision = Fold | Equalise | Quantise | CorrectBias


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Decisions in the order in which they are applied. Two recipes are equal when their decisions are."""

    decisions: tuple[Decision, ...]

    def without(self, index: int) -> Recipe:
        """The recipe with one decision reverted.

        Raises:
            IndexError: there is no decision of that index.
        """
        if not 0 <= index < len(self.decisions):
            raise IndexError(f"the recipe has decisions 0 to {len(self.decisions) - 1}, not {index}")
        return Recipe(decisions=self.decisions[:index] + self.decisions[index + 1 :])
