"""Integer layer norm: exact inner functions, and outputs within one step of the real ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.model.graphs import affine

from marram.core.errors import UserError
from marram.core.graph import Graph, Node, Quantisation, Tensor
from marram.core.operators import LayerNorm
from marram.model.reference import interpret
from marram.model.reference.normalisation import integer_affine, integer_square_root, inverse_square_root


@settings(max_examples=300, derandomize=True)
@given(root=st.integers(0, 2**31 - 1), offset=st.sampled_from([-1, 0, 1]))
def test_square_root_is_exact_around_squares(root: int, offset: int) -> None:
    value = min(max(root * root + offset, 0), 2**62)
    assert int(integer_square_root(np.array([value]))[0]) == math.isqrt(value)


@settings(max_examples=300, derandomize=True)
@given(value=st.integers(1, 2**62 - 1) | st.integers(1, 1000))
def test_inverse_square_root(value: int) -> None:
    by = inverse_square_root(np.array([value]))
    found = int(by.values[0]) * 2.0 ** (int(by.shifts[0]) - 31)
    assert 2**29 <= int(by.values[0]) < 2**31
    assert abs(found * math.sqrt(value) - 1) < 2.0**-29


def norm(channels: int, scale_in: float, zero_point: int, gamma: np.ndarray, beta: np.ndarray, scale_out: float) -> Graph:
    x = Tensor(name="x", shape=(1, channels), dtype="int8", quantisation=affine(scale_in, zero_point))
    y = Tensor(name="y", shape=(1, channels), dtype="int8", quantisation=affine(scale_out, 3))
    constants = {"gamma": gamma, "beta": beta}
    tensors = {name: Tensor(name=name, shape=(channels,)) for name in constants}
    node = Node(name="norm", op=LayerNorm(epsilon=1e-3), inputs=("x", "gamma", "beta"), outputs=("y",))
    return Graph(
        name="n", inputs=("x",), outputs=("y",), tensors={"x": x, "y": y, **tensors}, constants=constants, nodes=(node,)
    )


@settings(max_examples=80, derandomize=True, deadline=None)
@given(
    channels=st.sampled_from([1, 2, 3, 16, 64, 257, 1024]),
    scale=st.floats(1e-4, 1.0),
    zero_point=st.integers(-128, 127),
    spread=st.sampled_from([0, 1, 5, 60, 127]),
    seed=st.integers(0, 1000),
)
def test_within_one_step_of_the_real_one(channels: int, scale: float, zero_point: int, spread: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    gamma = rng.normal(1, 0.5, channels).astype(np.float32)
    beta = rng.normal(0, 1, channels).astype(np.float32)
    x = rng.integers(-spread - 1, spread + 1, (50, channels)).astype(np.int8)
    reals = float(np.float32(scale)) * (x.astype(np.float64) - zero_point)
    centred = reals - reals.mean(axis=1, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-3) * gamma + beta
    scale_out = float(np.float32(max(np.abs(expected).max() / 120, 1e-3)))
    (found,) = interpret(norm(channels, scale, zero_point, gamma, beta, scale_out), x)
    steps = np.clip(expected / scale_out + 3, -128, 127)
    assert np.abs(found - steps).max() <= 1.0


def test_affine_constants_cannot_overflow() -> None:
    gamma, beta, scale = integer_affine(np.full(1024, 2.0, np.float32), np.full(1024, 1000.0, np.float32))
    assert 33 * 1024 * int(np.abs(gamma).max()) + int(np.abs(beta).max()) < 2**31
    np.testing.assert_allclose(gamma * scale, 2.0, rtol=1e-3)


def test_integer_constants_are_taken_as_they_are() -> None:
    gamma, beta = np.linspace(0.5, 1, 8, dtype=np.float32), np.linspace(-1, 1, 8, dtype=np.float32)
    real = norm(8, 0.1, 0, gamma, beta, 0.02)
    small, wide, scale = integer_affine(gamma, beta)
    quantisation = Quantisation(scales=(scale,), zero_points=(0,))
    gamma_tensor = Tensor(name="gamma", shape=(8,), dtype="int16", quantisation=quantisation)
    integer = Graph(
        name="n",
        inputs=real.inputs,
        outputs=real.outputs,
        tensors={**real.tensors, "gamma": gamma_tensor, "beta": Tensor(name="beta", shape=(8,), dtype="int32")},
        constants={"gamma": small, "beta": wide},
        nodes=real.nodes,
    )
    x = np.random.default_rng(0).integers(-128, 128, (20, 8)).astype(np.int8)
    assert interpret(real, x)[0].tobytes() == interpret(integer, x)[0].tobytes()


def test_other_constants_are_refused() -> None:
    graph = norm(4, 0.1, 0, np.ones(4, np.float32), np.zeros(4, np.int32), 0.02)
    with pytest.raises(UserError, match="gamma and beta"):
        interpret(graph, np.zeros((1, 4), np.int8))
