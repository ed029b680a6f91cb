"""Arrays from .npz files: read whole, pickles and damage refused."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from tests.data.making import pack

from marram.core.errors import DataError
from marram.data.npz import read_npz


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_was_saved_is_read(tmp_path, save):
    arrays = {"x": np.random.default_rng(0).normal(size=(5, 3)), "names": np.array(["a", "bc"]), "rate": np.array(50.0)}
    save(tmp_path / "a.npz", **arrays)
    found = read_npz(tmp_path / "a.npz")
    assert sorted(found) == sorted(arrays)
    for name, value in arrays.items():
        np.testing.assert_array_equal(found[name], value)


def test_pickles_are_refused_with_a_remedy(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}], object))
    with pytest.raises(DataError, match="no Python objects"):
        read_npz(tmp_path / "a.npz")


def test_a_header_that_lies_about_its_size_is_refused(tmp_path):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (10**13,)})
    with pytest.raises(DataError, match="not a readable array"):
        read_npz(pack(tmp_path / "a.npz", {"x.npy": stream.getvalue() + bytes(80)}))


def test_other_archives_and_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="no arrays"):
        read_npz(pack(tmp_path / "a.npz", {"readme.txt": b"x"}))
    (tmp_path / "b.npz").write_bytes(b"PK but no archive")
    with pytest.raises(DataError, match="not a readable zip"):
        read_npz(tmp_path / "b.npz")


def test_damage_gives_an_error(tmp_path):
    np.savez(tmp_path / "whole.npz", x=np.arange(200, dtype=np.float32), y=np.arange(50))
    whole = (tmp_path / "whole.npz").read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "a.npz"
    refused = 0
    for number in range(300):
        raw = bytearray(whole)
        raw[rng.integers(0, len(raw))] ^= 1 << rng.integers(0, 8)
        path.write_bytes(raw if number % 2 else raw[: rng.integers(0, len(raw))])
        try:
            found = read_npz(path)
        except DataError:
            refused += 1
            continue
        for value in found.values():  # a flipped bit in a date or a name leaves the values whole
            assert value.size in {200, 50}
            np.testing.assert_array_equal(value, np.arange(value.size))
    assert refused > 200
    assert zipfile.is_zipfile(tmp_path / "whole.npz")
