"""``marram diff``: two bundles, two recipes, or one of each, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from marram._build.trusting import trusted_keys
from marram.bundle import open as open_bundle
from marram.compress import diff as recipe_diff
from marram.core.contract import Contract
from marram.core.contract_file import parse
from marram.core.errors import UserError
from marram.core.manifest import Bundle
from marram.core.recipe import Recipe
from marram.core.recipe_file import SUFFIXES, read


class _Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Root of what is put side by side."""


class Side(_Row, frozen=True, kw_only=True):
    """One of the two: a recipe file, or a bundle, which says more of itself."""

    path: str
    kind: Literal["bundle", "recipe"]
    decisions: int
    name: str | None = None
    version: str | None = None
    created_by: str | None = None
    target: str | None = None
    runtime: str | None = None
    precision: str | None = None
    digest: str | None = None


class FigureRow(_Row, frozen=True, kw_only=True):
    """A figure of both; ``change`` is b less a, None where one of them has it not."""

    name: str
    unit: str
    a: float | None
    b: float | None
    change: float | None


class KeyRow(_Row, frozen=True, kw_only=True):
    """A key whose values differ, None where one of them has it not."""

    key: str
    a: Any
    b: Any


class Difference(_Row, frozen=True, kw_only=True):
    """What leads from one to the other.

    ``decisions`` are those taken away (``- ``) and added (``+ ``), in order. ``figures`` are all that both or one of two
    bundles were sealed with; ``contract`` and ``lineage`` only what differs. ``same_program`` is None unless both are bundles.
    """

    a: Side
    b: Side
    decisions: tuple[str, ...]
    figures: tuple[FigureRow, ...] = ()
    contract: tuple[KeyRow, ...] = ()
    lineage: tuple[KeyRow, ...] = ()
    same_program: bool | None = None


class _Read(msgspec.Struct, frozen=True, kw_only=True):
    side: Side
    recipe: Recipe
    bundle: Bundle | None


def diff(a: str | Path, b: str | Path, *, trust: Sequence[str | Path] = ()) -> Difference:
    """Compare two bundles, two recipe files (``.json``, ``.toml``), or one of each.

    Args:
        a: what is there before.
        b: what is there after.
        trust: public key files; for each bundle those of its own project if none are given.

    Raises:
        UserError: a file is not there or is neither a bundle nor a recipe.
        IntegrityError: a bundle cannot be trusted.
    """
    first, second = _read(Path(a), trust), _read(Path(b), trust)
    found = Difference(a=first.side, b=second.side, decisions=recipe_diff(first.recipe, second.recipe))
    if first.bundle is None or second.bundle is None:
        return found
    return msgspec.structs.replace(
        found,
        figures=tuple(_figures(first.bundle, second.bundle)),
        contract=contract_changes(_contract(first), _contract(second)),
        lineage=_lineage(first.bundle, second.bundle),
        same_program=first.bundle.program == second.bundle.program,
    )


def contract_changes(a: Contract, b: Contract) -> tuple[KeyRow, ...]:
    """The keys of two contracts whose values differ."""
    return _differing(_flat(msgspec.to_builtins(a)), _flat(msgspec.to_builtins(b)))


def _read(path: Path, trust: Sequence[str | Path]) -> _Read:
    if path.suffix in SUFFIXES:
        recipe = read(path)
        return _Read(side=Side(path=str(path), kind="recipe", decisions=len(recipe.decisions)), recipe=recipe, bundle=None)
    if path.suffix != ".mrm":
        hint = f"Give a bundle (.mrm) or a recipe ({', '.join(SUFFIXES)})."
        raise UserError("is neither a bundle nor a recipe by its name", where=str(path), hint=hint)
    bundle = open_bundle(path, trusted_keys(path, trust))
    recipe = bundle.recipe or Recipe(decisions=())
    manifest, program = bundle.manifest, bundle.program
    side = Side(
        path=str(path),
        kind="bundle",
        decisions=len(recipe.decisions),
        name=manifest.name,
        version=manifest.version,
        created_by=manifest.created_by,
        target=program.target,
        runtime=f"{program.runtime} {program.runtime_version}",
        precision=program.precision,
        digest=bundle.digest,
    )
    return _Read(side=side, recipe=recipe, bundle=bundle)


def _contract(found: _Read) -> Contract:
    assert found.bundle is not None
    return parse(found.bundle.contract, where=f"contract in {found.side.path}")


def _figures(a: Bundle, b: Bundle) -> Iterator[FigureRow]:
    """The program's file, then every sealed figure in the order of the first bundle, then what only the second has."""
    yield _figure("program_bytes", "B", float(a.program.size_bytes), float(b.program.size_bytes))
    for name in dict.fromkeys(figure.name for bundle in (a, b) for figure in bundle.evidence.figures):
        first, second = a.evidence.figure(name), b.evidence.figure(name)
        unit = next(figure.unit for figure in (first, second) if figure is not None)
        yield _figure(name, unit, None if first is None else first.value, None if second is None else second.value)


def _figure(name: str, unit: str, a: float | None, b: float | None) -> FigureRow:
    return FigureRow(name=name, unit=unit, a=a, b=b, change=None if a is None or b is None else b - a)


def _lineage(a: Bundle, b: Bundle) -> tuple[KeyRow, ...]:
    return _differing(*({**msgspec.to_builtins(one.manifest.lineage), **_began(one)} for one in (a, b)))


def _began(bundle: Bundle) -> dict[str, str]:
    """What the ledger knows of where the decisions began."""
    ledger = bundle.ledger
    return {} if ledger is None else {"base model": ledger.base, "samples of the decisions": ledger.material}


def _differing(a: dict[str, Any], b: dict[str, Any]) -> tuple[KeyRow, ...]:
    return tuple(KeyRow(key=key, a=a.get(key), b=b.get(key)) for key in dict.fromkeys((*a, *b)) if a.get(key) != b.get(key))


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted keys."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
