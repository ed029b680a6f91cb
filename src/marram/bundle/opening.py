"""Opening: a file becomes a Bundle only if a trusted key signed it and every byte of it is accounted for.

The order: size, container, signature, format version, members against the manifest, their contents against each other, then
what the caller asks of target and version. The first fault ends it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from marram.bundle.container import unpack
from marram.bundle.keys import PublicKey, checked_trust
from marram.bundle.sealing import golden_fits, labels_fit, ledger_fits
from marram.bundle.signatures import read, trusted_signers
from marram.bundle.versions import version_order
from marram.core.codec import decode, digest
from marram.core.errors import IntegrityError, UserError
from marram.core.evidence import Evidence
from marram.core.ledger import Ledger
from marram.core.manifest import FORMAT_VERSION, Bundle, Golden, Manifest, ProgramHead
from marram.core.program import Program
from marram.core.recipe import Recipe

SIZE_LIMIT_BYTES = 1 << 30
_REQUIRED = frozenset({"contract.toml", "evidence.msgpack", "golden.msgpack", "licence.txt"})
_OPTIONAL = frozenset({"recipe.msgpack", "ledger.msgpack"})


class Inspection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a bundle says of itself. Its digests hold, but nobody vouches for it: ``claimed_signers`` are unproven key ids."""

    digest: str
    size_bytes: int
    claimed_signers: tuple[str, ...]
    manifest: Manifest
    evidence: Evidence
    recipe: Recipe | None
    contract: str
    licence: str
    ledger: Ledger | None = None


def open(  # noqa: A001  # the public name is marram.bundle.open, as in tarfile.open
    source: str | Path | bytes,
    trust: Sequence[PublicKey],
    *,
    target: str | None = None,
    newer_than: str | None = None,
    size_limit_bytes: int = SIZE_LIMIT_BYTES,
) -> Bundle:
    """The bundle in a file, if it can be trusted.

    Args:
        source: the file's path, or its bytes.
        trust: public keys, of which one must have signed it.
        target: the target it must be made for; None takes any.
        newer_than: the version it must exceed, which is how a device refuses to be rolled back; None takes any.
        size_limit_bytes: a larger file is not read.

    Raises:
        IntegrityError: it cannot be trusted; the text says which check failed.
        UserError: there is no such file, or ``trust`` has no key.
    """
    keys = checked_trust(trust)
    with _named(source):
        members = unpack(_bytes(source, size_limit_bytes))
        text = _member(members, "manifest.json")
        signers = trusted_signers(text, _member(members, "signatures.json"), keys)
        manifest = _manifest(text)
        bundle = _bundle(manifest, members, digest(text), signers)
        _check_order(manifest, target, newer_than)
    return bundle


def inspect(source: str | Path | bytes, *, size_limit_bytes: int = SIZE_LIMIT_BYTES) -> Inspection:
    """What a bundle says of itself, without trust; nothing of it may be run.

    Raises:
        IntegrityError: it is damaged or not a bundle.
        UserError: there is no such file.
    """
    with _named(source):
        data = _bytes(source, size_limit_bytes)
        members = unpack(data)
        text = _member(members, "manifest.json")
        entries = read(_member(members, "signatures.json"))
        bundle = _bundle(_manifest(text), members, digest(text), ())
    return Inspection(
        digest=bundle.digest,
        size_bytes=len(data),
        claimed_signers=tuple(entry.key_id for entry in entries),
        manifest=bundle.manifest,
        evidence=bundle.evidence,
        recipe=bundle.recipe,
        contract=bundle.contract,
        licence=bundle.licence,
        ledger=bundle.ledger,
    )


@contextmanager
def _named(source: str | Path | bytes) -> Iterator[None]:
    """Put the file's name before the place that an error names."""
    try:
        yield
    except IntegrityError as error:
        where = None if isinstance(source, bytes) else str(source)
        raise IntegrityError(
            error.what, where=": ".join(filter(None, (where, error.where))) or None, hint=error.hint
        ) from error


def _bytes(source: str | Path | bytes, limit: int) -> bytes:
    if isinstance(source, bytes):
        data = source
    else:
        try:
            with Path(source).open("rb") as stream:
                data = stream.read(limit + 1)
        except OSError as error:
            raise UserError(f"cannot be read: {error.strerror or error}", where=str(source)) from error
    if len(data) > limit:
        raise IntegrityError(f"the file is larger than {limit} bytes")
    return data


