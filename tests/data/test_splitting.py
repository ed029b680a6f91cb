"""Splits: nothing leaks, classes keep their shares, seeds decide, and what cannot be split says why."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marram.core.errors import DataError
from marram.data import Dataset, Split, check_leak, in_memory, split
from marram.data.dataset import ArraySamples
from marram.data.recordings import Recording, cut


def dataset(targets, *, groups=None, content=None, parts=None, labels=None):
    """Samples of four bytes; equal numbers in ``content`` make equal samples."""
    numbers = np.arange(len(targets)) if content is None else np.asarray(content)
    x = numbers.astype("<u4").view(np.uint8).reshape(-1, 4)
    labels = labels or tuple(f"c{n}" for n in range(max(targets) + 1))
    return Dataset(ArraySamples(x), targets=np.asarray(targets), labels=labels, groups=groups, parts=parts)


def cut_up(data, by="stratified", *, test=0.2, validation=0.1, seed=0):
    return split(data, test_fraction=test, validation_fraction=validation, by=by, seed=seed)


def groups_in(data, positions):
    return {data.groups[position] for position in positions}


@given(st.lists(st.integers(3, 40), min_size=1, max_size=5), st.floats(0.05, 0.45), st.floats(0.05, 0.45), st.integers(0, 99))
@settings(derandomize=True, deadline=None)
def test_law_stratified_keeps_shares_and_deals_out_everything(sizes, test, validation, seed):
    data = dataset([number for number, size in enumerate(sizes) for _ in range(size)])
    try:
        found = cut_up(data, test=test, validation=validation, seed=seed)
    except DataError as error:
        assert "too few" in str(error)  # noqa: PT017  # both outcomes are lawful
        assert min(sizes) <= 4
        return
    np.testing.assert_array_equal(np.sort(np.concatenate(found.parts)), np.arange(len(data)))
    for part, fraction in ((found.test, test), (found.validation, validation)):
        for number, size in enumerate(sizes):
            assert abs((data.targets[part] == number).sum() - fraction * size) <= 1


@given(st.integers(3, 12), st.integers(1, 4), st.integers(0, 2**31), st.data())
@settings(derandomize=True, deadline=None, max_examples=80)
def test_law_group_splits_never_leak(groups, classes, seed, data):
    rng = np.random.default_rng(seed)
    count = data.draw(st.integers(groups * classes, 120))
    owners = np.concatenate([np.arange(groups), rng.integers(0, groups, count - groups)])
    targets = rng.integers(0, classes, count)
    samples = dataset(targets.tolist(), groups=[f"p{owner}" for owner in owners], labels=tuple(f"c{n}" for n in range(classes)))
    try:
        found = cut_up(samples, "subject", seed=seed)
    except DataError as error:
        assert "no sample in training" in str(error)  # noqa: PT017  # both outcomes are lawful
        return
    check_leak(samples, found)
    held = [groups_in(samples, part) for part in found.parts]
    assert not held[0] & held[1]
    assert not held[0] & held[2]
    assert not held[1] & held[2]
    assert all(held)
    assert set(found.held_out_groups) == held[2]


@pytest.mark.parametrize("by", ["stratified", "subject"])
def test_equal_seeds_give_equal_parts_whatever_the_order(by):
    rng = np.random.default_rng(1)
    data = dataset(rng.integers(0, 3, 90).tolist(), groups=[f"p{n % 9}" for n in range(90)])
    order = rng.permutation(90)
    first, again, other = cut_up(data, by), cut_up(data.subset(order), by), cut_up(data, by, seed=1)
    for a, b in zip(first.parts, again.parts, strict=True):
        np.testing.assert_array_equal(a, np.sort(order[b]))
    assert not np.array_equal(first.test, other.test)


def test_copies_stay_together_in_a_stratified_split():
    data = dataset([0, 1] * 30, content=[number // 6 * 2 + number % 2 for number in range(60)])
    found = cut_up(data)
    contents = [set(data.hashes[part].view("V16").ravel().tolist()) for part in found.parts]
    assert not contents[0] & contents[1]
    assert not contents[0] & contents[2]


def test_windows_that_overlap_stay_with_their_recording():
    rng = np.random.default_rng(0)
    recordings = [Recording(signal=rng.normal(size=(50, 2)), name=f"r{number}", label="ab"[number % 2]) for number in range(12)]
    options = {"rate_hz": 10.0, "window_s": 1.0, "channels": ("x", "y"), "source": "s"}
    data = cut(recordings, stride_s=0.5, **options)
    found = cut_up(data)
    owners = [set(data.origins[part].tolist()) for part in found.parts]
    assert not owners[0] & owners[2]
    assert not owners[0] & owners[1]
    with pytest.raises(DataError, match="stride_s"):
        cut_up(cut(recordings[:2], stride_s=0.5, **options))
    assert len(cut_up(cut(recordings[:2], stride_s=None, **options)).test)


def test_given_parts_are_kept_and_validation_comes_from_training():
    parts = np.array([0] * 40 + [2] * 10, np.int8)
    data = dataset([0, 1] * 25, parts=parts)
    found = cut_up(data, "given")
    np.testing.assert_array_equal(found.test, np.arange(40, 50))
    assert len(found.validation) == 4  # a tenth of 50 is 5: two classes, 2 each after rounding
    parts[:4] = 1
    np.testing.assert_array_equal(cut_up(dataset([0, 1] * 25, parts=parts), "given").validation, np.arange(4))
    assert not len(cut_up(data, "given", validation=0.0).validation)


def test_a_few_copies_of_test_samples_leave_training_and_are_told():
    content = list(range(400))
    content[0] = 399
    data = dataset([0, 1] * 200, content=content, parts=np.array([0] * 200 + [2] * 200, np.int8))
    found = cut_up(data, "given", validation=0.0)
    assert len(found.training) == 199
    assert "1 samples were left out" in found.remarks[0]


def test_many_copies_of_test_samples_are_an_error():
    content = [number % 50 for number in range(100)]
    data = dataset([0, 1] * 50, content=content, parts=np.array([0] * 50 + [2] * 50, np.int8))
    with pytest.raises(DataError, match="50 of 50 samples of the test part stand in another part") as caught:
        cut_up(data, "given", validation=0.0)
    assert "sample" in str(caught.value.where)


def test_check_leak_finds_every_kind():
    data = dataset([0, 1] * 10, groups=[f"p{n % 4}" for n in range(20)], content=[0, 1, 2, *range(3, 19), 0])
    positions = np.arange(20)

    def made(training, test, by="subject"):
        return Split(training=training, validation=np.array([], int), test=test, by=by, seed=0)

    with pytest.raises(DataError, match="in another"):
        check_leak(data, made(positions[:10], positions[9:12]))
    with pytest.raises(DataError, match="identical samples"):
        check_leak(data, made(positions[:10], positions[10:], "stratified"))
    with pytest.raises(DataError, match="samples of one group"):
        check_leak(data, made(positions[1:10], positions[10:19]))
    check_leak(data, made(positions[1:10], positions[10:19], "stratified"))
    check_leak(data, made(np.flatnonzero(positions % 4 < 2)[1:], np.flatnonzero(positions % 4 >= 2)))


def test_a_class_only_in_test_is_refused_with_counts():
    data = dataset([0] * 10 + [1] * 5, parts=np.array([0] * 10 + [2] * 5, np.int8))
    with pytest.raises(DataError, match=r"class 'c1' has no sample in training.*test 5"):
        cut_up(data, "given")


def test_a_class_that_test_lacks_is_a_remark():
    data = dataset([0, 1] * 10, parts=np.array([2 if n in {4, 8} else 0 for n in range(20)], np.int8))
    assert "class 'c1' has no sample in the test part" in cut_up(data, "given").remarks[0]


@pytest.mark.parametrize(
    ("data", "by", "message"),
    [
        (dataset([0, 1] * 10, groups=["a", "b"] * 10), "subject", "at least 3 of them, the data has 2: a, b"),
        (dataset([0, 1] * 10), "subject", "does not say"),
        (dataset([0, 1] * 10), "given", "does not declare"),
        (dataset([0, 1] * 10, parts=np.zeros(20, np.int8)), "given", "test part is empty"),
        (dataset([0, 0, 0, 0, 0, 1]), "stratified", "class 'c1' has 1 different samples: too few"),
        (dataset([0] * 9, content=[5] * 9), "stratified", "1 different samples"),
    ],
)
def test_what_cannot_be_split_says_why(data, by, message):
    with pytest.raises(DataError, match=message):
        cut_up(data, by)


@pytest.mark.parametrize(("test", "validation"), [(0.0, 0.1), (1.0, 0.0), (0.6, 0.4), (0.2, -0.1), (float("nan"), 0.1)])
def test_fractions_that_leave_no_training_are_refused(test, validation):
    with pytest.raises(DataError, match="fractions"):
        cut_up(dataset([0, 1] * 10), test=test, validation=validation)


def test_data_without_classes_is_split_too():
    data = in_memory(np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32))
    assert [len(part) for part in cut_up(data).parts] == [21, 3, 6]
    with pytest.raises(DataError, match="no samples"):
        cut_up(data.subset(np.array([], int)))


def test_groups_on_both_sides_are_told_unless_the_split_is_by_group():
    data = dataset([0, 1] * 20, groups=[f"p{n // 2 % 4}" for n in range(40)])
    assert "4 of 4 groups are in training and in test" in cut_up(data).remarks[0]
    assert cut_up(data, "subject").remarks == ()
