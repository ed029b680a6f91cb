"""The watch recordings: a wheel of the same make, wrong hashes, hostile pickles; the true one in soak."""

from __future__ import annotations

import hashlib
import io
import os
import pickle

import numpy as np
import pytest
from tests.data.making import pack

from marram.core.contract import ImuInput
from marram.core.errors import IntegrityError, ToolError
from marram.data import load
from marram.data.registry import watch

SECTION = ImuInput(channels=watch.CHANNELS, rate_hz=50.0, window_s=1.0)


def npy(value) -> bytes:
    """As the package's file: dtype object, pickle protocol 2, names of old numpy."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": ()})
    array = np.empty((), object)
    array[()] = value
    return stream.getvalue() + pickle.dumps(array, protocol=2).replace(b"numpy._core", b"numpy.core")


def content():
    rng = np.random.default_rng(0)
    return {
        "X": [rng.normal(size=(60 + 10 * number, 6)) for number in range(4)],
        "y": np.array([1, 0, 1, 0]),
        "y_labels": ["PEN", "ABD"],
        "X_labels": ["ax", "ay", "az", "wx", "wy", "wz"],
        "subject": np.array([1, 2, 10, 2]),
        "side": np.array([1.0, 0.0, 1.0, 0.0]),
    }


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache folder with a wheel of generated recordings, its hashes pinned instead of the true ones."""
    folder = tmp_path / "cache"
    folder.mkdir()
    member = npy(content())
    wheel = pack(folder / watch.WHEEL, {watch.MEMBER: member})
    monkeypatch.setattr(watch, "MEMBER_SHA256", hashlib.sha256(member).hexdigest())
    monkeypatch.setattr(watch, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(watch, "CONTENT", watch._digest(watch._arrays(wheel)))
    return folder


def test_recordings_are_written_plainly(tmp_path, cache):
    path = watch.watch_recordings(tmp_path / "project", cache=cache)
    dataset = load(path, input_spec=SECTION, split_by="subject")
    assert dataset.labels == ("ABD", "PEN")
    assert sorted(set(dataset.groups)) == ["person-01", "person-02", "person-10"]
    ((x, y),) = dataset.batches(100)
    np.testing.assert_allclose(x[0], content()["X"][0][:50].astype(np.float32))
    assert y[0] == 0
    with np.load(path, allow_pickle=False) as arrays:
        assert "BSD" in str(arrays["licence"])


def test_nothing_is_fetched_twice_and_damage_is_repaired(tmp_path, cache):
    path = watch.watch_recordings(tmp_path, cache=cache)
    whole, stamp = path.read_bytes(), path.stat().st_mtime_ns
    assert watch.watch_recordings(tmp_path, cache=None) == path  # no cache, no fetching: it is there
    assert path.stat().st_mtime_ns == stamp
    path.write_bytes(whole[:1000])
    watch.watch_recordings(tmp_path, cache=cache)
    assert path.read_bytes() == whole


def test_another_file_is_never_opened(tmp_path, cache):
    wheel = cache / watch.WHEEL
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    with pytest.raises(IntegrityError, match="SHA-256"):
        watch.watch_recordings(tmp_path, cache=cache)
    assert not (tmp_path / watch.RECORDINGS_FILE).exists()


def test_a_pickle_that_asks_for_more_than_arrays_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'owned'}",)

    for value in (Evil(), {"X": [Evil()]}):
        with pytest.raises(IntegrityError, match="which no array needs"):
            watch._unpickled(npy(value))
    assert not (tmp_path / "owned").exists()


def test_failed_fetching_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    with pytest.raises(ToolError, match="could not be fetched") as caught:
        watch.watch_recordings(tmp_path)
    assert "pip download" in str(caught.value.hint)
    assert "seglearn" in caught.value.output


@pytest.mark.soak
def test_the_true_recordings(tmp_path):
    path = watch.watch_recordings(tmp_path)
    section = ImuInput(channels=watch.CHANNELS, rate_hz=50.0, window_s=4.0, stride_s=1.0)
    dataset = load(path, input_spec=section, split_by="subject")
    assert len(dataset) == 4397
    assert len(set(dataset.groups)) == 10
    assert len(dataset.labels) == 7