def _member(members: dict[str, bytes], name: str) -> bytes:
    try:
        return members[name]
    except KeyError:
        raise IntegrityError(f"there is no member {name}", where=name) from None


def _manifest(text: bytes) -> Manifest:
    """The manifest, after a look at the format's version, so that a newer format is called newer and not damaged."""
    try:
        fields = msgspec.json.decode(text)
        version = fields.get("format_version") if isinstance(fields, dict) else None
        if isinstance(version, int) and version > FORMAT_VERSION:
            hint = "Update marram on this machine."
            raise IntegrityError(
                f"its format is {version}, and this marram reads {FORMAT_VERSION}", where="manifest.json", hint=hint
            )
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise IntegrityError(f"the manifest cannot be read: {error}", where="manifest.json") from error
    if manifest.format_version != FORMAT_VERSION:
        raise IntegrityError(f"there is no format {manifest.format_version}", where="manifest.json")
    return manifest


def _bundle(manifest: Manifest, members: dict[str, bytes], name: str, signers: tuple[str, ...]) -> Bundle:
    """Every member held against the manifest, decoded, and held against the others."""
    _check_members(manifest, members)
    bundle = Bundle(
        digest=name,
        signers=signers,
        manifest=manifest,
        program=_program(manifest.program, members[manifest.program.blob]),
        golden=decode(members["golden.msgpack"], Golden),
        evidence=decode(members["evidence.msgpack"], Evidence),
        recipe=decode(members["recipe.msgpack"], Recipe) if "recipe.msgpack" in members else None,
        ledger=decode(members["ledger.msgpack"], Ledger) if "ledger.msgpack" in members else None,
        contract=_text(members, "contract.toml"),
        licence=_text(members, "licence.txt"),
    )
    _check_together(bundle)
    return bundle


def _check_members(manifest: Manifest, members: dict[str, bytes]) -> None:
    listed = {entry.name: entry for entry in manifest.members}
    present = members.keys() - {"manifest.json", "signatures.json"}
    allowed = _REQUIRED | {manifest.program.blob}
    if manifest.program.blob != f"program.{manifest.program.format}" or len(listed) != len(manifest.members):
        raise IntegrityError("the manifest contradicts itself", where="manifest.json")
    for wrong in sorted((listed.keys() ^ present) | (allowed - present) | (present - allowed - _OPTIONAL)):
        raise IntegrityError(f"member {wrong} is missing or does not belong", where=wrong)
    for name in sorted(present):
        if len(members[name]) != listed[name].size_bytes or digest(members[name]) != listed[name].digest:
            raise IntegrityError("the content is not the one that was signed", where=name)


def _check_together(bundle: Bundle) -> None:
    """What members say of each other."""
    lineage = bundle.manifest.lineage
    if lineage.contract != digest(bundle.contract.encode()) or lineage.graph != bundle.program.graph_digest:
        raise IntegrityError("the lineage is not that of its members", where="manifest.json")
    if lineage.recipe != (None if bundle.recipe is None else digest(bundle.recipe)):
        raise IntegrityError("the recipe is not the one of the lineage", where="recipe.msgpack")
    if not ledger_fits(bundle.ledger, bundle.recipe):
        raise IntegrityError("the ledger is that of another recipe", where="ledger.msgpack")
    if bundle.evidence.program_digest != digest(bundle.program):
        raise IntegrityError("the evidence is that of another program", where="evidence.msgpack")
    if not golden_fits(bundle.golden, bundle.program):
        raise IntegrityError("the golden vectors do not fit the program", where="golden.msgpack")
    if not labels_fit(bundle.manifest.labels, bundle.program):
        raise IntegrityError("the labels do not fit the program's outputs", where="manifest.json")


def _check_order(manifest: Manifest, target: str | None, newer_than: str | None) -> None:
    if target is not None and manifest.program.target != target:
        raise IntegrityError(f"it is made for target {manifest.program.target}, not for {target}")
    try:
        version = version_order(manifest.version)
    except UserError as error:
        raise IntegrityError(error.what, where="manifest.json") from error
    if newer_than is not None and version <= version_order(newer_than):
        raise IntegrityError(f"its version {manifest.version} is not newer than {newer_than}")


def _program(head: ProgramHead, blob: bytes) -> Program:
    fields = {field: getattr(head, field) for field in head.__struct_fields__}
    return Program(**(fields | {"blob": blob}))


def _text(members: dict[str, bytes], name: str) -> str:
    try:
        return members[name].decode()
    except UnicodeDecodeError as error:
        raise IntegrityError("not text in UTF-8", where=name) from error
