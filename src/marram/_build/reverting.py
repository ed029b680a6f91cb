"""``marram explain --revert``: a bundle's program built again without one of its decisions, measured, sealed and compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

import marram
from marram._build.bundle_origin import Began, began_for, gathered_for, order_for, project_for
from marram._build.bundle_targets import WITHOUT
from marram._build.comparing import Difference, diff
from marram._build.explaining import recipe_of
from marram._build.firmware import takes_c
from marram._build.gathering import Gathered
from marram._build.job import baseline_of
from marram._build.order import Order
from marram._build.project import exclusive
from marram._build.shipment import Models, Shipping
from marram._build.shipping import profile, ship
from marram._build.shrinking import shrink_by
from marram._build.trusting import trusted_keys
from marram.bundle import open as open_bundle
from marram.compress import describe
from marram.core.codec import digest
from marram.core.contract import Contract
from marram.core.durable import write_atomically
from marram.core.errors import UserError
from marram.core.evidence import Verdict
from marram.core.manifest import Bundle
from marram.core.ports import Progress
from marram.core.recipe import CorrectBias, Quantise, Recipe, Round, TrainQuantised
from marram.core.recipe_file import written

_ON_INTEGERS = (CorrectBias, Round, TrainQuantised)
"""Decisions that change an integer graph."""


class Reverted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bundle without one decision.

    ``bundle`` is its file, ``recipe_file`` one that ``[compress] recipe`` may name to have the same from a build.
    ``difference`` leads from the old bundle to it. ``remarks`` say what else is not as it was.
    """

    number: int
    decision: str
    bundle: str
    recipe_file: str
    verdicts: tuple[Verdict, ...]
    difference: Difference
    remarks: tuple[str, ...]


def revert(
    bundle: str | Path,
    number: int,
    *,
    trust: Sequence[str | Path] = (),
    project: str | Path | None = None,
    out: str | Path | None = None,
    progress: Progress = lambda _what, _part: None,
) -> Reverted:
    """Build a bundle's program again without one decision.

    The project must be as it was: the same data, model and target. The program is, byte for byte, that of a build whose
    contract names the recipe without this decision and the same runtime.

    Args:
        bundle: the ``.mrm`` file.
        number: the decision's, from 0, as ``explain`` lists them.
        trust: public key files; those of the bundle's own project if none are given.
        project: the folder with the contract; the one in whose ``dist`` the bundle lies if not given.
        out: the new bundle; ``dist/<target>.without-<number>.mrm`` of the project if not given.
        progress: told what is being done.

    Raises:
        UserError: no such decision, others stand on it, or the project is not as it was; says what differs.
        IntegrityError: the bundle cannot be trusted.
    """
    path = Path(bundle)
    opened = open_bundle(path, trusted_keys(path, trust))
    recipe = recipe_of(opened, path)
    left = recipe_without(recipe, number)
    home = project_for(path, project)
    with exclusive(home):
        order, name = order_for(home, opened, path, progress)
        place = home.dist / f"{name}{WITHOUT}{number}.mrm" if out is None else Path(out)
        if place.resolve() == path.resolve():
            raise UserError("is the bundle itself", where=str(place), hint="Give another file as --out.")
        gathered = gathered_for(order, opened)
        began = began_for(order, gathered, opened)
        try:
            verdicts = _built(order, name, opened, (gathered, began, left), place)
        except UserError as error:
            what = f"without decision {number}, {describe(recipe.decisions[number])}: {error.what}"
            raise UserError(what, where=error.where, hint=error.hint or "Revert what stands on it first.") from error
        recipe_file = place.with_suffix(".json")
        base = None if began.base is None else digest(began.base)
        write_atomically(recipe_file, written(left, base=base).encode())
    own = (home.public_key,)
    return Reverted(
        number=number,
        decision=describe(recipe.decisions[number]),
        bundle=str(place),
        recipe_file=str(recipe_file),
        verdicts=verdicts,
        difference=diff(path, place, trust=(*trust, *own)),
        remarks=_remarks(opened),
    )


def _built(order: Order, name: str, bundle: Bundle, parts: tuple[Gathered, Began, Recipe], place: Path) -> tuple[Verdict, ...]:
    """Replay, compile, measure, seal: as a build does it for one target."""
    gathered, began, recipe = parts
    shrunk = shrink_by(order, began.model, gathered, recipe, base=began.base)
    models = Models(exact=shrunk.folded, integer=shrunk.integer, opaque=None, recipe=recipe, base=began.graph)
    shipping = Shipping(order=order, gathered=gathered, models=models, place=place)
    return ship(_narrowed(shipping, name, bundle), name, baseline_of(shipping)).verdicts


def recipe_without(recipe: Recipe, number: int) -> Recipe:
    """The recipe less one decision.

    Raises:
        UserError: there is no such decision, or the others make no sense without it.
    """
    count = len(recipe.decisions)
    if not 0 <= number < count:
        raise UserError(f"there is no decision {number}: the bundle has {count}, 0 to {count - 1}", where="--revert")
    if isinstance(recipe.decisions[number], Quantise):
        resting = [
            f"{later} ({describe(decision)})"
            for later, decision in enumerate(recipe.decisions)
            if later > number and isinstance(decision, _ON_INTEGERS)
        ]
        if resting:
            raise UserError(
                f"decision {number} makes the integer graph that {_joined(resting)} changes",
                where="--revert",
                hint="Revert the last of these first, then the others, each from the bundle that the one before made.",
            )
        raise UserError(
            f"without decision {number} nothing makes integers, and the program is a float one",
            where="--revert",
            hint='A target with precision = "float32" has that program.',
        )
    return recipe.without(number)


def _joined(words: Sequence[str]) -> str:
    return f"decision {words[0]}" if len(words) == 1 else f"each of decisions {', '.join(words)}"


def _narrowed(shipping: Shipping, name: str, bundle: Bundle) -> Shipping:
    """The shipping of a target whose program is for the bundle's runtime and in its precision, whatever else is faster."""
    order, program = shipping.order, bundle.program
    contract: Contract = order.contract
    section = contract.targets[name]
    if takes_c(section, profile(shipping, section)):
        return shipping
    exact = msgspec.structs.replace(section, runtime=program.runtime, precision=program.precision)
    narrowed = msgspec.structs.replace(contract, targets={**contract.targets, name: exact})
    return msgspec.structs.replace(shipping, order=msgspec.structs.replace(order, contract=narrowed))


def _remarks(bundle: Bundle) -> tuple[str, ...]:
    maker = f"marram {marram.__version__}"
    remarks = []
    if bundle.manifest.created_by != maker:
        remarks.append(
            f"The bundle was made by {bundle.manifest.created_by}, this one by {maker}: more may differ than the decision."
        )
    if bundle.ledger is None:
        remarks.append("The bundle has no ledger, so nothing tells whether its model was the one that is in the project now.")
    return tuple(remarks)
