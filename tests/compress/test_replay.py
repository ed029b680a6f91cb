"""Replay: recipes do what their decisions say, differ as lists do, and the best one wins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marram.compress import Material, apply, best, candidates, closeness, correct_bias, describe, diff, equalise, fold, quantise
from marram.core import operators as ops
from marram.core.codec import decode, digest, encode
from marram.core.errors import UserError
from marram.core.recipe import CorrectBias, Distillation, Equalise, FineTune, Fold, Quantise, Recipe, Tuning

DECISIONS = st.sampled_from(
    [Fold(), Equalise(), Equalise(rounds=3), Quantise(), Quantise(calibration="mse"), CorrectBias(), Quantise(percentile=99.0)]
)
RECIPES = st.lists(DECISIONS, max_size=6).map(lambda decisions: Recipe(decisions=tuple(decisions)))


def recipe(*decisions):
    return Recipe(decisions=decisions)


@pytest.fixture
def graph(sketch):
    x = sketch.input(1, 6, 6, 3)
    y = sketch(ops.Conv2D(), x, sketch.normal(8, 3, 3, 3), sketch.normal(8))
    y = sketch(ops.Relu(), y)
    y = sketch(ops.Mean(axes=(1, 2)), sketch(ops.Conv2D(), y, sketch.normal(4, 1, 1, 8), ""))
    return sketch.graph(sketch(ops.Softmax(), y))


def test_decisions_are_replayed_in_order(graph, samples_of):
    samples = samples_of(graph, 40)["x0"]
    folded = fold(graph)
    assert digest(apply(graph, recipe(), Material(calibration=samples))) == digest(graph)
    assert digest(apply(graph, recipe(Fold()), Material(calibration=samples))) == digest(folded)
    equal = apply(graph, recipe(Fold(), Equalise(rounds=3)), Material(calibration=samples))
    assert digest(equal) == digest(equalise(folded, rounds=3))
    whole = apply(graph, recipe(Fold(), Quantise(calibration="percentile", percentile=99.0)), Material(calibration=samples))
    assert digest(whole) == digest(quantise(graph, samples, method="percentile", percentile=99.0))
    corrected = apply(graph, recipe(Fold(), Quantise(), CorrectBias()), Material(calibration=samples))
    assert digest(corrected) == digest(correct_bias(folded, quantise(graph, samples), samples))


def test_a_replayed_recipe_survives_its_encoding(graph, samples_of):
    samples = samples_of(graph, 40)["x0"]
    for one in candidates()[::7]:
        again = decode(encode(one), Recipe)
        assert digest(apply(graph, again, Material(calibration=samples))) == digest(
            apply(graph, one, Material(calibration=samples))
        )


def test_progress_is_told(graph, samples_of):
    told = []
    samples = samples_of(graph, 4)["x0"]
    apply(
        graph, recipe(Fold(), Quantise()), Material(calibration=samples, progress=lambda what, part: told.append((what, part)))
    )
    assert told == [("fold", 0.0), ("quantise(calibration=min_max)", 0.5), ("done", 1.0)]


@pytest.mark.parametrize(
    "wrong", [(CorrectBias(),), (Quantise(), Fold()), (Quantise(), Equalise()), (Quantise(), Quantise())], ids=str
)
def test_decisions_out_of_order_are_refused(graph, samples_of, wrong):
    with pytest.raises(UserError, match="Put it"):
        apply(graph, recipe(*wrong), Material(calibration=samples_of(graph, 4)["x0"]))


@settings(derandomize=True, deadline=None)
@given(RECIPES, RECIPES)
def test_a_diff_is_empty_only_for_equal_recipes_and_leads_from_one_to_the_other(a, b):
    lines = diff(a, b)
    assert (not lines) == (a == b)
    removed = sum(line.startswith("- ") for line in lines)
    added = sum(line.startswith("+ ") for line in lines)
    assert len(a.decisions) - removed == len(b.decisions) - added >= 0
    assert removed <= len(a.decisions)


def test_a_diff_reads_well():
    a = recipe(Fold(), Quantise())
    b = recipe(Fold(), Equalise(), Quantise(calibration="percentile", percentile=99.9))
    assert diff(a, b) == (
        "- quantise(calibration=min_max)",
        "+ equalise(rounds=20)",
        "+ quantise(calibration=percentile, percentile=99.9)",
    )


def test_candidates_are_different_and_simple_first():
    listed = candidates()
    assert len({digest(one) for one in listed}) == len(listed) == 20
    assert listed[0] == recipe(Fold(), Quantise())
    lengths = [len(one.decisions) for one in listed]
    assert lengths == sorted(lengths)


def test_the_best_score_wins_and_ties_go_to_the_simplest(graph, samples_of):
    samples = samples_of(graph, 20)["x0"]
    listed = (
        recipe(Fold(), Quantise(), CorrectBias()),
        recipe(Fold(), Quantise()),
        recipe(Fold(), Quantise(calibration="mse")),
    )
    tie = best(graph, listed, Material(calibration=samples), lambda _: 1.0)
    assert tie.recipe == listed[1]
    assert [one.recipe for one in tie.tried] == list(listed)
    scores = iter([0.1, 0.2, 0.3])
    last = best(graph, listed, Material(calibration=samples), lambda _: next(scores))
    assert (last.recipe, last.score) == (listed[2], 0.3)
    assert digest(last.graph) == digest(apply(graph, listed[2], Material(calibration=samples)))


def test_closeness_prefers_the_better_graph(graph, samples_of):
    samples = samples_of(graph, 200)["x0"]
    score = closeness(graph, samples)
    good = apply(graph, recipe(Fold(), Quantise()), Material(calibration=samples))
    bad = apply(graph, recipe(Fold(), Quantise(calibration="percentile", percentile=80.0)), Material(calibration=samples))
    assert score(good) > score(bad) + 3
    assert score(fold(graph)) > 100
    chosen = best(graph, candidates(), Material(calibration=samples), score)
    assert chosen.score >= score(good)


def test_nothing_to_choose_from_and_scores_that_are_no_numbers(graph, samples_of):
    samples = samples_of(graph, 4)["x0"]
    with pytest.raises(UserError, match="no recipes"):
        best(graph, (), Material(calibration=samples), lambda _: 1.0)
    with pytest.raises(UserError, match="not a number"):
        best(graph, candidates(), Material(calibration=samples), lambda _: np.nan)


def test_a_decision_is_told_by_what_was_said_of_it():
    tuned = FineTune(tuning=Tuning(epochs=2), distillation=Distillation(), thaw_epoch=3)
    assert describe(tuned) == "finetune(tuning=Tuning(epochs=2), distillation=Distillation(), thaw_epoch=3)"
    assert describe(FineTune()) == "finetune(tuning=Tuning())"
    assert diff(recipe(tuned), recipe(FineTune())) == (f"- {describe(tuned)}", "+ finetune(tuning=Tuning())")
