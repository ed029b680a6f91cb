"""Checks: each refusal names its place, and good data passes."""

from __future__ import annotations

import numpy as np
import pytest

from marram.core.contract import AudioInput, ImageInput, ImuInput, TensorInput
from marram.core.errors import DataError
from marram.data import in_memory
from marram.data.checks import refuse_constant, refuse_misfit, refuse_not_finite, refuse_unusable

GOOD = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)


def test_good_data_passes():
    refuse_not_finite(GOOD, where="x")
    refuse_not_finite(np.full((3, 2), -(2**15), np.int16), where="x")
    refuse_not_finite(np.array([-0.0, 1e-45], np.float32), where="x")
    refuse_constant(GOOD, where="x")
    refuse_constant(np.array([[4]]), where="x")
    refuse_unusable([GOOD, GOOD[:0]], ["a", "b"], channels=("x", "y", "z"), source="s")


def test_the_first_bad_value_is_named_and_all_are_counted():
    bad = GOOD.copy()
    bad[7, 2] = np.nan
    bad[9] = np.inf
    with pytest.raises(DataError, match=r"walk 3: 4 values are NaN or infinite; the first is nan at row 7, channel z"):
        refuse_not_finite(bad, where="walk 3", channels=("x", "y", "z"))


def test_a_channel_must_move_in_some_recording():
    still = GOOD.copy()
    still[:, 1] = 2.0
    with pytest.raises(DataError, match="channel y is 2 throughout"):
        refuse_unusable([still, still], ["a", "b"], channels=("x", "y", "z"), source="s")
    refuse_unusable([still, GOOD], ["a", "b"], channels=("x", "y", "z"), source="s")


def test_constant_samples_are_refused():
    with pytest.raises(DataError, match="every value is 0"):
        refuse_constant(np.zeros((4, 3)), where="x")


IMAGES = in_memory(np.zeros((2, 8, 6, 3), np.uint8))
WINDOWS = in_memory(np.zeros((2, 20, 6), np.float32))
CLIPS = in_memory(np.zeros((2, 8000), np.int16))
IMU = ImuInput(channels=tuple("abcdef"), rate_hz=10.0, window_s=2.0)


@pytest.mark.parametrize(
    ("dataset", "section"),
    [
        (IMAGES, ImageInput(size_px=(32, 32))),
        (WINDOWS, IMU),
        (CLIPS, AudioInput(rate_hz=8000)),
        (WINDOWS, TensorInput(shape=(20, 6))),
    ],
)
def test_samples_as_the_contract_states_pass(dataset, section):
    refuse_misfit(dataset, section, source="s")


@pytest.mark.parametrize(
    ("dataset", "section", "message"),
    [
        (IMAGES, ImageInput(size_px=(32, 32), channels=1), "height, width, 1"),
        (in_memory(np.zeros((2, 3, 8, 6), np.uint8)), ImageInput(size_px=(8, 6)), r"\(C, H, W\)"),
        (in_memory(np.zeros((2, 8, 6, 3), np.float32)), ImageInput(size_px=(8, 6)), "uint8"),
        (in_memory(np.zeros((2, 6, 20), np.float32)), IMU, "transpose"),
        (in_memory(np.zeros((2, 20, 6), np.uint8)), IMU, "samples are uint8"),
        (CLIPS, AudioInput(rate_hz=16000), r"clips \(16000,\)"),
        (WINDOWS, TensorInput(shape=(6, 20)), r"arrays \(6, 20\)"),
        (WINDOWS.subset(np.array([], int)), IMU, "no samples"),
    ],
)
def test_other_samples_are_refused_with_the_cause(dataset, section, message):
    with pytest.raises(DataError, match=message):
        refuse_misfit(dataset, section, source="s")
