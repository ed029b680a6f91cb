"""What a build found: the record that the command line prints, that the report shows and that the next build reads."""

from __future__ import annotations

from typing import Literal

import msgspec

from marram.compress import LayerDamage
from marram.core.evidence import Evidence, Verdict
from marram.core.recipe import Decision, Recipe
from marram.core.target import Runtime
from marram.data import DataSummary
from marram.search.infeasibility import Infeasible


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Root of the record's parts."""


class Stage(_Part, frozen=True, kw_only=True):
    """One stage of a build: ``cached`` when nothing had to be done, ``seconds`` of work otherwise."""

    name: str
    cached: bool
    seconds: float


class ModelSummary(_Part, frozen=True, kw_only=True):
    """The model before compression. ``description`` is a table to read, ``drawing`` an SVG; both empty for opaque models."""

    source: str
    parameters: int | None
    macs: int | None
    peak_live_bytes: int | None
    description: str
    drawing: str
    history: tuple[tuple[float, float], ...] = ()
    """Training loss and validation metric by epoch; empty when nothing was trained."""


class RecipeTrial(_Part, frozen=True, kw_only=True):
    """One recipe tried: how close its outputs stay to the float model's on validation and calibration samples, in dB."""

    recipe: Recipe
    closeness_db: float


class SearchedPart(_Part, frozen=True, kw_only=True):
    """One part of a supernet that a search looked at, for one target.

    ``error`` is estimated on validation samples, None where a budget ruled the part out before; ``excess`` says which budgets
    it breaks, by how much of each; ``finalist`` numbers the model that was made of it.
    """

    target: str
    family: str
    decisions: tuple[Decision, ...]
    error: float | None
    prices: dict[str, float]
    excess: dict[str, float]
    reason: str | None = None
    finalist: int | None = None


class FinalModel(_Part, frozen=True, kw_only=True):
    """A part that was finished: its whole recipe, its errors on the validation samples, and by target what became of it."""

    title: str
    recipe: Recipe
    exact_error: float
    integer_error: float
    fates: dict[str, str]


class SearchRecord(_Part, frozen=True, kw_only=True):
    """What a search looked at: by target the cost that it weighed, every part, every finished model."""

    costs: dict[str, str]
    parts: tuple[SearchedPart, ...]
    models: tuple[FinalModel, ...]
    whole_error: dict[str, float]
    verdicts: dict[str, Infeasible | None]


class Attempt(_Part, frozen=True, kw_only=True):
    """One program tried for a target: a point of the Pareto plot. ``calls_us`` are single calls, for the latency curve.

    ``model`` names the one of a search's models that it is of; empty where there is one.
    """

    runtime: Runtime
    precision: Literal["float32", "int8"]
    size_bytes: int
    accuracy: float | None
    latency_us: float | None
    calls_us: tuple[float, ...]
    kept: bool
    chosen: bool
    model: str = ""

    @property
    def title(self) -> str:
        """How the attempt is named in tables and plots."""
        return f"{self.model} {self.runtime} {self.precision}".lstrip()


class TargetResult(_Part, frozen=True, kw_only=True):
    """What a target got: the bundle (path in the project folder), its evidence and its verdicts, and what else was tried.

    ``memory_plan`` is the SVG of the arena of a microcontroller's program, ``memory_notes`` what the planner says of it.
    """

    name: str
    device: str
    bundle: str
    bundle_digest: str
    bundle_bytes: int
    runtime: Runtime
    precision: Literal["float32", "int8"]
    evidence: Evidence
    verdicts: tuple[Verdict, ...]
    attempts: tuple[Attempt, ...]
    memory_plan: str = ""
    memory_notes: tuple[str, ...] = ()


class BuildResult(_Part, frozen=True, kw_only=True):
    """A build: what it was made of, what it made, and which promises hold.

    ``up_to_date`` tells that nothing had changed since the last build, so nothing was done.
    ``lineage`` maps what went in and came out to digests.
    """

    name: str
    version: str
    folder: str
    report: str
    up_to_date: bool
    stages: tuple[Stage, ...]
    data: DataSummary
    labels: tuple[str, ...]
    model: ModelSummary
    baseline: Evidence | None
    recipe: Recipe | None
    trials: tuple[RecipeTrial, ...]
    damage: tuple[LayerDamage, ...]
    targets: tuple[TargetResult, ...]
    lineage: dict[str, str]
    marks: tuple[str, ...] = ()
    search: SearchRecord | None = None

    @property
    def kept(self) -> bool:
        """Whether every promise and budget of every target was measured and holds."""
        return all(verdict.kept is True for target in self.targets for verdict in target.verdicts)
