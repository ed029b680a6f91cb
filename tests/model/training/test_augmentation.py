"""Augmentations: what they may change and what not."""

from __future__ import annotations

import numpy as np
import pytest

from marram.core.errors import UserError
from marram.model.training import augment


def batch(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "shape"), [("image_flip_crop", (6, 12, 10, 3)), ("window_jitter", (6, 50, 4)), ("window_rotation", (6, 50, 6))]
)
def test_equal_generators_give_equal_batches_and_the_input_stays(name, shape):
    samples = batch(*shape)
    kept = samples.copy()
    first, second, other = (augment(name, samples, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == shape
    assert first.dtype == np.float32
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert np.array_equal(samples, kept)


def test_none_changes_nothing():
    samples = batch(3, 4)
    assert augment("none", samples, np.random.default_rng(0)) is samples


def test_a_crop_is_a_piece_of_the_padded_image_or_its_mirror():
    samples = batch(40, 6, 5, 1)
    result = augment("image_flip_crop", samples, np.random.default_rng(3))
    mirrored = 0
    for image, crop in zip(samples, result, strict=True):
        padded = np.pad(image, ((4, 4), (4, 4), (0, 0)))
        views = [padded[top : top + 6, left : left + 5] for top in range(9) for left in range(9)]
        plain = any(np.array_equal(crop, view) for view in views)
        mirrored += not plain
        assert plain or any(np.array_equal(crop[:, ::-1], view) for view in views)
    assert 5 < mirrored < 35


def test_a_rotation_keeps_the_length_of_each_triple():
    from marram.model.training.augmentation import _rotated

    samples = batch(5, 20, 6)
    turned = _rotated(samples, np.random.default_rng(4))
    before, after = (np.linalg.norm(values.reshape(5, 20, 2, 3), axis=3) for values in (samples, turned))
    np.testing.assert_allclose(after, before, rtol=1e-4)
    assert not np.allclose(turned, samples, atol=0.05)


def test_the_wrong_kind_of_batch_is_refused():
    generator = np.random.default_rng(0)
    with pytest.raises(UserError, match="rank 4"):
        augment("image_flip_crop", batch(2, 3, 4), generator)
    with pytest.raises(UserError, match="triples"):
        augment("window_rotation", batch(2, 30, 4), generator)
