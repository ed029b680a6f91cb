"""Downsampling: the graph behind an average of the input is the graph that a smaller input would have had."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compress.conftest import Sketch, samples_of
from tests.compress.structure.conftest import INPUTS, zoo_graph

from marram.compress.structure.downsampling import downsampled
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import with_nodes
from marram.model import load, zoo
from marram.model.reference import interpret
from marram.model.spec import verify


def averaged(x, factor):
    """Means of whole windows, by numpy: (N,H,W,C)."""
    n, h, w, c = x.shape[0], x.shape[1] // factor[0], x.shape[2] // factor[1], x.shape[3]
    return x[:, : h * factor[0], : w * factor[1]].reshape(n, h, factor[0], w, factor[1], c).mean(axis=(2, 4))


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("conv1d", (1, 2)),
        ("conv1d", (1, 3)),
        ("ds_cnn", (1, 2)),
        ("resnet8", (2, 2)),
        ("mobilenet_v1", (2, 1)),
    ],
)
def test_it_is_the_net_for_smaller_inputs_behind_an_average(name, factor):
    graph = zoo_graph(name)
    made = downsampled(graph, factor)
    verify(made, "float")
    (x,) = samples_of(graph, 3).values()
    image = averaged(x if x.ndim == 4 else x[:, None], factor)
    small = image if x.ndim == 4 else image[:, 0]
    module = zoo.make(name, input_shape=small.shape[1:], classes=4).eval()
    other = load(module, example=small[:1])
    other = with_nodes(other, other.nodes, constants=graph.constants)
    np.testing.assert_allclose(interpret(made, x)[0], interpret(other, small)[0], rtol=1e-4, atol=1e-5)


def test_a_pool_over_the_whole_image_stays_one():
    sketch = Sketch()
    y = sketch(ops.Conv2D(), sketch.input(1, 6, 4, 2), sketch.normal(3, 1, 1, 2), "")
    y = sketch(ops.AveragePool2D(kernel=(6, 4), stride=(6, 4)), y)
    graph = sketch.graph(sketch(ops.Dense(), sketch(ops.Reshape(shape=(1, 3)), y), sketch.normal(2, 3), ""))
    made = downsampled(graph, (2, 2))
    (x,) = samples_of(graph, 3).values()
    np.testing.assert_allclose(interpret(made, x)[0], interpret(graph, x)[0], rtol=1e-4, atol=1e-5)  # all of it is linear


def test_what_depends_on_the_size_is_refused():
    sketch = Sketch()
    y = sketch(ops.Conv2D(), sketch.input(1, 4, 4, 2), sketch.normal(3, 1, 1, 2), "")
    y = sketch(ops.Reshape(shape=(1, 48)), y)
    graph = sketch.graph(sketch(ops.Dense(), y, sketch.normal(2, 48), ""))
    with pytest.raises(UserError, match="48") as told:
        downsampled(graph, (2, 2))
    assert told.value.where == "node dense2"
    with pytest.raises(UserError, match="add of shapes"):
        downsampled(zoo_graph("transformer"), (1, 2))
    with pytest.raises(UserError, match="output would be"):
        downsampled(zoo_graph("conv_autoencoder"), (2, 2))
    with pytest.raises(UserError, match="only graphs of one input"):
        downsampled(zoo_graph("fc_autoencoder"), (1, 2))


def test_an_axis_that_shrinks_to_one_does_not_broadcast_by_chance():
    sketch = Sketch()
    y = sketch(ops.Add(), sketch.input(1, 4, 2), sketch.normal(1, 4, 2))
    graph = sketch.graph(sketch(ops.Mean(axes=(1,)), y))
    with pytest.raises(UserError, match="would add or multiply"):
        downsampled(graph, (1, 4))


@pytest.mark.parametrize("factor", [(1, 1), (0, 2), (17, 1), (1, -1)])
def test_factors_that_do_not_fit_are_refused(factor):
    assert INPUTS["mobilenet_v1"] == (16, 16, 3)
    with pytest.raises(UserError, match="do not fit"):
        downsampled(zoo_graph("mobilenet_v1"), factor)
