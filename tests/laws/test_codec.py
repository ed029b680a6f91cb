"""Laws of the canonical encoding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from marram.core.codec import decode, digest, encode
from marram.core.errors import IntegrityError
from marram.core.graph import Graph, Node, Quantisation, Tensor
from marram.core.operators import Dense
from marram.core.recipe import CorrectBias, Equalise, Fold, Quantise, Recipe

arrays = hnp.arrays(
    dtype=st.sampled_from([np.int8, np.int32, np.float32, np.bool_]), shape=hnp.array_shapes(max_dims=3, max_side=4)
)


def graph_with(weights: np.ndarray, scale: float) -> Graph:
    quantisation = Quantisation(scales=(scale,), zero_points=(3,))
    x = Tensor(name="x", shape=(1, 4), dtype="int8", quantisation=quantisation)
    return Graph(
        name="g",
        inputs=("x",),
        outputs=("y",),
        tensors={"x": x, "w": Tensor(name="w", shape=weights.shape), "y": Tensor(name="y", shape=(1, 2))},
        constants={"w": weights},
        nodes=(Node(name="fc", op=Dense(activation="relu"), inputs=("x", "w", ""), outputs=("y",)),),
    )


@settings(derandomize=True)
@given(arrays, st.floats(min_value=2.0**-20, max_value=1024.0, width=32))
def test_graphs_round_trip(weights: np.ndarray, scale: float) -> None:
    graph = graph_with(weights, scale)
    data = encode(graph)
    back = decode(data, Graph)
    assert encode(back) == data
    assert back.nodes == graph.nodes
    assert back.tensors == graph.tensors
    assert back.constants["w"].dtype == weights.dtype
    np.testing.assert_array_equal(back.constants["w"], weights)


def test_equal_values_have_equal_digests_whatever_the_order_of_keys_and_memory() -> None:
    weights = np.arange(8, dtype=np.float32).reshape(2, 4)
    one = graph_with(weights, 0.5)
    two = graph_with(np.asfortranarray(weights), 0.5)
    shuffled = Graph(
        name=two.name,
        inputs=two.inputs,
        outputs=two.outputs,
        tensors=dict(reversed(two.tensors.items())),
        constants=two.constants,
        nodes=two.nodes,
    )
    assert digest(one) == digest(shuffled)
    assert digest(one) != digest(graph_with(weights + 1, 0.5))


def test_recipes_round_trip() -> None:
    recipe = Recipe(decisions=(Fold(), Equalise(rounds=3), Quantise(calibration="mse"), CorrectBias()))
    assert decode(encode(recipe), Recipe) == recipe
    assert recipe.without(1).decisions == (Fold(), Quantise(calibration="mse"), CorrectBias())


@settings(derandomize=True, max_examples=300)
@given(st.binary(max_size=64))
def test_garbage_is_refused_with_one_error(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode(data, Graph)


@settings(derandomize=True, max_examples=300)
@given(st.data())
def test_flipped_bytes_never_crash(data: st.DataObject) -> None:
    good = bytearray(encode(graph_with(np.ones((2, 4), np.float32), 0.5)))
    good[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        decode(bytes(good), Graph)
    except IntegrityError:
        return
