"""The archive of C source: the same bytes for the same source, and nothing unpacked that was not packed."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
from msgspec.structs import replace
from tests.compile.c.zoo_models import integer_model

from marram.compile import build, device
from marram.compile.c.archive import generated_of, pack, sources_of, unpack
from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import generate
from marram.core.errors import IntegrityError

GENERATED = generate(integer_model("fc_autoencoder"), FAMILIES["portable"], name="net")


def tar(**members: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items():
            head = tarfile.TarInfo(name)
            head.size = len(data)
            archive.addfile(head, io.BytesIO(data))
    return out.getvalue()


def test_what_is_packed_comes_back() -> None:
    sources = sources_of(GENERATED)
    blob = pack(sources)
    assert unpack(blob) == sources
    assert pack(unpack(blob)) == blob


def test_equal_models_give_equal_bytes() -> None:
    again = generate(integer_model("fc_autoencoder"), FAMILIES["portable"], name="net")
    assert pack(sources_of(again)) == pack(sources_of(GENERATED))


def test_a_program_carries_what_running_it_takes() -> None:
    program = build(integer_model("fc_autoencoder"), device("cortex-m4"))
    found = generated_of(program)
    assert found.files == unpack(program.blob).files
    assert found.graph.input_tensors == program.inputs
    assert not found.graph.nodes


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"not a tar",
        tar(**{"net.c": b"int x;"}),
        tar(**{"marram.json": b"{}"}),
        tar(**{"marram.json": b"\xff"}),
    ],
)
def test_what_is_no_archive_is_not_trusted(blob: bytes) -> None:
    with pytest.raises(IntegrityError, match="no archive of C source"):
        unpack(blob)


def test_other_files_have_no_place() -> None:
    sources = sources_of(GENERATED)
    more = replace(sources, files={**sources.files, "evil.c": "int x;"})
    with pytest.raises(IntegrityError, match="other files"):
        unpack(pack(more))


def test_links_have_no_place() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        head = tarfile.TarInfo("net.c")
        head.type = tarfile.SYMTYPE
        head.linkname = "/etc/passwd"
        archive.addfile(head)
    with pytest.raises(IntegrityError, match="has no place"):
        unpack(out.getvalue())


def test_any_flipped_byte_is_refused_or_harmless() -> None:
    blob = bytearray(pack(sources_of(GENERATED)))
    rng = np.random.default_rng(0)
    for place in rng.integers(0, min(len(blob), 4096), 200).tolist():
        damaged = bytearray(blob)
        damaged[place] ^= 0x41
        try:
            unpack(bytes(damaged))
        except IntegrityError:
            continue
