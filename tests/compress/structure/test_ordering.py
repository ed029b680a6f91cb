from __future__ import annotations

import numpy as np
import pytest

from marram.compress.structure.groups import groups
from marram.compress.structure.ordering import reordered
from marram.core.errors import UserError
from marram.model import interpret, load, zoo

SHAPES = {
    "conv1d": (24, 3),
    "resnet8": (12, 12, 3),
    "mobilenet_v2": (32, 32, 3),
    "ds_cnn": (20, 8),
    "transformer": (16, 3),
    "fc_autoencoder": (40,),
}


@pytest.mark.parametrize("name", SHAPES)
def test_another_order_computes_the_same(name):
    generator = np.random.default_rng(0)
    module = zoo.make(name, input_shape=SHAPES[name], classes=5, seed=1)
    graph = load(module, example=np.zeros((1, *SHAPES[name]), np.float32), name=name)
    found = groups(graph)
    order = {group.name: generator.permutation(group.size) for group in found}
    other = reordered(graph, order, found)
    assert any(not np.array_equal(value, other.constants[key]) for key, value in graph.constants.items())
    inputs = generator.standard_normal((3, *SHAPES[name])).astype(np.float32)
    for wanted, given in zip(interpret(graph, inputs), interpret(other, inputs), strict=True):
        assert np.allclose(wanted, given, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())


def test_what_is_no_order_is_refused():
    module = zoo.make("conv1d", input_shape=(24, 3), classes=5, seed=1)
    graph = load(module, example=np.zeros((1, 24, 3), np.float32), name="net")
    found = groups(graph)
    with pytest.raises(UserError, match="no order"):
        reordered(graph, {found[0].name: np.zeros(found[0].size, np.int64)}, found)
    with pytest.raises(UserError, match="no order"):
        reordered(graph, {"nobody": np.arange(3)}, found)
