"""The Dataset: lazy batches, subsets without decoding, digests of content alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marram.core.errors import DataError
from marram.data import Dataset, in_memory
from marram.data.dataset import ArraySamples


class Counting(ArraySamples):
    """Array samples that count how many were decoded."""

    decoded = 0

    def read(self, indices):
        self.decoded += len(indices)
        return super().read(indices)


def make(count=10, seed=0):
    rng = np.random.default_rng(seed)
    return in_memory(
        rng.integers(0, 256, (count, 4, 3, 1), np.uint8),
        rng.integers(0, 2, count),
        labels=("a", "b"),
        groups=[f"p{number % 3}" for number in range(count)],
    )


def test_batches_hand_out_everything_in_order():
    dataset = make(10)
    batches = list(dataset.batches(4))
    assert [len(x) for x, _ in batches] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), dataset.targets)
    assert batches[0][0].dtype == np.uint8
    assert batches[0][0].shape[1:] == dataset.sample_shape
    with pytest.raises(DataError):
        next(dataset.batches(0))


def test_subsets_decode_nothing_until_read():
    samples = Counting(np.arange(40, dtype=np.uint8).reshape(10, 4))
    dataset = Dataset(samples, targets=np.full(10, -1), labels=())
    part = dataset.subset(np.array([7, 2, 5])).subset(np.array([2, 0]))
    assert samples.decoded == 0
    ((x, _),) = part.batches(10)
    assert samples.decoded == 2
    np.testing.assert_array_equal(x[:, 0], [20, 28])


def test_subsets_take_a_mask_and_carry_groups():
    dataset = make(10)
    part = dataset.subset(np.array(dataset.groups) == "p1")
    assert part.groups == ("p1",) * 3
    assert part.labels == dataset.labels


@pytest.mark.parametrize("indices", [[10], [-1]])
def test_subsets_outside_are_refused(indices):
    with pytest.raises(DataError, match="0 to 9"):
        make(10).subset(np.array(indices))


@given(st.permutations(range(10)), st.integers(0, 5))
@settings(derandomize=True, deadline=None)
def test_law_the_digest_knows_no_order(order, seed):
    dataset = make(10, seed)
    assert dataset.subset(np.array(order)).digest == dataset.digest


def test_the_digest_knows_content_targets_and_groups():
    x = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    other = x.copy()
    other[2, 3] += 1
    digests = {
        in_memory(x, [0, 1, 0, 1]).digest,
        in_memory(other, [0, 1, 0, 1]).digest,
        in_memory(x, [0, 1, 1, 1]).digest,
        in_memory(x, [0, 1, 0, 1], groups=list("aabb")).digest,
        in_memory(x, [0, 1, 0, 1], labels=("no", "yes")).digest,
        in_memory(x).digest,
        in_memory(x[:3], [0, 1, 0]).digest,
    }
    assert len(digests) == 7


@pytest.mark.parametrize(
    "options",
    [
        {"y": [0, 1]},
        {"y": [0, 1, 2], "labels": ("a", "b")},
        {"y": [0, 1, -2]},
        {"groups": ["a"]},
        {"y": [0, 1, 1], "labels": ("a", "a")},
    ],
)
def test_what_does_not_agree_is_refused(options):
    with pytest.raises(DataError):
        in_memory(np.zeros((3, 2), np.uint8), options.pop("y", None), **options)


def test_samples_of_another_dtype_are_refused_by_name():
    with pytest.raises(DataError, match="complex64"):
        in_memory(np.zeros((3, 2), np.complex64))
