"""Requantisation against brute force in Python integers of any size."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marram.model.reference.arithmetic import (
    Multiplier,
    divide_by_power,
    high_mul,
    multiplier,
    multiply,
    multiply_wide,
    quantise_multiplier,
    rescaler,
    round_away,
)

INT32 = st.integers(-(2**31), 2**31 - 1)


def exact_high_mul(a: int, b: int) -> int:
    """gemmlowp's words: (a * b + nudge) / 2**31 with division towards zero, min * min saturated."""
    if a == b == -(2**31):
        return 2**31 - 1
    nudged = a * b + ((1 << 30) if a * b >= 0 else 1 - (1 << 30))
    return abs(nudged) // 2**31 * (1 if nudged >= 0 else -1)


def exact_divide(x: int, exponent: int) -> int:
    """Nearest to x / 2**exponent, halves away from zero."""
    value = Fraction(x, 2**exponent)
    floor = abs(value.numerator) * 2 // value.denominator
    return ((floor + 1) // 2) * (1 if x >= 0 else -1)


def wrapped(x: int) -> int:
    return (x + 2**31) % 2**32 - 2**31


def exact_multiply(x: int, value: int, shift: int) -> int:
    return exact_divide(exact_high_mul(wrapped(x << max(shift, 0)), value), max(-shift, 0))


def as_array(x: int) -> np.ndarray:
    return np.array([x], np.int64)


@settings(max_examples=400, derandomize=True)
@given(a=INT32, b=INT32)
def test_high_mul_is_gemmlowps(a: int, b: int) -> None:
    assert int(high_mul(as_array(a), b)[0]) == exact_high_mul(a, b)


def test_high_mul_at_its_corners() -> None:
    corners = [-(2**31), -(2**31) + 1, -(2**30), -1, 0, 1, 2**30, 2**31 - 1]
    for a in corners:
        for b in corners:
            assert int(high_mul(as_array(a), b)[0]) == exact_high_mul(a, b), (a, b)


@settings(max_examples=400, derandomize=True)
@given(x=INT32, exponent=st.integers(0, 31))
def test_division_rounds_halves_away(x: int, exponent: int) -> None:
    assert int(divide_by_power(as_array(x), exponent)[0]) == exact_divide(x, exponent)


@pytest.mark.parametrize(("x", "expected"), [(-3, -2), (-2, -1), (-1, -1), (0, 0), (1, 1), (3, 2), (5, 3)])
def test_division_by_two(x: int, expected: int) -> None:
    assert int(divide_by_power(as_array(x), 1)[0]) == expected


@settings(max_examples=400, derandomize=True)
@given(x=INT32, value=st.integers(2**30, 2**31 - 1), shift=st.integers(-31, 12))
def test_multiply_rounds_twice(x: int, value: int, shift: int) -> None:
    by = Multiplier(values=np.array(value), shifts=np.array(shift))
    assert int(multiply(as_array(x), by)[0]) == exact_multiply(x, value, shift)


@settings(max_examples=200, derandomize=True)
@given(x=st.integers(-(2**40), 2**40), value=st.integers(2**30, 2**31 - 1), shift=st.integers(-31, -8))
def test_wide_multiply_rounds_once(x: int, value: int, shift: int) -> None:
    reduced = (value + (1 << 15)) >> 16 if value < 0x7FFF0000 else 0x7FFF
    expected = wrapped((x * reduced + (1 << (14 - shift))) >> (15 - shift))
    by = Multiplier(values=np.array(value), shifts=np.array(shift))
    assert int(multiply_wide(as_array(x), by)[0]) == expected


@settings(max_examples=300, derandomize=True)
@given(real=st.floats(1e-12, 1e6))
def test_quantised_multiplier_is_the_nearest(real: float) -> None:
    value, shift = quantise_multiplier(real)
    if value == 0:
        assert real < 2.0**-31
        return
    assert 2**30 <= value < 2**31
    assert abs(Fraction(value) * Fraction(2) ** (shift - 31) - Fraction(real)) <= Fraction(2) ** (shift - 32)


def test_quantised_multiplier_of_almost_a_power_of_two() -> None:
    assert quantise_multiplier(1.0 - 2.0**-40) == (2**30, 1)
    assert quantise_multiplier(1.0) == (2**30, 1)
    assert quantise_multiplier(0.0) == (0, 0)
    assert quantise_multiplier(2.0**-40) == (0, 0)
    assert quantise_multiplier(-0.5) == (-(2**30), 0)


@settings(max_examples=300, derandomize=True)
@given(
    accumulators=st.lists(st.integers(-(2**30), 2**30), min_size=3, max_size=3),
    bias=st.lists(st.integers(-(2**29), 2**29), min_size=3, max_size=3),
    values=st.lists(st.integers(2**30, 2**31 - 1), min_size=3, max_size=3),
    shifts=st.lists(st.integers(-31, 0), min_size=3, max_size=3) | st.lists(st.integers(-12, 3), min_size=3, max_size=3),
    zero_point=st.integers(-128, 127),
    relu=st.booleans(),
)
def test_rescaler_is_multiply_and_clamp(
    accumulators: list[int], bias: list[int], values: list[int], shifts: list[int], zero_point: int, relu: bool
) -> None:
    low = zero_point if relu else -128
    by = Multiplier(values=np.array(values), shifts=np.array(shifts))
    work = rescaler(by, bias=np.array(bias), zero_point=zero_point, low=low, high=127, dtype=np.dtype(np.int8))
    found = work(np.array([accumulators], np.float64))
    rows = zip(accumulators, bias, values, shifts, strict=True)
    expected = [min(max(exact_multiply(wrapped(a + b), v, s) + zero_point, low), 127) for a, b, v, s in rows]
    assert found.dtype == np.int8
    assert found[0].tolist() == expected


def test_round_away() -> None:
    assert [round_away(x) for x in (-2.5, -0.5, -0.4, 0.5, 1.5, 2.4)] == [-3, -1, 0, 1, 2, 2]


def test_multiplier_of_channels() -> None:
    by = multiplier([0.5, 0.25, 3.0])
    assert by.values.tolist() == [2**30, 2**30, 3 * 2**29]
    assert by.shifts.tolist() == [0, -1, 2]
