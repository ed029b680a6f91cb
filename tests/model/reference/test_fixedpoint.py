"""Fixed-point functions against real ones, over their whole domains."""

from __future__ import annotations

import numpy as np
import pytest

from marram.model.reference import fixedpoint


@pytest.mark.parametrize("integer_bits", [4, 5])
def test_exponential(integer_bits: int) -> None:
    raw = -np.linspace(0, 2**31 - 1, 20001).astype(np.int64)
    found = fixedpoint.exp_of_negative(raw, integer_bits) / 2**31
    np.testing.assert_allclose(found, np.exp(raw / 2.0 ** (31 - integer_bits)), atol=3e-7)


def test_logistic() -> None:
    raw = np.linspace(-(2**31) + 1, 2**31 - 1, 20001).astype(np.int64)
    np.testing.assert_allclose(fixedpoint.logistic(raw, 4) / 2**31, 1 / (1 + np.exp(-raw / 2.0**27)), atol=3e-7)


def test_tanh() -> None:
    raw = np.linspace(-(2**31) + 1, 2**31 - 1, 20001).astype(np.int64)
    np.testing.assert_allclose(fixedpoint.tanh(raw, 4) / 2**31, np.tanh(raw / 2.0**27), atol=3e-7)


def test_reciprocal() -> None:
    values = np.unique(np.geomspace(1, 2**31 - 1, 5000).astype(np.int64))
    inverse, power = fixedpoint.reciprocal(values, 12)
    reals = values / 2.0**19
    np.testing.assert_allclose(inverse / 2.0**31 * 2.0**-power, 1 / reals, rtol=1e-7)
