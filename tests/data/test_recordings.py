"""Windows cut out of recordings: where they start, what they share, what is left out or refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marram.core.errors import DataError
from marram.data.recordings import Recording, cut, select_channels

CHANNELS = ("ax", "ay")


def recording(length=100, name="r", seed=0, **options):
    signal = np.random.default_rng(seed).normal(size=(length, 2)).astype(np.float32)
    return Recording(signal=signal, name=name, **options)


def windows(recordings, *, window_s=2.0, stride_s=1.0, rate_hz=10.0, **options):
    return cut(recordings, rate_hz=rate_hz, window_s=window_s, stride_s=stride_s, channels=CHANNELS, source="walks", **options)


@given(st.lists(st.integers(1, 90), min_size=1, max_size=5), st.integers(1, 20), st.integers(1, 30))
@settings(derandomize=True, deadline=None)
def test_law_windows_are_slices_of_their_recordings(lengths, steps, stride):
    recordings = [recording(max(length, 2), f"r{n}", n) for n, length in enumerate(lengths)]
    if all(len(item.signal) < steps for item in recordings):
        with pytest.raises(DataError, match="no recording is as long"):
            windows(recordings, rate_hz=1.0, window_s=steps, stride_s=stride)
        return
    dataset = windows(recordings, rate_hz=1.0, window_s=steps, stride_s=stride)
    expected = [
        item.signal[start : start + steps] for item in recordings for start in range(0, len(item.signal) - steps + 1, stride)
    ]
    found = np.concatenate([x for x, _ in dataset.batches(7)])
    np.testing.assert_array_equal(found, np.stack(expected))
    covered = sum(
        len({step for start in range(0, len(item.signal) - steps + 1, stride) for step in range(start, start + steps)})
        for item in recordings
    )
    assert dataset.duration_s == covered
    assert (dataset.origins is not None) == (stride < steps)


def test_labels_groups_and_places():
    dataset = windows([recording(40, "r1", label="b", group="ann"), recording(30, "r2", 1, label="a", group="bob")])
    assert dataset.labels == ("a", "b")
    assert dataset.targets.tolist() == [1, 1, 1, 0, 0]
    assert dataset.groups == ("ann", "ann", "ann", "bob", "bob")
    assert dataset.name(1) == "r1 at 1 s"
    assert dataset.channels == CHANNELS


def test_no_stride_means_no_overlap():
    assert len(windows([recording(100)], stride_s=None)) == 5


def test_short_recordings_are_left_out_and_named():
    dataset = windows([recording(40, "long"), recording(5, "stub")])
    assert len(dataset) == 3
    assert dataset.remarks == ("1 of 2 recordings are shorter than a window of 2 s and left out, first stub",)


def test_other_rates_are_resampled():
    dataset = windows([recording(100, rate_hz=20.0)], stride_s=None)
    assert len(dataset) == 2


def spoiled(value, row=17, column=1):
    item = recording(100, "r7")
    item.signal[row, column] = value
    return item


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_are_refused_with_their_place(value):
    with pytest.raises(DataError, match=r"(?s)r7: 1 values.*row 17, channel ay"):
        windows([recording(), spoiled(value)])


def test_a_dead_channel_is_refused():
    dead = recording(100)
    dead.signal[:, 0] = 9.5
    with pytest.raises(DataError, match=r"channel ax is 9\.5 throughout"):
        windows([dead])


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (np.zeros((2, 100), np.float32), "transposed"),
        (np.zeros((100, 3), np.float32), "ax, ay"),
        (np.zeros(100, np.float32), "steps, 2"),
        (np.array([["a", "b"]] * 50), "not numbers"),
        (np.zeros((0, 2), np.float32), "no data"),
        (np.full((100, 2), 1e300), "infinite"),
    ],
)
def test_signals_that_do_not_fit_are_refused(signal, message):
    with pytest.raises(DataError, match=message):
        windows([Recording(signal=signal, name="r")])


def test_half_labelled_recordings_are_refused():
    with pytest.raises(DataError, match="1 recordings have no label"):
        windows([recording(label="a"), recording(name="r2")])
    with pytest.raises(DataError, match="no recordings"):
        windows([])


def test_channels_are_selected_by_name_and_order():
    assert select_channels(["t", "ay", "ax"], CHANNELS, source="s") == [2, 1]
    with pytest.raises(DataError, match="Did you mean acc_x"):
        select_channels(["acc_x", "acc_y"], ("acx",), source="s")
