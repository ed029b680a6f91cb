"""Recipes replayed on a project's data, decision by decision, each one's graphs kept in the cache.

Whoever replays the same decisions again, for a ledger or to leave one of the last ones out, does not train again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from marram._build.gathering import Gathered
from marram._build.order import Order
from marram._build.pricing import Priced, first_priced
from marram.compress import Material, describe
from marram.compress.material import Made, Standing, nobody
from marram.compress.replay import continued
from marram.core.codec import digest
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.core.recipe import Decision, Prune, Recipe
from marram.sense import apply, input_quantisation

_VERSION = 1


def material_of(order: Order, gathered: Gathered, *, priced: Priced | None = None, silent: bool = False) -> Material:
    """What decisions use in a build: calibration, training and validation part; never the test part.

    A ``silent`` one tells nobody what is being done, and can be sent to a worker.
    """
    preprocess = gathered.preprocess
    return Material(
        calibration=gathered.calibration,
        input_quantisation=input_quantisation(preprocess),
        training=gathered.training,
        validation=gathered.validation,
        preprocess=partial(apply, preprocess),
        cost=None if priced is None else priced.cost,
        classes=bool(gathered.labels),
        progress=nobody if silent else lambda what, part: order.progress(f"compression: {what}", part),
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


def remember(order: Order, graph: Graph, gathered: Gathered, recipe: Recipe, made: Sequence[Made]) -> None:
    """Keep what a recipe's decisions made elsewhere, such as in a worker, as if ``standings`` had made it here."""
    origin = (digest(graph), material_digest(gathered), None)
    for index, kept in enumerate(made):
        decisions = recipe.decisions[: index + 1]
        order.cache.keep((_stage(decisions), _VERSION, (origin, decisions)), kept)


def _stage(decisions: tuple[Decision, ...]) -> str:
    return f"decision {len(decisions) - 1}: {type(decisions[-1]).__name__.lower()}"


def _after(
    order: Order, standing: Standing, decisions: tuple[Decision, ...], material: Material, origin: tuple[object, ...]
) -> Standing:
    """The standing after the last of some decisions."""
    number, decision = len(decisions) - 1, decisions[-1]

    def make() -> Made:
        try:
            made = continued(standing, (decision,), material)
        except UserError as error:
            where = f"decision {number}, {describe(decision)}" + (f": {error.where}" if error.where else "")
            raise UserError(error.what, where=where, hint=error.hint) from error
        return Made(exact=made.exact, integer=made.integer)

    kept = order.cache.stage(_stage(decisions), _VERSION, (origin, decisions), Made, make)
    return Standing(original=standing.original, exact=kept.exact, integer=kept.integer)


def _asks_prices(decision: Decision) -> bool:
    return isinstance(decision, Prune) and decision.resource != "macs"
