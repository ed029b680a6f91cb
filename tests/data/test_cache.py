"""The cache: files are decoded once, a stale or damaged cache is never believed, a kill leaves nothing behind."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tests.data.making import png, write

from marram.core.errors import DataError, UserError
from marram.data import cached, in_memory
from marram.data.readers import images


@pytest.fixture
def folder(tmp_path, image_files):
    return write(tmp_path / "pets", image_files)


def read(folder, cache, **options):
    dataset = images.read(folder, size=options.get("size", (8, 6)), channels=3)
    return cached(dataset, cache, progress=options.get("progress"))


def values(dataset):
    return np.concatenate([x for x, _ in dataset.batches(5)])


def kept(cache):
    return sorted(path.name.split("-")[0] for path in cache.glob("*.npy"))


def test_the_second_epoch_decodes_nothing(tmp_path, folder, monkeypatch):
    told = []
    dataset = read(folder, tmp_path / "cache", progress=lambda what, part: told.append(part))
    plain = values(images.read(folder, size=(8, 6), channels=3))
    np.testing.assert_array_equal(values(dataset), plain)
    assert told[-1] == 1.0
    assert kept(tmp_path / "cache") == ["hashes", "samples"]
    monkeypatch.setattr("marram.data.readers.images.decode", None)
    monkeypatch.setattr("marram.data.files.FolderFiles.read", None)
    np.testing.assert_array_equal(values(dataset), plain)
    np.testing.assert_array_equal(values(read(folder, tmp_path / "cache")), plain)
    assert dataset.digest == read(folder, tmp_path / "cache").digest


def test_the_digest_is_the_same_with_and_without_a_cache(tmp_path, folder):
    assert read(folder, tmp_path / "cache").digest == images.read(folder, size=(8, 6), channels=3).digest


def test_changed_files_and_settings_are_seen(tmp_path, folder):
    first = values(read(folder, tmp_path / "cache"))
    pixels = np.full((8, 6, 3), 77, np.uint8)
    path = folder / "cat/00.png"
    path.write_bytes(png(pixels))
    os.utime(path, ns=(1, 1))
    second = values(read(folder, tmp_path / "cache"))
    np.testing.assert_array_equal(second[0], pixels)
    np.testing.assert_array_equal(second[1:], first[1:])
    assert values(read(folder, tmp_path / "cache", size=(4, 3))).shape == (12, 4, 3, 3)
    (folder / "cat/01.png").unlink()
    assert len(values(read(folder, tmp_path / "cache"))) == 11


@pytest.mark.parametrize("size", [0, 50, 300])
def test_a_truncated_cache_is_made_anew(tmp_path, folder, size):
    first = values(read(folder, tmp_path / "cache"))
    for path in (tmp_path / "cache").glob("*.npy"):
        path.write_bytes(path.read_bytes()[:size])
    np.testing.assert_array_equal(values(read(folder, tmp_path / "cache")), first)


def test_an_unreadable_image_leaves_no_half_cache(tmp_path, folder):
    (folder / "dog/00.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"dog/00\.png"):
        values(read(folder, tmp_path / "cache"))
    assert kept(tmp_path / "cache") == ["hashes"]
    assert not list((tmp_path / "cache").glob("*.part"))


def test_a_full_disk_is_an_error_that_says_so(tmp_path, folder):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size, files in ((100, []), (1000, ["hashes"])):  # too small for the hashes, then for the samples
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            with pytest.raises(UserError, match="cannot be written"):
                values(read(folder, tmp_path / "cache"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert kept(tmp_path / "cache") == files
        assert not list((tmp_path / "cache").glob("*.part"))
    with pytest.raises(UserError, match="cannot be written"):
        values(read(folder, folder / "cat/00.png" / "cache"))


def test_a_kill_at_any_moment_leaves_what_the_next_run_completes(tmp_path, folder):
    program = (
        "import sys, time; from pathlib import Path; from marram.data import cached; from marram.data.readers import images\n"
        "d = cached(images.read(Path(sys.argv[1]), size=(8, 6), channels=3), Path(sys.argv[2]),\n"
        "           progress=lambda what, part: (print(part, flush=True), time.sleep(60)))\n"
        "list(d.batches(5))"
    )
    cache = tmp_path / "cache"
    run = subprocess.Popen([sys.executable, "-c", program, str(folder), str(cache)], stdout=subprocess.PIPE)
    with run:
        assert run.stdout.readline()  # it stands in the midst of writing
        os.kill(run.pid, signal.SIGKILL)
    assert kept(cache) == ["hashes"]
    begin = time.monotonic()
    plain = values(images.read(folder, size=(8, 6), channels=3))
    np.testing.assert_array_equal(values(read(folder, cache)), plain)
    assert time.monotonic() - begin < 30  # the dead one's lock is gone
    assert not list(cache.glob("*.part"))


def test_arrays_in_memory_are_not_copied_to_disk(tmp_path):
    dataset = in_memory(np.zeros((3, 2), np.uint8))
    assert cached(dataset, tmp_path / "cache") is dataset
    assert not (tmp_path / "cache").exists()
