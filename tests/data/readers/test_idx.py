"""IDX files: both parts, class names, and every truncated prefix refused."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
from tests.data.making import write

from marram.core.errors import DataError
from marram.data.readers import idx

RNG = np.random.default_rng(0)
IMAGES = {"train": RNG.integers(0, 256, (20, 5, 4), np.uint8), "t10k": RNG.integers(0, 256, (6, 5, 4), np.uint8)}
LABELS = {"train": np.arange(20, dtype=np.uint8) % 3, "t10k": np.arange(6, dtype=np.uint8) % 3}


def packed(array) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def files(pack=gzip.compress, suffix=".gz"):
    return {
        f"{stem}-{kind}-ubyte{suffix}": pack(packed(arrays[stem]))
        for kind, arrays in (("images-idx3", IMAGES), ("labels-idx1", LABELS))
        for stem in ("train", "t10k")
    }


@pytest.mark.parametrize(("pack", "suffix"), [(gzip.compress, ".gz"), (bytes, "")])
def test_both_parts_are_read(tmp_path, pack, suffix):
    folder = write(tmp_path, files(pack, suffix))
    assert idx.holds_idx(folder)
    dataset = idx.read(folder)
    assert dataset.sample_shape == (5, 4, 1)
    assert dataset.parts.tolist() == [0] * 20 + [2] * 6
    assert dataset.labels == ("0", "1", "2")
    ((x, y),) = dataset.batches(100)
    np.testing.assert_array_equal(x[..., 0], np.concatenate([IMAGES["train"], IMAGES["t10k"]]))
    np.testing.assert_array_equal(y, np.concatenate([LABELS["train"], LABELS["t10k"]]))


def test_class_names_keep_their_numbers(tmp_path):
    folder = write(tmp_path, files() | {"labels.txt": b"shoe\nbag\nhat\n"})
    assert idx.read(folder).labels == ("shoe", "bag", "hat")
    assert idx.read(folder, classes=("a", "b", "c")).labels == ("a", "b", "c")
    with pytest.raises(DataError, match="2 class names"):
        idx.read(folder, classes=("a", "b"))


def test_every_prefix_is_refused(tmp_path):
    whole = packed(LABELS["t10k"])
    for pack, suffix in ((bytes, ""), (gzip.compress, ".gz")):
        path = tmp_path / f"labels{suffix}"
        data = pack(whole)
        for length in range(len(data)):
            path.write_bytes(data[:length])
            with pytest.raises(DataError, match="labels"):
                idx.read_array(path)


def test_absurd_sizes_and_other_dtypes_are_refused(tmp_path):
    for data in (struct.pack(">BBBB3I", 0, 0, 8, 3, *[2**32 - 1] * 3), struct.pack(">BBBBI", 0, 0, 13, 1, 0)):
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(DataError):
            idx.read_array(tmp_path / "x")


def test_parts_that_disagree_are_refused(tmp_path):
    folder = write(tmp_path, files())
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(packed(LABELS["train"])))
    with pytest.raises(DataError, match="do not agree"):
        idx.read(folder)
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="has no t10k"):
        idx.read(folder)
