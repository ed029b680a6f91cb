"""Datasets from named arrays: samples, recordings, and what does not agree."""

from __future__ import annotations

import numpy as np
import pytest

from marram.core.contract import ImuInput, TensorInput
from marram.core.errors import DataError
from marram.data.arrays import from_arrays

TENSOR = TensorInput(shape=(4,))
IMU = ImuInput(channels=("ax", "ay"), rate_hz=10.0, window_s=1.0, stride_s=0.5)
X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
SIGNAL = np.random.default_rng(1).normal(size=(75, 3))


def made(section=TENSOR, classes=None, group=None, **arrays):
    return from_arrays(arrays, section=section, classes=classes, group=group, source="s.npz")


def recordings(**more):
    arrays = {
        "signal": SIGNAL,
        "lengths": np.array([30, 45]),
        "label": np.array(["run", "walk"]),
        "subject": np.array(["ann", "bob"]),
        "channels": np.array(["ay", "az", "ax"]),
    }
    return made(IMU, group="subject", **(arrays | more))


def test_classes_as_numbers_and_as_names():
    by_number = made(x=X, y=[0, 1, 2, 0, 1, 2], labels=["c", "a", "b"])
    assert by_number.labels == ("c", "a", "b")
    assert by_number.targets.tolist() == [0, 1, 2, 0, 1, 2]
    by_name = made(x=X, y=list("cabcab"))
    assert by_name.labels == ("a", "b", "c")
    assert by_name.targets.tolist() == [2, 0, 1, 2, 0, 1]
    assert made(x=X, y=[10, 9, 10, 9, 10, 9]).labels == ("9", "10")
    assert made(x=X, y=[0, 1] * 3, classes=("no", "yes")).labels == ("no", "yes")
    assert made(x=X).labels == ()
    assert made(x=X, y=[-1] * 6).labels == ()


def test_groups_and_parts():
    dataset = made(x=X, y=[0, 1] * 3, group="owner", owner=list("aabbcc"), parts=["train"] * 4 + ["test"] * 2)
    assert dataset.groups == tuple("aabbcc")
    assert dataset.parts.tolist() == [0, 0, 0, 0, 2, 2]
    assert made(x=X, groups=list("aabbcc")).groups == tuple("aabbcc")


def test_doubles_become_floats():
    assert made(x=X.astype(np.float64)).sample_dtype == "float32"


def test_recordings_are_cut_and_channels_chosen():
    dataset = recordings()
    assert dataset.sample_shape == (10, 2)
    assert dataset.groups == ("ann",) * 5 + ("bob",) * 8
    ((x, _),) = dataset.batches(100)
    np.testing.assert_allclose(x[5], SIGNAL[30:40, [2, 0]].astype(np.float32))
    assert len(recordings(rate_hz=20.0)) == 2 + 3


def spoiled(value):
    x = X.copy()
    x[3, 2] = value
    return x


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"z": X}, "no array x; it has z"),
        ({"x": X, "y": [0, 1]}, "y has shape"),
        ({"x": X, "y": [0.5] * 6}, "whole numbers or names"),
        ({"x": X, "y": [0, 1, 2, 3, 4, 9], "labels": ["a"] * 3}, "has class 3, but there are 3 labels"),
        ({"x": X, "y": [0, -2, 1, 0, 1, 1]}, "negative"),
        ({"x": X, "y": list("ababac"), "classes": ("a", "b")}, "'c', which is not among"),
        ({"x": X, "y": list("ababab"), "classes": ("a", "b", "c")}, "class 'c' has no sample"),
        ({"x": X, "groups": ["a"]}, "groups has shape"),
        ({"x": X, "parts": ["tset"] * 6}, "Did you mean test"),
        ({"x": X[:0]}, "N samples"),
        ({"x": X[:, 0]}, "N samples"),
        ({"x": spoiled(np.nan)}, "first is nan at row 3"),
        ({"x": spoiled(-np.inf)}, "first is -inf at row 3"),
        ({"x": np.ones_like(X)}, "nothing to learn"),
        ({"x": X.astype(np.complex64)}, "complex64"),
    ],
)
def test_samples_that_do_not_agree_are_refused(arrays, message):
    with pytest.raises(DataError, match=message):
        made(**arrays)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"lengths": None}, "without lengths"),
        ({"lengths": np.array([30, 44])}, "does not agree with lengths"),
        ({"lengths": np.array([-5, 80])}, "does not agree with lengths"),
        ({"label": np.array(["a"])}, "label has shape"),
        ({"channels": np.array(["ay", "az"])}, "names 2 channels"),
        ({"channels": np.array(["ay", "az", "acx"])}, "no channel 'ax'"),
        ({"channels": None}, r"not \(steps, 2\)"),
    ],
)
def test_recordings_that_do_not_agree_are_refused(more, message):
    with pytest.raises(DataError, match=message):
        recordings(**more)
