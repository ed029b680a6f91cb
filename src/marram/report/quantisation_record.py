"""What debugging a quantisation found: the record that the command line prints and that the page shows."""

from __future__ import annotations

import msgspec

from marram.compress.integers.layer_facts import LayerFacts
from marram.compress.integers.next_steps import Finding, Rule, Symptom


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Root of the record's parts."""


class WorstSample(_Part, frozen=True, kw_only=True):
    """A sample whose answer flipped or whose scores moved far: ``moved`` is the largest change of one score.

    ``index`` is its place among the samples that were looked at, ``origin`` where it comes from if that is known. ``target``,
    ``before`` and ``after`` are classes by name, None where there are none; scores are those of the answers.
    """

    index: int
    origin: str
    target: str | None
    before: str | None
    before_score: float | None
    after: str | None
    after_score: float | None
    flipped: bool
    moved: float


class TriedStep(_Part, frozen=True, kw_only=True):
    """A suggested recipe that was tried: how it differs from the present one, and what became of the whole.

    ``symptom`` is None where it was not tried or could not be, and then ``reason`` says why.
    """

    rule: Rule
    changes: tuple[str, ...]
    symptom: Symptom | None
    reason: str | None = None


class QuantisationReport(_Part, frozen=True, kw_only=True):
    """The damage that a quantisation does, why, and what to try next.

    ``layers`` are in execution order; ``worst`` and ``findings`` have the worst first. ``page`` is the file with the picture.
    """

    subject: str
    recipe: tuple[str, ...]
    samples: int
    data: str
    symptom: Symptom
    layers: tuple[LayerFacts, ...]
    worst: tuple[WorstSample, ...]
    findings: tuple[Finding, ...]
    tried: tuple[TriedStep, ...]
    page: str
