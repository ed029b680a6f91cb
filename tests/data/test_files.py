"""Folders and archives: the same names and bytes from both, one handle at a time, and hostile archives refused."""

from __future__ import annotations

import stat
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.making import open_handles, pack, write

from marram.core.errors import DataError
from marram.data.files import FolderFiles, ZipFiles

FILES = {"a/1.bin": b"one" * 1000, "b/2.bin": b"", ".hidden/x": b"no", "__MACOSX/a": b"no", "a/.x": b"no"}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_folder_and_archive_hold_the_same(tmp_path, method):
    folder = FolderFiles(write(tmp_path / "f", {name: data for name, data in FILES.items() if "MACOS" not in name}))
    archive = ZipFiles(pack(tmp_path / "f.zip", FILES, method))
    assert folder.names == archive.names == ("a/1.bin", "b/2.bin")
    for name in folder.names:
        assert folder.read(name) == archive.read(name) == FILES[name]


def test_no_handle_stays_open(tmp_path):
    before = open_handles()
    archive = ZipFiles(pack(tmp_path / "f.zip", {f"a/{number}": b"x" for number in range(300)}))
    folder = FolderFiles(write(tmp_path / "f", {f"a/{number}": b"x" for number in range(300)}))
    for name in archive.names:
        archive.read(name)
        folder.read(name)
    assert open_handles() == before


@pytest.mark.parametrize("name", ["../out.png", "a/../../out.png", "/etc/passwd", "a\\..\\out.png", "C:/out.png"])
def test_names_that_climb_out_are_refused(tmp_path, name):
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("placeholder")
        info.filename = name
        archive.writestr(info, b"x")
    with pytest.raises(DataError, match="climbs out"):
        ZipFiles(path)


def test_links_and_encryption_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        info = zipfile.ZipInfo("a/link.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="link"):
        ZipFiles(tmp_path / "link.zip")
    data = bytearray(pack(tmp_path / "locked.zip", {"a/1.png": b"x"}).read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(data)
    with pytest.raises(DataError, match="encrypted"):
        ZipFiles(tmp_path / "locked.zip")


def test_bombs_are_refused_without_being_unpacked(tmp_path):
    path = pack(tmp_path / "bomb.zip", {"a/bomb.png": bytes(80 << 20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match="would unpack"):
        ZipFiles(path, limit_bytes=64 << 20)
    # An entry that lies about its size is stopped one byte after it.
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = (1000).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        ZipFiles(path).read("a/bomb.png")


def test_a_missing_file_is_named(tmp_path):
    folder = FolderFiles(write(tmp_path, {"a/1.bin": b"x"}))
    (tmp_path / "a/1.bin").unlink()
    with pytest.raises(DataError, match=r"1\.bin"):
        folder.read("a/1.bin")
    with pytest.raises(DataError, match=r"1\.bin"):
        folder.stamp("a/1.bin")


@given(st.data())
@settings(derandomize=True, deadline=None, max_examples=150)
def test_damaged_archives_give_an_error_or_the_true_bytes(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz")
    content = {"a/1.bin": b"one" * 50, "b/2.bin": b"two" * 70}
    raw = bytearray(pack(folder / "f.zip", content, zipfile.ZIP_DEFLATED).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    cut = data.draw(st.one_of(st.just(len(raw)), st.integers(0, len(raw))))
    (folder / "f.zip").write_bytes(raw[:cut])
    try:
        archive = ZipFiles(folder / "f.zip")
        found = {name: archive.read(name) for name in archive.names}
    except DataError:
        return
    assert set(found.values()) <= set(content.values())
