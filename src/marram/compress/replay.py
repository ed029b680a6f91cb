"""Replay: a Recipe is applied to a Graph, compared with another, or chosen among candidates by a measured score."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product

import msgspec
import numpy as np

from marram.compress.integers.bias_correction import correct_bias
from marram.compress.integers.calibration import Samples, Statistics, ranges, scores, statistics
from marram.compress.integers.quantisation import InputQuantisation, quantise_by_ranges
from marram.compress.integers.stepping import first_batches, run_quantised
from marram.compress.rewrites.equalisation import equalise
from marram.compress.rewrites.folding import fold
from marram.compress.rewrites.recurrence import unroll
from marram.core.errors import UserError
from marram.core.graph import Array, Graph
from marram.core.ports import Progress
from marram.core.recipe import CalibrationMethod, CorrectBias, Decision, Equalise, Fold, Quantise, Recipe
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


class _State(msgspec.Struct, frozen=True, kw_only=True):
    """A Graph on its way: the float form, the integer form once there is one, and the decisions behind the float form."""

    exact: Graph
    integer: Graph | None = None
    behind: tuple[Decision, ...] = ()


_Seen = dict[tuple[Decision, ...], tuple[Graph, dict[str, Statistics]]]


def apply(
    graph: Graph,
    recipe: Recipe,
    *,
    calibration: Samples,
    input_quantisation: InputQuantisation = None,
    progress: Progress | None = None,
) -> Graph:
    """Replay a Recipe's decisions in order. Equal arguments give equal Graphs.

    Args:
        graph: a float Graph.
        recipe: the decisions.
        calibration: float32 samples, one array or a list of batches.
        input_quantisation: as for ``quantise``.
        progress: called before each decision.

    Raises:
        UserError: a decision stands where it cannot be applied, such as a bias correction before any quantisation.
    """
    return _applied(graph, recipe, (calibration, input_quantisation), seen={}, progress=progress)


def _applied(
    graph: Graph,
    recipe: Recipe,
    given: tuple[Samples, InputQuantisation],
    *,
    seen: _Seen,
    progress: Progress | None = None,
) -> Graph:
    state = _State(exact=graph)
    for index, decision in enumerate(recipe.decisions):
        if progress is not None:
            progress(describe(decision), index / len(recipe.decisions))
        state = _decided(state, decision, given, seen)
    if progress is not None:
        progress("done", 1.0)
    return state.integer if state.integer is not None else state.exact


def _decided(state: _State, decision: Decision, given: tuple[Samples, InputQuantisation], seen: _Seen) -> _State:
    calibration, input_quantisation = given
    if isinstance(decision, CorrectBias):
        if state.integer is None:
            raise UserError("no quantisation stands before it", where=describe(decision), hint="Put it after one.")
        return msgspec.structs.replace(state, integer=correct_bias(state.exact, state.integer, calibration))
    if state.integer is not None:
        raise UserError("the graph is an integer graph already", where=describe(decision), hint="Put it before the quantise.")
    if isinstance(decision, Quantise):
        exact, observed = _observed(state, calibration, seen)
        reach = ranges(observed, method=decision.calibration, percentile=decision.percentile, whole=scores(exact))
        whole = quantise_by_ranges(exact, reach, keep_float=decision.keep_float, input_quantisation=input_quantisation)
        return msgspec.structs.replace(state, exact=exact, integer=whole)
    exact = fold(state.exact) if isinstance(decision, Fold) else equalise(state.exact, rounds=decision.rounds)
    return _State(exact=exact, behind=(*state.behind, decision))


def _observed(state: _State, calibration: Samples, seen: _Seen) -> tuple[Graph, dict[str, Statistics]]:
    """The unrolled float graph and its statistics, taken once for each list of decisions before a quantisation."""
    if state.behind not in seen:
        exact = unroll(state.exact)
        seen[state.behind] = exact, statistics(exact, calibration)
    return seen[state.behind]


def describe(decision: Decision) -> str:
    """A decision in a few words, for instance ``quantise(calibration=percentile, percentile=99.9)``."""
    fields = {name: getattr(decision, name) for name in decision.__struct_fields__}
    shown = ", ".join(f"{name}={value}" for name, value in fields.items() if _is_told(decision, name, value))
    return f"{type(decision).__name__.lower()}({shown})" if shown else type(decision).__name__.lower()


def _is_told(decision: Decision, name: str, value: object) -> bool:
    """Whether a field says anything: a percentile does only where it is used, an empty list never."""
    if name == "percentile":
        return isinstance(decision, Quantise) and decision.calibration == "percentile"
    return value != ()


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
    calibration: Samples,
    score: Callable[[Graph], float],
    *,
    input_quantisation: InputQuantisation = None,
    progress: Progress | None = None,
) -> Choice:
    """Try recipes and take the one whose result scores highest; of equal scores the one with fewer, then earlier, decisions.

    Args:
        graph: a float Graph.
        recipes: for instance ``candidates()``; the order settles ties among equally long ones.
        calibration: float32 samples, one array or a list of batches.
        score: higher is better, finite. It must never look at the test set; ``closeness`` makes one of calibration samples.
        input_quantisation: as for ``quantise``.
        progress: called before each recipe.

    Raises:
        UserError: there are no recipes, or a score is not a number.
    """
    listed, seen, tried = tuple(recipes), _Seen(), []
    chosen: tuple[float, int, Recipe, Graph] | None = None
    for index, recipe in enumerate(listed):
        if progress is not None:
            progress("; ".join(map(describe, recipe.decisions)), index / len(listed))
        made = _applied(graph, recipe, (calibration, input_quantisation), seen=seen)
        value = float(score(made))
        if np.isnan(value):
            raise UserError("the score is not a number", where="; ".join(map(describe, recipe.decisions)))
        tried.append(Tried(recipe=recipe, score=value))
        if chosen is None or (value, -len(recipe.decisions)) > chosen[:2]:
            chosen = value, -len(recipe.decisions), recipe, made
    if chosen is None:
        raise UserError("there are no recipes to choose from")
    return Choice(recipe=chosen[2], graph=chosen[3], score=chosen[0], tried=tuple(tried))


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
    ratios = 10 * np.log10((powers[0] + tiny) / (powers[1] + tiny))
    return np.asarray(np.clip(ratios, -_CLOSEST_DB, _CLOSEST_DB))
