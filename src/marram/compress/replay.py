"""Replay: a Recipe is applied to a Graph, or chosen among candidates by a measured score."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import Any

import msgspec
import numpy as np

from marram.compress.integers.bias_correction import correct_bias
from marram.compress.integers.calibration import Statistics, ranges, scores, statistics
from marram.compress.integers.quantisation import quantise_by_ranges
from marram.compress.integers.rounding import rounded_adaptively
from marram.compress.learning.fine_tuning import fine_tuned
from marram.compress.learning.quantised.training import trained_quantised
from marram.compress.material import Material, Standing
from marram.compress.rewrites.equalisation import equalise
from marram.compress.rewrites.factorisation import factorised
from marram.compress.rewrites.folding import fold
from marram.compress.rewrites.recurrence import unroll
from marram.compress.rewrites.separation import separated
from marram.compress.structure import steps
from marram.compress.telling import describe
from marram.core.codec import encode
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.core.ports import Progress
from marram.core.recipe import (
    CalibrationMethod,
    CorrectBias,
    Crop,
    Decision,
    Downsample,
    Equalise,
    Factorise,
    FineTune,
    Fold,
    Narrow,
    Prune,
    Quantise,
    Recipe,
    Round,
    Separate,
    Skip,
    TrainQuantised,
)


class Tried(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recipe and the score that its result was given."""

    recipe: Recipe
    score: float


