"""Sealing: a Program with its proof and its past becomes the bytes of one signed file. Equal inputs give equal bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from marram.bundle.container import pack
from marram.bundle.signatures import sign
from marram.bundle.versions import version_order
from marram.core.codec import digest, encode, to_json
from marram.core.errors import UserError
from marram.core.evidence import Evidence
from marram.core.ledger import Ledger
from marram.core.manifest import FORMAT_VERSION, Golden, Lineage, Manifest, Member, ProgramHead
from marram.core.ports import Signer
from marram.core.program import Program
from marram.core.recipe import Recipe


def seal(
    program: Program,
    *,
    name: str,
    version: str,
    golden: Golden,
    evidence: Evidence,
    contract: str,
    licence: str,
    created_by: str,
    signers: Sequence[Signer],
    labels: Sequence[str] = (),
    preprocess: object = None,
    recipe: Recipe | None = None,
    ledger: Ledger | None = None,
    data_digest: str | None = None,
    golden_tolerance: float = 0.0,
) -> bytes:
    """The bundle file's bytes.

    Figures that differ from run to run (times, resident memory) are left out, so that equal builds give equal files; whoever
    opens the bundle measures them anew.

    Args:
        program: what the device runs.
        name: the model's name.
        version: up to four whole numbers joined by dots.
        golden: vectors with known answers, at least one.
        evidence: what was measured of this very program.
        contract: the text of ``marram.toml``.
        licence: the text of the licence under which the model is given.
        created_by: the maker, for instance ``marram 0.1.0``.
        signers: who vouches for it, at least one.
        labels: class names in the order of the outputs; empty when there are no classes.
        preprocess: the preprocessing, a value that msgspec turns into plain data; None when inputs are taken as they are.
        recipe: the compression decisions, if there were any.
        ledger: what each of these decisions gained and cost, if that was measured.
        data_digest: content hash of the training data.
        golden_tolerance: largest healthy difference from the golden outputs, in the output's own unit.

    Raises:
        UserError: something is missing, malformed or does not belong to this program.
    """
    version_order(version)
    if not 0.0 <= golden_tolerance < float("inf"):
        raise UserError(f"a golden tolerance of {golden_tolerance} cannot be held")
    _check(program, golden, evidence, signers, labels)
    if not ledger_fits(ledger, recipe):
        raise UserError("the ledger is that of another recipe")
    blob_name = f"program.{program.format}"
    decisions = {"recipe.msgpack": recipe, "ledger.msgpack": ledger}
    members = _members(golden, evidence, contract, licence, decisions) | {blob_name: program.blob}
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=name,
        version=version,
        created_by=created_by,
        program=head(program, blob_name),
        preprocess=_plain(preprocess),
        labels=tuple(labels),
        golden_tolerance=golden_tolerance,
        lineage=Lineage(
            contract=digest(contract.encode()),
            data=data_digest,
            graph=program.graph_digest,
            recipe=None if recipe is None else digest(recipe),
        ),
        members=tuple(
            Member(name=member, size_bytes=len(content), digest=digest(content)) for member, content in sorted(members.items())
        ),
    )
    text = to_json(manifest)
    return pack(members | {"manifest.json": text, "signatures.json": sign(text, signers)})


def head(program: Program, blob: str) -> ProgramHead:
    """The Program without its blob, which is the member of that name."""
    fields = {field: getattr(program, field) for field in program.__struct_fields__}
    return ProgramHead(**(fields | {"blob": blob}))


def golden_fits(golden: Golden, program: Program) -> bool:
    """Whether the vectors have the program's shapes and dtypes, and all the same count, at least one.

    There may be fewer samples: the vectors after them came from none.
    """
    pairs = [*zip(golden.inputs, program.inputs, strict=False), *zip(golden.outputs, program.outputs, strict=False)]
    counts = {len(array) if array.ndim else 0 for array, _ in pairs}
    if golden.samples is not None and not 0 < len(golden.samples) <= min(counts, default=0):
        return False
    return (
        len(golden.inputs) == len(program.inputs)
        and len(golden.outputs) == len(program.outputs)
        and len(counts) == 1
        and 0 not in counts
        and all(array.shape[1:] == tensor.shape[1:] and array.dtype == tensor.dtype for array, tensor in pairs)
    )


def labels_fit(labels: Sequence[str], program: Program) -> bool:
    """Whether there is one label for each place on the last axis of the first output, or none at all."""
    return not labels or (len(program.outputs) > 0 and program.outputs[0].shape[-1:] == (len(labels),))


def _check(program: Program, golden: Golden, evidence: Evidence, signers: Sequence[Signer], labels: Sequence[str]) -> None:
    if not signers:
        raise UserError("a bundle needs a signer", hint="Make a key with marram.bundle.new_key(path).")
    if not golden_fits(golden, program):
        raise UserError("the golden vectors do not have the program's shapes and dtypes")
    if evidence.program_digest != digest(program):
        raise UserError("the evidence is that of another program")
    if not labels_fit(labels, program):
        raise UserError(f"there are {len(labels)} labels for outputs of shape {program.outputs[0].shape}")


def ledger_fits(ledger: Ledger | None, recipe: Recipe | None) -> bool:
    """Whether the ledger has the recipe's decisions, or there is no ledger."""
    return ledger is None or ledger.recipe == recipe


def _members(
    golden: Golden, evidence: Evidence, contract: str, licence: str, decisions: Mapping[str, Recipe | Ledger | None]
) -> dict[str, bytes]:
    """The members that are neither the blob nor the manifest nor its signatures."""
    lasting = msgspec.structs.replace(evidence, figures=tuple(figure for figure in evidence.figures if figure.deterministic))
    members = {
        "contract.toml": contract.encode(),
        "evidence.msgpack": encode(lasting),
        "golden.msgpack": encode(golden),
        "licence.txt": licence.encode(),
    }
    return members | {name: encode(value) for name, value in decisions.items() if value is not None}


def _plain(preprocess: object) -> dict[str, Any] | None:
    if preprocess is None:
        return None
    exact = msgspec.msgpack.decode(msgspec.msgpack.encode(preprocess))
    if not isinstance(exact, dict):
        raise UserError("the preprocessing is not a struct or a mapping")
    if msgspec.json.decode(msgspec.json.encode(preprocess)) != exact:
        raise UserError("the preprocessing holds what JSON cannot carry", hint="Look for NaN or infinity in it.")
    return exact
