"""Finishing: a part of a supernet that a search has chosen becomes a model to ship, each step of it a decision.

The weights that a supernet hands down serve all its parts a little; the whole net teaches the chosen one again. Then recipes
of quantisation are tried, and where rounding costs accuracy on the validation samples, training goes through the roundings.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from marram.compress.integers.assignment import assign_bits
from marram.compress.integers.layer_damage import accuracy
from marram.compress.integers.stepping import first_batches
from marram.compress.material import Made, Material, Standing
from marram.compress.replay import best, continued
from marram.compress.scoring import closeness
from marram.core.errors import UserError
from marram.core.graph import Array, Graph
from marram.core.recipe import (
    CorrectBias,
    Decision,
    Distillation,
    FineTune,
    Quantise,
    Recipe,
    Round,
    TrainQuantised,
    Tuning,
    WeightBits,
)
from marram.model.training import Examples

_CLOSE_SAMPLES = 512
_VALIDATION_SAMPLES = 4096


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """What finishing takes; called with what is wanted it gives the ``Finished`` model.

    Args:
        graph: the whole Graph that recipes begin with.
        material: training and validation examples, calibration; the teacher is the whole Graph.
        recipes: of quantisation, those that may be tried.
        tuning: how the part is trained on.
        quantised: how it is trained through its roundings, where that is needed.
        weight_bits: that weights may have, in falling order, where their share of the flash asks for fewer than 8.
        tolerance: the share of validation samples that rounding may cost before it is.
    """

    graph: Graph
    material: Material
    recipes: tuple[Recipe, ...]
    tuning: Tuning
    quantised: Tuning
    weight_bits: tuple[WeightBits, ...] = (8,)
    tolerance: float = 0.002

    def __call__(self, wanted: Wanted) -> Finished:
        """Train on, quantise, and train through the roundings if need be."""
        return finished(self, wanted)


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part to finish: the decisions that cut it out, and the share of its int8 constants that flash has room for.

    None: there is room for all of them.
    """

    decisions: tuple[Decision, ...]
    constants_share: float | None = None


class Finished(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model to ship and the recipe that makes it of the whole Graph; errors are shares of the validation samples.

    ``made`` is what each decision made, in order.
    """

    recipe: Recipe
    exact: Graph
    integer: Graph
    exact_error: float
    integer_error: float
    made: tuple[Made, ...]


def finished(job: Finish, wanted: Wanted) -> Finished:
    """As ``Finish`` when it is called."""
    walk = _Walk(job)
    walk.go((*wanted.decisions, FineTune(tuning=job.tuning, distillation=Distillation())))
    exact = walk.standing.exact
    choice = best(exact, job.recipes, job.material, closeness(exact, job.material.calibration, limit=_CLOSE_SAMPLES))
    walk.go(_in_fewer_bits(job, exact, choice.recipe, wanted.constants_share))
    exact_error, integer_error = (_error(job.material, graph) for graph in walk.graphs())
    if integer_error - exact_error > job.tolerance:
        further = walk.fork()
        further.go((TrainQuantised(tuning=job.quantised, distillation=Distillation()),))
        error = _error(job.material, further.graphs()[1])
        if error < integer_error:
            walk, integer_error = further, error
    exact_graph, integer_graph = walk.graphs()
    return Finished(
        recipe=Recipe(decisions=tuple(walk.decisions)),
        exact=exact_graph,
        integer=integer_graph,
        exact_error=exact_error,
        integer_error=integer_error,
        made=tuple(walk.made),
    )


def _in_fewer_bits(job: Finish, exact: Graph, recipe: Recipe, share: float | None) -> tuple[Decision, ...]:
    """The recipe's decisions, with fewer bits for weights where they must take less flash, and rounding that suits them."""
    if share is None:
        return recipe.decisions
    quantise = next(decision for decision in recipe.decisions if isinstance(decision, Quantise))
    fewer = tuple(bits for bits in job.weight_bits if bits < 8)
    before = continued(
        Standing(original=exact, exact=exact), recipe.decisions[: recipe.decisions.index(quantise)], job.material
    )
    try:
        found = assign_bits(
            before.exact, budget_share=share, material=job.material, bits=fewer, decision=quantise, rounding=Round()
        )
    except UserError:  # it says how near one comes: then the part stays as it is, and its test shows what it is over
        return recipe.decisions
    others = (decision for decision in recipe.decisions if not isinstance(decision, CorrectBias))
    chosen = [
        msgspec.structs.replace(decision, weight_bits=found.weight_bits) if decision is quantise else decision
        for decision in others
    ]
    return (*chosen, Round())


class _Walk:
    """Decisions taken one after the other, and what each made."""

    def __init__(self, job: Finish) -> None:
        self.job = job
        self.standing = Standing(original=job.graph, exact=job.graph)
        self.decisions: list[Decision] = []
        self.made: list[Made] = []

    def go(self, decisions: Sequence[Decision]) -> None:
        """Take further decisions."""
        for decision in decisions:
            self.standing = continued(self.standing, (decision,), self.job.material)
            self.decisions.append(decision)
            self.made.append(Made(exact=self.standing.exact, integer=self.standing.integer))

    def fork(self) -> _Walk:
        """Another walk that has come as far."""
        other = _Walk(self.job)
        other.standing, other.decisions, other.made = self.standing, [*self.decisions], [*self.made]
        return other

    def graphs(self) -> tuple[Graph, Graph]:
        """The float and the integer Graph."""
        assert self.standing.integer is not None
        return self.standing.exact, self.standing.integer


def _error(material: Material, graph: Graph) -> float:
    """The share of validation samples that a float or integer Graph answers wrongly, by the reference."""
    samples, targets = _validation(material)
    inputs = first_batches(graph, samples, limit=len(samples), size=256)
    return 1.0 - accuracy(graph, inputs, targets)


def _validation(material: Material) -> tuple[Array, Array]:
    """Validation samples spread over their part (the training part where there is none), as inputs, and their targets."""
    examples: Examples = material.validation or material.to_learn_from("finishing a model")
    count = min(_VALIDATION_SAMPLES, len(examples))
    places = np.linspace(0, len(examples) - 1, count).astype(np.int64)
    ((samples, targets),) = examples.subset(places).batches(count)
    return (samples if material.preprocess is None else material.preprocess(samples)), targets
