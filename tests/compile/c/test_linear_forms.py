"""Linear forms in place of rescaled sums and divisions: what is found is exact, what cannot be is refused."""

from __future__ import annotations

import numpy as np
import pytest

from marram.compile.c.division import linear_map
from marram.compile.c.summation import linear_sum
from marram.core.graph import Array
from marram.model.reference.arithmetic import multiplier, multiply

VALUES = np.arange(-128, 128, dtype=np.int64)


def rescaled(scales: tuple[float, float, float], zeros: tuple[int, int, int], low: int, high: int) -> Array:
    """Three doubly rounded products, as TensorFlow Lite has them."""
    twice = 2 * max(scales[:2])
    first, second = (
        multiply((VALUES - zero) << 20, multiplier(scale / twice)) for scale, zero in zip(scales[:2], zeros[:2], strict=True)
    )
    total = multiply(first[:, None] + second[None, :], multiplier(twice / (2**20 * scales[2])))
    return np.asarray(np.clip(total + zeros[2], low, high))


@pytest.mark.parametrize("dropped", [0, 8])
def test_sums_are_found_and_exact(dropped: int) -> None:
    rng = np.random.default_rng(dropped)
    found = 0
    for turn in range(40):
        a = float(np.float32(10 ** rng.uniform(-2, 0)))
        b = a if turn % 4 == 0 else float(np.float32(a * 2 ** rng.uniform(-3, 3)))
        out = a if turn % 3 == 0 else float(np.float32(max(a, b) * 2 ** rng.uniform(-1, 2)))
        zeros = tuple(int(value) for value in rng.integers(-128, 128, 3))
        low, high = (-128, 127) if turn % 2 else (max(zeros[2], -128), 100)
        high = max(high, low + 1)
        truth = rescaled((a, b, out), zeros, low, high)
        form = linear_sum(truth, (a / out, b / out), low, high, dropped=dropped)
        if form is not None:
            found += 1
            products = (form.first * VALUES >> dropped)[:, None] + (form.second * VALUES >> dropped)[None, :]
            assert np.array_equal(np.clip(products + form.offset >> form.shift, low, high), truth)
            assert np.abs(products).max() + abs(form.offset) < 2**31
    assert found >= 36


def test_no_linear_form_of_a_product() -> None:
    truth = np.clip(VALUES[:, None] * VALUES[None, :] >> 7, -128, 127)
    assert linear_sum(truth, (0.5, 0.5), -128, 127, dropped=8) is None


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9, 49, 64, 125, 256])
def test_quotients_round_halves_away_from_zero(count: int) -> None:
    sums = np.arange(-128 * count, 127 * count + 1)
    truth = np.array([int(np.sign(value)) * ((abs(int(value)) + count // 2) // count) for value in sums])
    form = linear_map(sums, truth, 1 / count, -128, 127)
    assert form is not None
    products = sums * form.factor + form.offset
    assert np.abs(products).max() < 2**31
    assert np.array_equal(products >> form.shift, truth)


def test_no_linear_map_of_a_square() -> None:
    sums = np.arange(-1000, 1001)
    assert linear_map(sums, np.clip(sums * sums // 1000, -128, 127), 0.1, -128, 127) is None
