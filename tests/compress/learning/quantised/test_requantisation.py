"""Requantisation: the reference's integers at every boundary, and the gradient of what was not cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marram.compress.learning.quantised.requantisation import Rescaling, integers, multipliers, requantised
from marram.model.reference.arithmetic import multiplier, multiply_wide, rescaler


def rescaling(factors, *, zero_point=0, low=-128, high=127, wide=False, most=2.0**31):
    by = multiplier(list(factors))
    dtype = "int16" if wide else "int8"
    return Rescaling(by=by, zero_point=zero_point, low=low, high=high, dtype=dtype, wide=wide, most=most)


def near_boundaries(factors, low, high, seed):
    """Sums around every place where the result changes, and some far away: (rows, channels) float64."""
    rng = np.random.default_rng(seed)
    steps = np.arange(low - 2, high + 3)[:, None] + 0.5
    exact = steps / np.asarray(factors)
    sums = np.concatenate([np.floor(exact) + shift for shift in (-1, 0, 1, 2)])
    far = rng.integers(-(2**30), 2**30, (50, len(factors)))
    return np.clip(np.concatenate([sums, far]), -(2**30), 2**30)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    exponents=st.lists(st.floats(-24, 2), min_size=1, max_size=4),
    zero_point=st.integers(-128, 127),
    clamped=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_integers_are_the_references(exponents, zero_point, clamped, seed):
    factors = [2.0**exponent for exponent in exponents]
    low = zero_point if clamped else -128
    rule = rescaling(factors, zero_point=zero_point, low=low)
    sums = near_boundaries(factors, -256, 256, seed)
    bias = np.random.default_rng(seed).integers(-1000, 1000, len(factors))
    wanted = rescaler(rule.by, bias=bias, zero_point=zero_point, low=low, high=127, dtype=np.dtype(np.int8))(sums)
    codes, _ = integers(torch.from_numpy(sums), torch.from_numpy(bias.astype(np.float64)), rule)
    assert np.array_equal(codes.numpy() + zero_point, wanted)


def test_powers_of_two_round_halves_as_the_reference():
    """Here sums hit halves exactly, and the two roundings differ by sign."""
    for power in range(-20, 1):
        rule = rescaling([2.0**power])
        sums = np.arange(-70000, 70000, dtype=np.float64)[:, None]
        finish = rescaler(rule.by, bias=None, zero_point=0, low=-128, high=127, dtype=np.dtype(np.int8))
        assert np.array_equal(integers(torch.from_numpy(sums), None, rule)[0].numpy(), finish(sums)), power


@settings(max_examples=60, deadline=None, derandomize=True)
@given(exponents=st.lists(st.floats(-26, 0), min_size=1, max_size=3), seed=st.integers(0, 1000))
def test_wide_sums_are_rounded_once(exponents, seed):
    factors = [2.0**exponent for exponent in exponents]
    rule = rescaling(factors, low=-32768, high=32767, wide=True, most=2.0**30)
    sums = near_boundaries(factors, -300, 300, seed)
    wanted = np.clip(multiply_wide(sums.astype(np.int64), rule.by), -32768, 32767)
    assert np.array_equal(integers(torch.from_numpy(sums), None, rule)[0].numpy(), wanted)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(reals=st.lists(st.floats(1e-12, 1e6), min_size=1, max_size=8))
def test_multipliers_are_the_references(reals):
    mine, wanted = multipliers(np.array([*reals, 0.0, 1.0, np.nextafter(1.0, 0)])), multiplier([*reals, 0.0, 1.0, 1 - 2**-53])
    assert np.array_equal(mine.values, wanted.values)
    assert np.array_equal(mine.shifts, wanted.shifts)


@pytest.mark.parametrize("by_channel", [True, False])
@pytest.mark.parametrize("with_bias", [True, False])
def test_the_gradient_is_that_of_a_product_where_it_is_not_cut(by_channel, with_bias):
    random = torch.Generator().manual_seed(0)
    sums = torch.randint(-20000, 20000, (7, 9, 5), generator=random).double()
    bias = torch.randint(-500, 500, (5,), generator=random).double()
    factor = torch.rand(5 if by_channel or with_bias else (), generator=random).double() * 0.01 + 0.002
    weights = torch.randn(7, 9, 5, generator=random)
    mine = [value.clone().requires_grad_() for value in (sums.float(), bias, factor.float())]
    rule = rescaling(np.atleast_1d(factor.float().numpy().astype(np.float64)), zero_point=-3)
    given_codes = requantised(mine[0], mine[1] if with_bias else None, mine[2], rule)
    (given_codes * weights).sum().backward()
    theirs = [value.clone().requires_grad_() for value in (sums, bias, factor)]
    steps = (theirs[0] + theirs[1] if with_bias else theirs[0]) * theirs[2]
    inside = ((torch.round(steps) >= -125) & (torch.round(steps) <= 130)).double()
    (steps * inside * weights).sum().backward()
    for one, other in zip(mine, theirs, strict=True):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None:
            torch.testing.assert_close(one.grad.double(), other.grad, rtol=1e-4, atol=1e-4 * float(other.grad.abs().max()))
    assert int((given_codes == -125).sum()) > 10
