"""The float Graph made small: recipes tried on the validation part, the best kept, its damage measured layer by layer."""

from __future__ import annotations

import msgspec
import numpy as np

from marram._build.gathering import Gathered
from marram._build.order import Order
from marram.compress import LayerDamage, Material, apply, best, candidates, closeness, damage, fold, unroll
from marram.core.codec import digest
from marram.core.contract import CompressSection
from marram.core.graph import Array, Graph
from marram.core.recipe import CorrectBias, Equalise, Quantise, Recipe
from marram.report.record import RecipeTrial
from marram.sense import apply as preprocess_samples
from marram.sense import input_quantisation

_VALIDATION_SAMPLES = 512


class Shrunk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The folded float Graph, the integer Graph that the best recipe makes of it, all trials, and the damage."""

    folded: Graph
    integer: Graph
    recipe: Recipe
    trials: tuple[RecipeTrial, ...]
    damage: tuple[LayerDamage, ...]


def shrink(order: Order, graph: Graph, gathered: Gathered) -> Shrunk:
    """Quantise a float Graph by the best of the recipes that the contract allows.

    The choice looks at validation and calibration samples only. It goes by how close the outputs stay to the float model's:
    the accuracies of recipes on a few hundred samples differ by less than their own noise.
    """
    section, progress = order.contract.compress, order.progress
    inputs = (digest(graph), section, gathered.preprocess, digest(gathered.calibration), gathered.validation.digest)

    def make() -> Shrunk:
        samples, targets = _validation(gathered)
        material = Material(
            calibration=gathered.calibration,
            input_quantisation=input_quantisation(gathered.preprocess),
            progress=lambda what, part: progress(f"compression: {what}", 0.8 * part),
        )
        choice = best(
            graph,
            allowed(section),
            material,
            closeness(fold(graph), np.concatenate([samples, gathered.calibration])),
        )
        progress("compression: damage by layer", 0.8)
        exact = _before_rounding(graph, choice.recipe, gathered)
        lost = damage(exact, choice.graph, samples, targets if gathered.labels else None)
        trials = tuple(RecipeTrial(recipe=tried.recipe, closeness_db=tried.score) for tried in choice.tried)
        return Shrunk(folded=fold(graph), integer=choice.graph, recipe=choice.recipe, trials=trials, damage=lost)

    return order.cache.stage("compression", 2, inputs, Shrunk, make)


def allowed(section: CompressSection) -> tuple[Recipe, ...]:
    """The candidate recipes that a contract lets a build try."""
    found = []
    for recipe in candidates():
        kinds = {type(decision) for decision in recipe.decisions}
        if (Equalise in kinds and not section.equalise) or (CorrectBias in kinds and not section.correct_bias):
            continue
        quantises = [decision for decision in recipe.decisions if isinstance(decision, Quantise)]
        if all(decision.calibration in section.calibration for decision in quantises):
            found.append(_keeping_float(recipe, section.keep_float))
    return tuple(found)


def _keeping_float(recipe: Recipe, nodes: tuple[str, ...]) -> Recipe:
    changed = (
        msgspec.structs.replace(decision, keep_float=nodes) if isinstance(decision, Quantise) else decision
        for decision in recipe.decisions
    )
    return Recipe(decisions=tuple(changed))


def _before_rounding(graph: Graph, recipe: Recipe, gathered: Gathered) -> Graph:
    """The float Graph that the recipe's quantisation starts from."""
    kept = tuple(decision for decision in recipe.decisions if not isinstance(decision, Quantise | CorrectBias))
    return unroll(apply(graph, Recipe(decisions=kept), Material(calibration=gathered.calibration)))


def _validation(gathered: Gathered) -> tuple[Array, Array]:
    """Preprocessed validation samples spread over the part, and their targets."""
    count = min(_VALIDATION_SAMPLES, len(gathered.validation))
    places = np.linspace(0, len(gathered.validation) - 1, count).astype(np.int64)
    ((samples, targets),) = gathered.validation.subset(places).batches(count)
    return preprocess_samples(gathered.preprocess, samples), targets
