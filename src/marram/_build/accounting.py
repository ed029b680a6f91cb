"""The ledger of a build: a recipe's decisions replayed, and after each one how good and how costly the model stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from marram._build.gathering import Gathered
from marram._build.order import Order
from marram._build.pricing import Priced
from marram._build.replaying import material_digest, standings
from marram.compress import closeness, fold
from marram.compress.integers.layer_damage import accuracy
from marram.compress.integers.stepping import first_batches
from marram.compress.integers.weight_bytes import weight_bytes
from marram.compress.material import Standing
from marram.core.codec import digest
from marram.core.errors import UserError
from marram.core.graph import Array, Graph
from marram.core.ledger import Entry, Figures, Ledger, Trial
from marram.core.recipe import Recipe
from marram.model.counts import counts
from marram.sense import apply as preprocess_samples

VALIDATION_SAMPLES = 512
_PRICES = ("instructions", "ram_bytes", "flash_bytes")


def account(
    order: Order,
    graph: Graph,
    recipe: Recipe,
    gathered: Gathered,
    *,
    trials: tuple[Trial, ...] = (),
    priced: Priced | None = None,
) -> Ledger:
    """What each decision of a recipe gained and cost.

    Accuracy (on validation samples) and closeness (on those and calibration samples) are of the reference: of the float Graph
    before the quantisation, of the integer one after it. Prices are the target's; the test part is never looked at.

    Args:
        order: the build.
        graph: the float Graph that the recipe began with.
        recipe: the decisions.
        gathered: the data.
        trials: what else was tried.
        priced: what the target charges; None where nothing foretells that.
    """
    inputs = (digest(graph), recipe, material_digest(gathered), trials, None if priced is None else (priced.name, priced.key))

    def make() -> Ledger:
        figures = _figures(graph, gathered, priced)
        start, *after = (figures(standing) for standing in standings(order, graph, recipe, gathered))
        return Ledger(
            base=digest(graph),
            material=material_digest(gathered),
            priced_for=None if priced is None else priced.name,
            start=start,
            entries=tuple(
                Entry(decision=decision, figures=found) for decision, found in zip(recipe.decisions, after, strict=True)
            ),
            trials=trials,
        )

    keep(order, graph)
    return order.cache.stage("ledger", 1, inputs, Ledger, make)


def keep(order: Order, graph: Graph) -> None:
    """Keep a Graph that decisions begin with, so that ``kept`` finds it by its digest."""
    order.cache.keep(("base model", digest(graph)), graph)


def kept(order: Order, name: str) -> Graph | None:
    """The Graph of a digest that a build of this project kept, None if there is none."""
    return order.cache.known(("base model", name), Graph)


def validation_samples(gathered: Gathered, *, limit: int | None = VALIDATION_SAMPLES) -> tuple[Array, Array]:
    """Preprocessed validation samples spread over the part, all without a limit, and their targets, -1 where one has none."""
    count = len(gathered.validation) if limit is None else min(limit, len(gathered.validation))
    places = np.linspace(0, len(gathered.validation) - 1, count).astype(np.int64)
    ((samples, targets),) = gathered.validation.subset(places).batches(count)
    return preprocess_samples(gathered.preprocess, samples), targets


def closeness_of(graph: Graph, samples: Array, gathered: Gathered) -> Callable[[Graph], float]:
    """How close another Graph's outputs stay to those of a float Graph, in decibels, on validation and calibration samples."""
    return closeness(fold(graph), np.concatenate([samples, gathered.calibration]))


def _figures(graph: Graph, gathered: Gathered, priced: Priced | None) -> Callable[[Standing], Figures]:
    """How a standing is measured; all of one ledger share the samples and the float model's outputs."""
    samples, targets = validation_samples(gathered)
    close = closeness_of(graph, samples, gathered)
    labelled = samples[targets >= 0], targets[targets >= 0]

    def measure(standing: Standing) -> Figures:
        now = standing.exact if standing.integer is None else standing.integer
        prices = _prices(priced, now)
        found: Figures = {
            "closeness_db": close(now),
            "macs": float(counts(now).macs),
            "weight_bytes": float(weight_bytes(now)),
        }
        if len(labelled[0]) and gathered.labels:
            inputs = first_batches(now, labelled[0], limit=VALIDATION_SAMPLES)
            found["accuracy_validation"] = accuracy(now, inputs, labelled[1])
        return found | {name: float(prices[name]) if name in prices else None for name in _PRICES if priced is not None}

    return measure


def _prices(priced: Priced | None, graph: Graph) -> Mapping[str, float]:
    """What a target charges for a Graph; nothing where the Graph, as it stands, is none that the target takes."""
    try:
        return {} if priced is None else priced.cost(graph)
    except UserError:  # such as a layer that stays float for a while
        return {}