class Choice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The best recipe, the Graph it makes, its score, and everything that was tried, in order."""

    recipe: Recipe
    graph: Graph
    score: float
    tried: tuple[Tried, ...]


Step = Callable[[Standing, Any, Material], Standing]
"""What a decision does: the graphs as they stand, the decision and the material in, the graphs after it out."""

_Seen = dict[bytes, tuple[Graph, dict[str, Statistics]]]
"""What calibration saw, by the encoding of the decisions before the quantisation."""


def apply(graph: Graph, recipe: Recipe, material: Material) -> Graph:
    """Replay a Recipe's decisions in order. Equal arguments give equal Graphs.

    Args:
        graph: a float Graph.
        recipe: the decisions.
        material: what they use.

    Returns:
        The integer Graph if a decision made one, else the float Graph.

    Raises:
        UserError: a decision stands where it cannot be applied, such as a bias correction before any quantisation, or needs
            what the material has not.
    """
    standing = applied(graph, recipe, material)
    return standing.exact if standing.integer is None else standing.integer


def applied(graph: Graph, recipe: Recipe, material: Material) -> Standing:
    """As ``apply``: the float form that the quantisation started from, too."""
    for standing in stages(graph, recipe, material):
        last = standing
    return last


def continued(standing: Standing, decisions: Sequence[Decision], material: Material) -> Standing:
    """How the graphs stand after further decisions: as if they stood at the end of the recipe that led there."""
    for last in _onwards(standing, tuple(decisions), material):
        standing = last
    return standing


def stages(graph: Graph, recipe: Recipe, material: Material) -> Iterator[Standing]:
    """How the graphs stand before the first decision and after each."""
    standing = Standing(original=graph, exact=graph)
    yield standing
    yield from _onwards(standing, recipe.decisions, material)


def _onwards(standing: Standing, decisions: tuple[Decision, ...], material: Material) -> Iterator[Standing]:
    seen, count = _Seen(), len(decisions)
    for index, decision in enumerate(decisions):
        material.progress(describe(decision), index / count)
        within = msgspec.structs.replace(material, progress=_part(material.progress, index, count))
        standing = _decided(standing, decisions[: index + 1], within, seen)
        yield standing
    material.progress("done", 1.0)


def _part(progress: Progress, index: int, count: int) -> Progress:
    """The progress of one decision among so many."""
    return lambda what, part: progress(what, (index + part) / count)


def _decided(standing: Standing, decisions: tuple[Decision, ...], material: Material, seen: _Seen) -> Standing:
    """The graphs after the last of some decisions; ``seen`` keeps what calibration saw, by the decisions before it."""
    *before, decision = decisions
    if isinstance(decision, _AFTER_QUANTISE):
        if standing.integer is None:
            raise UserError("no quantisation stands before it", where=describe(decision), hint="Put it after one.")
    elif standing.integer is not None:
        raise UserError("the graph is an integer graph already", where=describe(decision), hint="Put it before the quantise.")
    if isinstance(decision, Quantise):
        return _quantised(standing, decision, tuple(before), material, seen)
    return _STEPS[type(decision)](standing, decision, material)


def _quantised(
    standing: Standing, decision: Quantise, before: tuple[Decision, ...], material: Material, seen: _Seen
) -> Standing:
    key = encode(before)
    if key not in seen:
        exact = unroll(standing.exact)
        seen[key] = exact, statistics(exact, material.calibration)
    exact, observed = seen[key]
    reach = ranges(observed, method=decision.calibration, percentile=decision.percentile, whole=scores(exact))
    whole = quantise_by_ranges(
        exact,
        reach,
        keep_float=decision.keep_float,
        input_quantisation=material.input_quantisation,
        weight_bits=decision.weight_bits,
        channel_bits=decision.channel_bits,
        activation_bits=decision.activation_bits,
    )
    return msgspec.structs.replace(standing, exact=exact, integer=whole)


def _folded(standing: Standing, _decision: Fold, _material: Material) -> Standing:
    return msgspec.structs.replace(standing, exact=fold(standing.exact))


def _equalised(standing: Standing, decision: Equalise, _material: Material) -> Standing:
    return msgspec.structs.replace(standing, exact=equalise(standing.exact, rounds=decision.rounds))


def _factorised(standing: Standing, decision: Factorise, _material: Material) -> Standing:
    return msgspec.structs.replace(standing, exact=factorised(standing.exact, decision.ranks))


def _separated(standing: Standing, decision: Separate, _material: Material) -> Standing:
    return msgspec.structs.replace(standing, exact=separated(standing.exact, decision.nodes))


def _corrected(standing: Standing, _decision: CorrectBias, material: Material) -> Standing:
    assert standing.integer is not None
    return msgspec.structs.replace(standing, integer=correct_bias(standing.exact, standing.integer, material.calibration))


_AFTER_QUANTISE = (CorrectBias, Round, TrainQuantised)
_STEPS: dict[type, Step] = {
    Fold: _folded,
    Equalise: _equalised,
    Factorise: _factorised,
    Separate: _separated,
    FineTune: fine_tuned,
    Narrow: steps.narrow,
    Skip: steps.skip,
    Crop: steps.crop,
    Downsample: steps.downsample,
    Prune: steps.pruned,
    CorrectBias: _corrected,
    TrainQuantised: trained_quantised,
    Round: rounded_adaptively,
}


_METHODS: tuple[tuple[CalibrationMethod, float], ...] = (
    ("min_max", 99.99),
    ("percentile", 99.99),
    ("percentile", 99.9),
    ("mse", 99.99),
    ("entropy", 99.99),
)


def candidates() -> tuple[Recipe, ...]:
    """The recipes that a build tries, simplest first: every calibration, with and without equalisation and bias correction."""
    made = []
    for equalised, corrected in product((False, True), repeat=2):
        for method, percentile in _METHODS:
            decisions: list[Decision] = [Fold(), Quantise(calibration=method, percentile=percentile)]
            if equalised:
                decisions.insert(1, Equalise())
            if corrected:
                decisions.append(CorrectBias())
            made.append(Recipe(decisions=tuple(decisions)))
    return tuple(sorted(made, key=lambda recipe: len(recipe.decisions)))


def best(
    graph: Graph,
    recipes: Iterable[Recipe],
    material: Material,
    score: Callable[[Graph], float],
) -> Choice:
    """Try recipes and take the one whose result scores highest; of equal scores the one with fewer, then earlier, decisions.

    Args:
        graph: a float Graph.
        recipes: for instance ``candidates()``; the order settles ties among equally long ones.
        material: what decisions use; its progress is called before each recipe.
        score: higher is better, finite. It must never look at the test set; ``closeness`` makes one of
            calibration samples.

    Raises:
        UserError: there are no recipes, or a score is not a number.
    """
    listed, seen, tried = tuple(recipes), _Seen(), []
    quiet = msgspec.structs.replace(material, progress=lambda _what, _part: None)
    chosen: tuple[float, int, Recipe, Graph] | None = None
    for index, recipe in enumerate(listed):
        material.progress("; ".join(map(describe, recipe.decisions)), index / len(listed))
        made = _whole(graph, recipe, quiet, seen)
        value = float(score(made))
        if np.isnan(value):
            raise UserError("the score is not a number", where="; ".join(map(describe, recipe.decisions)))
        tried.append(Tried(recipe=recipe, score=value))
        if chosen is None or (value, -len(recipe.decisions)) > chosen[:2]:
            chosen = value, -len(recipe.decisions), recipe, made
    if chosen is None:
        raise UserError("there are no recipes to choose from")
    return Choice(recipe=chosen[2], graph=chosen[3], score=chosen[0], tried=tuple(tried))


def _whole(graph: Graph, recipe: Recipe, material: Material, seen: _Seen) -> Graph:
    """What a recipe makes, with what calibration has seen in others."""
    standing = Standing(original=graph, exact=graph)
    for index in range(len(recipe.decisions)):
        standing = _decided(standing, recipe.decisions[: index + 1], material, seen)
    return standing.exact if standing.integer is None else standing.integer
