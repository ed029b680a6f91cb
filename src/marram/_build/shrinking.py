"""The float Graph made small: recipes tried on the validation part, the best kept, its damage measured layer by layer."""

from __future__ import annotations

import msgspec

from marram._build.accounting import closeness_of, kept, validation_samples
from marram._build.gathering import Gathered
from marram._build.order import Order
from marram._build.replaying import material_digest, material_of, standings
from marram.compress import LayerDamage, apply, best, candidates, damage, fold, unroll
from marram.core.codec import digest
from marram.core.contract import CompressSection
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.core.ledger import Trial
from marram.core.recipe import CorrectBias, Equalise, Quantise, Recipe
from marram.core.recipe_file import Given, read_given
from marram.report.record import RecipeTrial


class Shrunk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The folded float Graph, the integer Graph that the best recipe makes of it, all trials, and the damage.

    ``base`` is the Graph that the recipe began with where that is another one; ``began_with`` says which in any case.
    """

    folded: Graph
    integer: Graph
    recipe: Recipe
    trials: tuple[RecipeTrial, ...]
    damage: tuple[LayerDamage, ...]
    base: Graph | None = None

    def began_with(self, graph: Graph) -> Graph:
        """The Graph that the recipe began with, given the contract's model."""
        return graph if self.base is None else self.base

    def ledger_trials(self) -> tuple[Trial, ...]:
        """The trials as a ledger has them: why each was not taken."""
        best_db = max((trial.closeness_db for trial in self.trials), default=0.0)
        return tuple(
            Trial(
                recipe=trial.recipe,
                figures={"closeness_db": trial.closeness_db},
                reason="" if trial.recipe == self.recipe else _reason(best_db - trial.closeness_db),
            )
            for trial in self.trials
        )


def _reason(behind_db: float) -> str:
    return f"outputs {behind_db:.2f} dB less close to the float model's" if behind_db > 0 else "as close, with more decisions"


def shrink(order: Order, graph: Graph, gathered: Gathered) -> Shrunk:
    """Quantise a float Graph by the recipe that the contract names, or by the best of those that it allows.

    The choice looks at validation and calibration samples only. It goes by how close the outputs stay to the float model's:
    the accuracies of recipes on a few hundred samples differ by less than their own noise.
    """
    section = order.contract.compress
    if section.recipe is not None:
        given = given_recipe(order)
        return shrink_by(order, graph, gathered, given.recipe, base=_base(order, graph, given))
    inputs = (digest(graph), section, gathered.preprocess, digest(gathered.calibration), gathered.validation.digest)

    def make() -> Shrunk:
        samples, targets = validation_samples(gathered)
        material = material_of(order, gathered)
        quiet = msgspec.structs.replace(material, progress=lambda what, part: material.progress(what, 0.8 * part))
        choice = best(graph, allowed(section), quiet, closeness_of(graph, samples, gathered))
        order.progress("compression: damage by layer", 0.8)
        exact = _before_rounding(graph, choice.recipe, order, gathered)
        lost = damage(exact, choice.graph, samples, targets if gathered.labels else None)
        trials = tuple(RecipeTrial(recipe=tried.recipe, closeness_db=tried.score) for tried in choice.tried)
        return Shrunk(folded=fold(graph), integer=choice.graph, recipe=choice.recipe, trials=trials, damage=lost)

    return order.cache.stage("compression", 3, inputs, Shrunk, make)


def given_recipe(order: Order) -> Given:
    """The recipe that the contract names.

    Raises:
        UserError: there is no such file, or it holds no recipe.
    """
    name = order.contract.compress.recipe
    assert name is not None
    return read_given(order.project.folder / name)


def _base(order: Order, graph: Graph, given: Given) -> Graph | None:
    """The Graph that a given recipe begins with, None where it is the contract's model."""
    if given.base is None or given.base == digest(graph):
        return None
    found = kept(order, given.base)
    if found is None:
        raise UserError(
            f"the model that the recipe begins with, {given.base[:19]}..., is not in this project's cache",
            where=order.contract.compress.recipe,
            hint="Leave [compress] recipe out and build: the search trains it again.",
        )
    return found


def shrink_by(order: Order, graph: Graph, gathered: Gathered, recipe: Recipe, *, base: Graph | None = None) -> Shrunk:
    """Exactly the decisions of a recipe, none of them tried against another.

    Args:
        order: the build.
        graph: the contract's float model.
        gathered: the data.
        recipe: the decisions.
        base: what they begin with, if that is not the contract's model.

    Raises:
        UserError: a decision cannot be applied where it stands, or none of them makes integers.
    """
    if not any(isinstance(decision, Quantise) for decision in recipe.decisions):
        raise UserError(
            "none of the recipe's decisions makes integers",
            where="recipe",
            hint='Add a quantise, or set precision = "float32" in every [targets.NAME] and leave the recipe out.',
        )
    standing = standings(order, graph if base is None else base, recipe, gathered)[-1]
    integer = standing.integer
    assert integer is not None
    origin = (digest(graph), None if base is None else digest(base), recipe, material_digest(gathered))
    inputs = (origin, digest(standing.exact), digest(integer))

    def make() -> Shrunk:
        samples, targets = validation_samples(gathered)
        lost = damage(standing.exact, integer, samples, targets if gathered.labels else None)
        return Shrunk(folded=fold(graph), integer=integer, recipe=recipe, trials=(), damage=lost, base=base)

    return order.cache.stage(
        "damage by layer", 2, (digest(graph), None if base is None else digest(base), recipe, inputs), Shrunk, make
    )


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


def _before_rounding(graph: Graph, recipe: Recipe, order: Order, gathered: Gathered) -> Graph:
    """The float Graph that the recipe's quantisation starts from."""
    before = tuple(decision for decision in recipe.decisions if not isinstance(decision, Quantise | CorrectBias))
    return unroll(apply(graph, Recipe(decisions=before), material_of(order, gathered)))
