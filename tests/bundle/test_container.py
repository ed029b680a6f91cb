"""The container has one form: what zip tools read, and nothing that only looks like it."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marram.bundle.container import pack, unpack
from marram.core.errors import IntegrityError

NAMES = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,20}", fullmatch=True)
MEMBERS = st.dictionaries(NAMES, st.binary(max_size=200), min_size=1, max_size=6)


@settings(derandomize=True, max_examples=100)
@given(MEMBERS)
def test_unpack_undoes_pack_and_any_zip_tool_reads_it(members):
    data = pack(members)
    assert unpack(data) == members
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == members
        assert archive.namelist() == sorted(members)


@settings(derandomize=True, max_examples=300)
@given(MEMBERS, st.data())
def test_a_changed_byte_is_refused(members, draw):
    data = bytearray(pack(members))
    place = draw.draw(st.integers(0, len(data) - 1))
    data[place] ^= draw.draw(st.integers(1, 255))
    with pytest.raises(IntegrityError):
        unpack(bytes(data))


@settings(derandomize=True, max_examples=200)
@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda tail: b"PK\x03\x04" + tail)))
def test_noise_is_refused(noise):
    with pytest.raises(IntegrityError):
        unpack(noise)


def foreign(write):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        write(archive)
    return stream.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "write",
    [
        lambda archive: archive.writestr("a", b"now is its date"),
        lambda archive: archive.writestr(zipfile.ZipInfo("a"), b"x" * 99, compress_type=zipfile.ZIP_DEFLATED),
        lambda archive: (archive.writestr(zipfile.ZipInfo("a"), b"1"), archive.writestr(zipfile.ZipInfo("a"), b"2")),
        lambda archive: (archive.writestr(zipfile.ZipInfo("b"), b"1"), archive.writestr(zipfile.ZipInfo("a"), b"2")),
        lambda archive: archive.writestr(zipfile.ZipInfo("../a"), b"1"),
        lambda archive: archive.writestr(zipfile.ZipInfo("folder/"), b""),
        lambda archive: setattr(archive, "comment", b"hello"),
    ],
)
def test_other_zip_files_are_refused(write):
    with pytest.raises(IntegrityError):
        unpack(foreign(write))


def test_a_comment_hidden_bytes_or_a_second_archive_are_refused():
    data = pack({"a": b"1", "b": b"2"})
    for hostile in (b"MZ" + data, data + b"\0", data + data, pack({"a": b"1"}) + data, data[:-2] + b"\x01\0!"):
        with pytest.raises(IntegrityError):
            unpack(hostile)


def test_a_size_claimed_and_not_there_is_refused_before_anything_is_read():
    data = bytearray(pack({"a": b"1"}))
    data[18:26] = b"\xff\xff\xff\xf0" * 2
    with pytest.raises(IntegrityError, match="claims"):
        unpack(bytes(data))


@pytest.mark.parametrize("name", ["", "A", "a/b", "..", "é", "x" * 65])
def test_pack_takes_plain_names_only(name):
    with pytest.raises(ValueError, match="names"):
        pack({name: b""})
