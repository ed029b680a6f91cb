"""The Release and Rollout nouns: a bundle offered to a cohort, in stages, behind a gate."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class Release(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bundle offered to the devices of a cohort. ``version`` orders releases of one name."""

    name: str
    version: str
    target: str
    bundle_digest: str
    cohort: str


class Gate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must hold before a stage is left: failures of the canary at most ``excess_failure_max`` above control."""

    excess_failure_max: Annotated[float, Meta(gt=0.0, lt=1.0)]
    false_alarm: Annotated[float, Meta(gt=0.0, lt=1.0)]


class Rollout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A release's way through its stages, shares of the cohort in rising order."""

    release_digest: str
    stages: tuple[Annotated[float, Meta(gt=0.0, le=1.0)], ...]
    gate: Gate
    state: Literal["waiting", "running", "held", "done", "reverted"]
    stage: Annotated[int, Meta(ge=0)] = 0
