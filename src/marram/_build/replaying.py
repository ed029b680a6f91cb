"""Recipes replayed on a project's data, decision by decision, each one's graphs kept in the cache.

Whoever replays the same decisions again, for a ledger or to leave one of the last ones out, does not train again.
"""

from __future__ import annotations

import msgspec

from marram._build.gathering import Gathered
from marram._build.order import Order
from marram._build.pricing import Priced, first_priced
from marram.compress import Material, describe
from marram.compress.material import Standing
from marram.compress.replay import continued
from marram.core.codec import digest
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.core.recipe import Decision, Prune, Recipe
from marram.sense import apply, input_quantisation


class _Made(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a standing: the original is known to who asks."""

    exact: Graph
    integer: Graph | None


def material_of(order: Order, gathered: Gathered, *, priced: Priced | None = None) -> Material:
    """What decisions use in a build: calibration, training and validation part; never the test part."""
    preprocess = gathered.preprocess
    return Material(
        calibration=gathered.calibration,
        input_quantisation=input_quantisation(preprocess),
        training=gathered.training,
        validation=gathered.validation,
        preprocess=lambda samples: apply(preprocess, samples),
        cost=None if priced is None else priced.cost,
        classes=bool(gathered.labels),
        progress=lambda what, part: order.progress(f"compression: {what}", part),
    )


def material_digest(gathered: Gathered) -> str:
    """Digest of all samples that decisions may use and of how they are prepared."""
    parts = (gathered.training.digest, gathered.validation.digest)
    return digest((gathered.preprocess, digest(gathered.calibration), parts))


def standings(order: Order, graph: Graph, recipe: Recipe, gathered: Gathered) -> tuple[Standing, ...]:
    """How the graphs stand before the first decision and after each, from the cache where they were made before.

    Decisions that are told a share of a target's resource have the prices of the contract's first target that has any.

    Args:
        order: whose cache it is.
        graph: the float Graph that the decisions begin with.
        recipe: the decisions.
        gathered: what they use.

    Raises:
        UserError: a decision cannot be applied where it stands; ``where`` names it with its number.
    """
    priced = first_priced(order) if any(map(_asks_prices, recipe.decisions)) else None
    material = material_of(order, gathered, priced=priced)
    origin = (digest(graph), material_digest(gathered), None if priced is None else priced.key)
    found = [Standing(original=graph, exact=graph)]
    for index in range(len(recipe.decisions)):
        found.append(_after(order, found[-1], recipe.decisions[: index + 1], material, origin))
    return tuple(found)


def _after(
    order: Order, standing: Standing, decisions: tuple[Decision, ...], material: Material, origin: tuple[object, ...]
) -> Standing:
    """The standing after the last of some decisions."""
    number, decision = len(decisions) - 1, decisions[-1]

    def make() -> _Made:
        try:
            made = continued(standing, (decision,), material)
        except UserError as error:
            where = f"decision {number}, {describe(decision)}" + (f": {error.where}" if error.where else "")
            raise UserError(error.what, where=where, hint=error.hint) from error
        return _Made(exact=made.exact, integer=made.integer)

    kept = order.cache.stage(f"decision {number}: {type(decision).__name__.lower()}", 1, (origin, decisions), _Made, make)
    return Standing(original=standing.original, exact=kept.exact, integer=kept.integer)


def _asks_prices(decision: Decision) -> bool:
    return isinstance(decision, Prune) and decision.resource != "macs"
