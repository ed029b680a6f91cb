"""Low rank: what is lost are the discarded singular values, what has that rank already is computed exactly."""

from __future__ import annotations

import numpy as np
import pytest

from marram.compress import Material, apply, factorised, rank_for
from marram.compress.rewrites.factorisation import low_rank
from marram.core import operators as ops
from marram.core.codec import digest
from marram.core.errors import UserError
from marram.core.recipe import Factorise, Recipe
from marram.model.counts import counts
from marram.model.reference import interpret

STRIDED = ops.Conv2D(stride=(2, 1), padding=(1, 0, 2, 1), dilation=(1, 2), activation="relu6")


def lay(sketch, kind, weights=None):
    """A graph of one layer between others."""
    x = sketch.input(1, 9, 8, 5)
    y = sketch(ops.Relu(), x)
    if kind == "dense":
        y = sketch(ops.Dense(activation="relu"), y, sketch.normal(12, 5) if weights is None else weights, sketch.normal(12))
    else:
        kernel = (1, 1) if kind == "pointwise" else (3, 2)
        op = STRIDED if kind == "conv" else ops.Conv2D(stride=(2, 2))
        bias = sketch.normal(12) if kind == "conv" else ""
        y = sketch(op, y, sketch.normal(12, *kernel, 5) if weights is None else weights, bias)
    return sketch.graph(sketch(ops.Mean(axes=(1, 2)), y))


def product(sketch, rank, *shape):
    wide = sketch.normal(shape[0], rank).astype(float) @ sketch.normal(rank, int(np.prod(shape[1:])))
    return wide.reshape(shape).astype(np.float32)


def named(graph):
    return graph.nodes[1].name


@pytest.mark.parametrize(("kind", "shape"), [("dense", (12, 5)), ("pointwise", (12, 1, 1, 5)), ("conv", (12, 3, 2, 5))])
def test_weights_of_that_rank_are_reproduced(sketch, assert_same_function, kind, shape):
    graph = lay(sketch, kind, product(sketch, 2, *shape))
    split = factorised(graph, {named(graph): 2})
    assert_same_function(graph, split)
    assert counts(split).macs < counts(graph).macs
    assert [node.name for node in split.nodes if node.name == named(graph)]


@pytest.mark.parametrize("kind", ["dense", "pointwise", "conv"])
def test_the_error_equals_the_discarded_singular_values(sketch, kind):
    graph = lay(sketch, kind)
    split = factorised(graph, {named(graph): 3})
    weights = graph.constants[graph.nodes[1].inputs[1]].reshape(12, -1)
    first, second = (split.constants[node.inputs[1]].astype(np.float64) for node in split.nodes[1:3])
    error = weights - second.reshape(12, 3) @ first.reshape(3, -1)
    discarded = np.linalg.svd(weights.astype(np.float64), compute_uv=False)[3:]
    np.testing.assert_allclose((error**2).sum(), (discarded**2).sum(), rtol=1e-5)


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (6, 6)])
def test_full_rank_is_exact_and_signs_are_settled(sketch, shape):
    matrix = sketch.normal(*shape)
    left, right = low_rank(matrix, min(shape))
    np.testing.assert_allclose(left @ right, matrix, atol=1e-6)
    np.testing.assert_allclose((left**2).sum(axis=0), (right**2).sum(axis=1), rtol=1e-6)
    assert all(row[np.abs(row).argmax()] > 0 for row in right)


def test_dense_of_any_rank_and_the_split_of_a_graphs_output(sketch, assert_same_function):
    x = sketch.input(1, 6, 16)
    graph = sketch.graph(sketch(ops.Dense(), x, product(sketch, 1, 8, 16), ""))
    assert_same_function(graph, factorised(graph, {graph.nodes[0].name: 1}))


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("kind", ["dense", "pointwise", "conv"])
def test_the_rank_for_a_share_is_the_largest(sketch, kind, share):
    graph = lay(sketch, kind)
    name = named(graph)
    allowed = share * counts(graph).macs
    rank = rank_for(graph, name, share)
    assert counts(factorised(graph, {name: rank})).macs <= allowed
    larger = counts(graph).macs * (rank + 1) * (12 + 5 * (6 if kind == "conv" else 1)) / (60 * (6 if kind == "conv" else 1))
    assert larger > allowed


def test_ranks_that_gain_nothing_are_refused(sketch):
    graph = lay(sketch, "dense")  # 12 x 5: rank 3 has 51 of 60 products, rank 4 has 68
    assert counts(factorised(graph, {named(graph): 3})).macs < counts(graph).macs
    for rank in (0, 4, 5, 100):
        with pytest.raises(UserError, match="from 1 to 3"):
            factorised(graph, {named(graph): rank})
    with pytest.raises(UserError, match=r"rank 1 needs 0\.283"):
        rank_for(graph, named(graph), 0.2)
    with pytest.raises(UserError, match="between 0 and 1"):
        rank_for(graph, named(graph), 1.0)


def test_other_nodes_are_refused(sketch):
    x = sketch.input(1, 6, 6, 4)
    y = sketch(ops.Conv2D(groups=2), x, sketch.normal(8, 3, 3, 2), "")
    y = sketch(ops.Dense(), y, sketch.normal(1, 8), "")
    graph = sketch.graph(sketch(ops.Relu(), y))
    grouped, thin, relu = (node.name for node in graph.nodes)
    with pytest.raises(UserError, match="no node 'nowhere'"):
        factorised(graph, {"nowhere": 1})
    for name in (grouped, relu):
        with pytest.raises(UserError, match="only dense layers and ungrouped"):
            factorised(graph, {name: 1})
    with pytest.raises(UserError, match="nothing from any rank"):
        factorised(graph, {thin: 1})


def test_a_recipe_replays_it(sketch, samples_of):
    graph = lay(sketch, "conv")
    made = apply(graph, Recipe(decisions=(Factorise(ranks={named(graph): 2}),)), Material(calibration=samples_of(graph)["x0"]))
    assert digest(made) == digest(factorised(graph, {named(graph): 2}))
    both = [interpret(one, samples_of(graph))[0] for one in (graph, made)]
    assert not np.allclose(both[0], both[1])
