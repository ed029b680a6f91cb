"""A bundle's project as it was when the bundle was made: the contract, the data, the model that its decisions began with.

What is not as it was is refused with what differs; only then does a decision that is taken back tell what it alone did.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from marram._build.accounting import kept
from marram._build.bundle_targets import target_of
from marram._build.cache import Cache
from marram._build.comparing import contract_changes
from marram._build.gathering import Gathered, gather
from marram._build.modelling import obtain
from marram._build.order import Order
from marram._build.project import Project, find_project
from marram._build.replaying import material_digest
from marram._build.trusting import project_of
from marram.core.codec import digest
from marram.core.contract_file import parse
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.core.manifest import Bundle
from marram.core.ports import Progress


def project_for(bundle: Path, given: str | Path | None) -> Project:
    """The project that is named, or the one in whose ``dist`` a bundle lies.

    Raises:
        UserError: there is none.
    """
    found = project_of(bundle) if given is None else find_project(Path(given))
    if found is None:
        raise UserError(
            "lies in no project, and its model and data are needed",
            where=str(bundle),
            hint="Name the folder with its marram.toml: --project FOLDER.",
        )
    return found


def order_for(home: Project, bundle: Bundle, path: Path, progress: Progress) -> tuple[Order, str]:
    """The order of the contract that stands in the project, and the target's name.

    Raises:
        UserError: what makes the program is not as it was in the contract that was sealed.
    """
    text = home.contract_path.read_text(encoding="utf-8")
    contract, sealed = parse(text, where=str(home.contract_path)), parse(bundle.contract, where=f"contract in {path}")
    name = target_of(sealed, bundle, path)
    changed = [row for row in contract_changes(sealed, contract) if _makes_the_program(row.key, name)]
    if changed:
        keys = "; ".join(f"{row.key} was {row.a!r} and is {row.b!r}" for row in changed)
        raise UserError(
            f"the contract is not as it was when the bundle was sealed: {keys}",
            where=str(home.contract_path),
            hint="Put these keys back, or build again and revert a decision of the new bundle.",
        )
    cache = Cache(home.cache, announce=lambda stage: progress(f"{stage}: started", 0.0))
    return Order(contract=contract, text=text, project=home, cache=cache, progress=progress), name


def _makes_the_program(key: str, target: str) -> bool:
    """Whether a key decides what the program is, once the decisions are given."""
    return key.startswith((*(f"{part}." for part in ("model", "data", "input", "training")), f"targets.{target}."))


def gathered_for(order: Order, bundle: Bundle) -> Gathered:
    """The project's data, which must be what the bundle was made of.

    Raises:
        UserError: it is not.
    """
    gathered, was = gather(order), bundle.manifest.lineage.data
    if gathered.digest != was:
        raise _changed(order, "data", was, gathered.digest, order.contract.data.source)
    ledger = bundle.ledger
    if ledger is not None and ledger.material != material_digest(gathered):
        raise _changed(order, "preparation of samples", ledger.material, material_digest(gathered), order.contract.data.source)
    return gathered


class Began(msgspec.Struct, frozen=True, kw_only=True):
    """The contract's float model, and the Graph that a bundle's decisions began with, None where that is the same."""

    model: Graph
    base: Graph | None

    @property
    def graph(self) -> Graph:
        """The Graph that the decisions began with."""
        return self.model if self.base is None else self.base


def began_for(order: Order, gathered: Gathered, bundle: Bundle) -> Began:
    """What a bundle's decisions began with: the contract's model, or one that a search trained and the project keeps.

    Raises:
        UserError: the contract's model is not what it was, or the search's is not kept any more.
    """
    graph, ledger = obtain(order, gathered).graph, bundle.ledger
    if graph is None:
        raise _changed(order, "model", None if ledger is None else ledger.base, "an opaque file", order.contract.model.source)
    if ledger is None or digest(graph) == ledger.base:
        return Began(model=graph, base=None)
    contract, found = order.contract, kept(order, ledger.base)
    elsewhere = contract.search is not None or contract.compress.recipe is not None
    if found is None and elsewhere:
        raise UserError(
            f"the model that a search trained for the bundle, {_short(ledger.base)}, is not in the project's cache any more",
            where=str(order.project.cache),
            hint="Run marram build, and revert a decision of the bundle that it makes.",
        )
    if found is None or not elsewhere:
        raise _changed(order, "model", ledger.base, digest(graph), order.contract.model.source)
    return Began(model=graph, base=found)


def _changed(order: Order, what: str, was: str | None, now: str, source: str) -> UserError:
    return UserError(
        f"the project's {what} is not what the bundle was made of: {_short(was)} then, {_short(now)} now",
        where=str(order.project.folder / source),
        hint="Put it back, or build again and revert a decision of the new bundle.",
    )


def _short(name: str | None) -> str:
    return (name or "not known")[:19]
