"""The Bundle noun: what one sealed file holds, and the Manifest that names, measures and ties together its members."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from marram.core.evidence import Evidence
from marram.core.graph import Array, Tensor
from marram.core.ledger import Ledger
from marram.core.program import Format, Program
from marram.core.recipe import Recipe
from marram.core.target import Runtime

FORMAT_VERSION = 1


class Member(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One member of the file: its name, its size and the digest of its bytes."""

    name: str
    size_bytes: int
    digest: str


class Lineage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the Program came from: digests of the artefacts it was made of, None where there was no such artefact."""

    contract: str
    data: str | None = None
    graph: str | None = None
    recipe: str | None = None


class ProgramHead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Program less its blob, which is the member named ``blob``."""

    target: str
    runtime: Runtime
    runtime_version: str
    format: Format
    precision: Literal["float32", "int8"]
    blob: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    graph_digest: str | None
    quantised_by: str | None


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is signed. ``preprocess`` is the preprocessing as plain data, None when the model takes its inputs as they are.

    ``golden_tolerance`` is the largest difference from the golden outputs that a healthy engine may show, in the output's
    own unit: steps for integer outputs, real numbers for float ones.
    """

    format_version: int
    name: str
    version: str
    created_by: str
    program: ProgramHead
    preprocess: dict[str, Any] | None
    labels: tuple[str, ...]
    golden_tolerance: float
    lineage: Lineage
    members: tuple[Member, ...]


class Golden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Vectors with known answers: ``inputs`` and ``outputs`` as the Program takes and gives them, stacked on axis 0.

    ``samples`` are the raw samples that the preprocessing must turn into ``inputs``; None when that is not checked.
    """

    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    samples: Array | None = None


class Bundle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An opened bundle: every part has been held against the manifest, and the manifest against a trusted signature.

    ``digest`` is the manifest's, which names the bundle as a whole; ``signers`` are the public keys that signed it.
    """

    digest: str
    signers: tuple[str, ...]
    manifest: Manifest
    program: Program
    golden: Golden
    evidence: Evidence
    recipe: Recipe | None
    contract: str
    licence: str
    ledger: Ledger | None = None
