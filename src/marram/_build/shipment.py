"""What all targets of a build share, and what is tried for each: values between making, measuring, judging and sealing."""

from __future__ import annotations

from pathlib import Path

import msgspec

from marram._build.gathering import Gathered
from marram._build.order import Order
from marram.compile.programs import Precision
from marram.core.evidence import Verdict
from marram.core.graph import Graph, OpaqueModel
from marram.core.ledger import Trial
from marram.core.program import Program
from marram.core.recipe import Quantise, Recipe
from marram.measure import Measurement


class Models(msgspec.Struct, frozen=True, kw_only=True):
    """What programs are made of: the float and the integer Graph, or a file that is carried as it came.

    ``title`` tells the models of a search apart; it is empty where there is one. The ledger needs ``base``, the float Graph
    that ``recipe`` began with, and ``trials``, what was tried and not taken.
    """

    exact: Graph | None
    integer: Graph | None
    opaque: OpaqueModel | None
    recipe: Recipe | None
    title: str = ""
    base: Graph | None = None
    trials: tuple[Trial, ...] = ()

    @property
    def packed(self) -> bool:
        """Whether the recipe gives weights fewer bits than 8, so that they stand packed in flash."""
        decisions = () if self.recipe is None else self.recipe.decisions
        return any(isinstance(decision, Quantise) and decision.weight_bits for decision in decisions)

    def of(self, precision: Precision) -> Graph | OpaqueModel | None:
        """The model of a precision, None if there is none."""
        return self.opaque or (self.integer if precision == "int8" else self.exact)

    def graph_of(self, program: Program) -> Graph | None:
        """The Graph that a program was made from; None for an opaque model."""
        return None if self.opaque else self.integer if program.precision == "int8" else self.exact


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """A program with the models that it is of, what was measured of it, how it was judged, and what is to be said of it."""

    models: Models
    program: Program
    measurement: Measurement
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...] = ()

    @property
    def kept(self) -> bool:
        """Whether every promise and budget was measured and holds."""
        return all(verdict.kept is True for verdict in self.verdicts)


class Shipping(msgspec.Struct, frozen=True, kw_only=True):
    """What all targets of a build share when their programs are made: the order, the data, the models.

    ``place`` is where a bundle goes that is not the target's own; None: ``dist/<target>.mrm``. ``confidence`` is that of
    intervals where it is not the contract's: several models that are tested share its doubt.
    """

    order: Order
    gathered: Gathered
    models: Models
    place: Path | None = None
    confidence: float | None = None

    @property
    def interval_confidence(self) -> float:
        """The confidence of all intervals."""
        return self.order.contract.promises.confidence if self.confidence is None else self.confidence
