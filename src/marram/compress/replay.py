"""Replay: a Recipe is applied to a Graph, compared with another, or chosen among candidates by a measured score."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import Any

import msgspec
import numpy as np

from marram.compress.integers.bias_correction import correct_bias
from marram.compress.integers.calibration import Samples, Statistics, ranges, scores, statistics
from marram.compress.integers.quantisation import quantise_by_ranges
from marram.compress.integers.rounding import rounded_adaptively
from marram.compress.integers.stepping import first_batches, run_quantised
from marram.compress.learning.fine_tuning import fine_tuned
from marram.compress.learning.quantised.training import trained_quantised
from marram.compress.material import Material, Standing
from marram.compress.rewrites.equalisation import equalise
from marram.compress.rewrites.factorisation import factorised
from marram.compress.rewrites.folding import fold
from marram.compress.rewrites.recurrence import unroll
from marram.compress.rewrites.separation import separated
from marram.compress.structure import steps
from marram.core.codec import encode
from marram.core.errors import UserError
from marram.core.graph import Array, Graph
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
from marram.model.reference import prepare, run


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


def describe(decision: Decision) -> str:
    """A decision in a few words, for instance ``quantise(calibration=percentile, percentile=99.9)``."""
    fields = {name: getattr(decision, name) for name in decision.__struct_fields__}
    shown = ", ".join(f"{name}={_told(value)}" for name, value in fields.items() if _is_told(decision, name, value))
    return f"{type(decision).__name__.lower()}({shown})" if shown else type(decision).__name__.lower()


def _told(value: object) -> str:
    """A field's value; of a struct the fields that are not as they are unless somebody says so."""
    if not isinstance(value, msgspec.Struct):
        return str(value)
    given = ((field.encode_name, getattr(value, field.name), field.default) for field in msgspec.structs.fields(value))
    shown = ", ".join(f"{name}={_told(one)}" for name, one, default in given if one not in (default, {}))
    return f"{type(value).__name__}({shown})"


def _is_told(decision: Decision, name: str, value: object) -> bool:
    """Whether a field says anything: a percentile does only where it is used, what is empty never."""
    if name == "percentile":
        return isinstance(decision, Quantise) and decision.calibration == "percentile"
    return value not in ((), {}, None)


def diff(a: Recipe, b: Recipe) -> tuple[str, ...]:
    """What leads from one recipe to another: ``- decision``, ``+ decision``, in order; empty for equal recipes."""
    first, second = a.decisions, b.decisions
    length = np.zeros((len(first) + 1, len(second) + 1), np.int64)  # of the longest common part, from each place on
    for i in reversed(range(len(first))):
        for j in reversed(range(len(second))):
            same = first[i] == second[j]
            length[i, j] = length[i + 1, j + 1] + 1 if same else max(length[i + 1, j], length[i, j + 1])
    lines, i, j = [], 0, 0
    while i < len(first) or j < len(second):
        if i < len(first) and j < len(second) and first[i] == second[j]:
            i, j = i + 1, j + 1
        elif j == len(second) or (i < len(first) and length[i + 1, j] >= length[i, j + 1]):
            lines.append(f"- {describe(first[i])}")
            i += 1
        else:
            lines.append(f"+ {describe(second[j])}")
            j += 1
    return tuple(lines)


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
        score: higher is better, finite. It must never look at the test set; ``closeness`` makes one of calibration samples.

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


def closeness(float_graph: Graph, samples: Samples, *, limit: int = 1024) -> Callable[[Graph], float]:
    """A score for ``best``: how close a graph's outputs stay to the float graph's, in decibels.

    The signal-to-noise ratio of each sample's output, less its mean over the last axis, averaged over samples. Each sample
    counts alike, for what flips an answer is noise beside a small difference between scores, and in a ratio over all
    samples together those with large scores drown the others. The mean does not count, since adding one number to all
    scores changes no answer; outputs of one element are taken as they are.

    Args:
        float_graph: the Graph before quantisation.
        samples: float32 samples that are not of the test set.
        limit: the most samples that are used.
    """
    inputs = first_batches(float_graph, samples, limit=limit, size=limit)
    prepared = prepare(float_graph)
    exact: list[tuple[Array, ...]] = [run(prepared, values) for values in inputs]

    def score(graph: Graph) -> float:
        ratios = [
            _ratios(real, given)
            for values, wanted in zip(inputs, exact, strict=True)
            for (_, given), real in zip(run_quantised(graph, values), wanted, strict=True)
        ]
        return float(np.concatenate(ratios).mean())

    return score


_CLOSEST_DB = 120.0
"""A sample's ratio counts up to here: what is exact by chance must not outweigh the others."""


def _ratios(real: Array, given: Array) -> Array:
    """Signal-to-noise ratio of each sample in decibels: (N,) float64."""
    signal, noise = real.astype(np.float64), real.astype(np.float64) - given
    if real.shape[-1] > 1:
        signal, noise = (values - values.mean(axis=-1, keepdims=True) for values in (signal, noise))
    powers = [(values.reshape(len(real), -1) ** 2).sum(axis=1) for values in (signal, noise)]
    tiny = np.finfo(np.float64).tiny
    with np.errstate(over="ignore"):  # equal outputs: their ratio is clipped
        ratios = 10 * np.log10((powers[0] + tiny) / (powers[1] + tiny))
    return np.asarray(np.clip(ratios, -_CLOSEST_DB, _CLOSEST_DB))
