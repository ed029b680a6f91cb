"""The integer resize: identity, conservation, constants, and agreement with exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marram.core.errors import DataError
from marram.sense.resizing import ONE, resize, weights

sizes = st.integers(1, 40)
methods = st.sampled_from(["area", "bilinear"])


@given(sizes, sizes, methods)
@settings(derandomize=True, deadline=None)
def test_every_row_of_weights_sums_to_one(source, target, method):
    table = weights(source, target, method)
    assert table.shape == (target, source)
    assert (table >= 0).all()
    assert (table.sum(axis=1) == ONE).all()


@given(sizes, sizes, methods, st.integers(0, 2**32 - 1))
@settings(derandomize=True, deadline=None)
def test_the_same_size_gives_the_same_pixels(height, width, method, seed):
    images = np.random.default_rng(seed).integers(0, 256, (2, height, width, 3), np.uint8)
    assert (weights(height, height, method) == ONE * np.eye(height)).all()
    np.testing.assert_array_equal(resize(images, size=(height, width), method=method), images)


@given(sizes, sizes, sizes, sizes, methods, st.integers(0, 255))
@settings(derandomize=True, deadline=None)
def test_a_constant_image_stays_constant(height, width, new_height, new_width, method, value):
    images = np.full((1, height, width, 1), value, np.uint8)
    assert (resize(images, size=(new_height, new_width), method=method) == value).all()


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
@settings(derandomize=True, deadline=None)
def test_area_is_within_one_grey_level_of_the_exact_mean(source, target, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, source).astype(np.uint8)
    found = resize(pixels.reshape(1, 1, source, 1), size=(1, target), method="area").ravel()
    for i in range(target):
        begin, end = Fraction(i * source, target), Fraction((i + 1) * source, target)
        overlaps = [max(Fraction(0), min(end, j + 1) - max(begin, j)) for j in range(source)]
        exact = sum(o * int(p) for o, p in zip(overlaps, pixels, strict=True)) / (end - begin)
        assert abs(Fraction(int(found[i])) - exact) <= Fraction(52, 100)


def test_halving_takes_means_of_four_and_rounds_half_up():
    block = np.array([[0, 1], [0, 1]], np.uint8).reshape(1, 2, 2, 1)  # mean 0.5
    assert resize(block, size=(1, 1)).item() == 1
    assert resize(np.array([[0, 0], [0, 1]], np.uint8).reshape(1, 2, 2, 1), size=(1, 1)).item() == 0


def test_bilinear_doubling_has_half_pixel_centres():
    row = np.array([0, 100], np.uint8).reshape(1, 1, 2, 1)
    assert resize(row, size=(1, 4), method="bilinear").ravel().tolist() == [0, 25, 75, 100]


def test_largest_values_fit_32_unsigned_bits():
    # 255 in 8.8 times a full weight plus the rounding term is the largest sum of the second pass.
    assert 255 * 256 * ONE + (1 << 23) < 1 << 32


@pytest.mark.parametrize(
    "images", [np.zeros((1, 4, 4, 1), np.float32), np.zeros((4, 4, 1), np.uint8), np.zeros((1, 0, 4, 1), np.uint8)]
)
def test_what_is_no_image_is_refused(images):
    with pytest.raises(DataError):
        resize(images, size=(2, 2))


def test_no_images_give_no_images():
    assert resize(np.zeros((0, 4, 4, 3), np.uint8), size=(2, 2)).shape == (0, 2, 2, 3)
