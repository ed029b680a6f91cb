"""C source as one blob: a tar of the files and of what marram knows of them, the same bytes for the same source."""

from __future__ import annotations

import io
import tarfile

import msgspec

from marram.compile.c.generation import Generated, LayerRecord
from marram.compile.memory import MemoryPlan
from marram.core.errors import IntegrityError
from marram.core.graph import Graph
from marram.core.program import Program

_RECORD = "marram.json"
_MOST_BYTES = 256 << 20
_MOST_MEMBERS = 64


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Generated C without the Graph: ``files`` by name, the prefix ``name`` of all that is in them, family, layers, plan."""

    name: str
    family: str
    files: dict[str, str]
    layers: tuple[LayerRecord, ...]
    plan: MemoryPlan


def generated_of(program: Program) -> Generated:
    """Generated C from the Program that carries it. Its graph has the inputs and outputs only: all that running it takes.

    Raises:
        IntegrityError: the blob is not an archive that ``pack`` wrote.
    """
    sources = unpack(program.blob)
    tensors = {tensor.name: tensor for tensor in (*program.inputs, *program.outputs)}
    graph = Graph(
        name=sources.name,
        inputs=tuple(tensor.name for tensor in program.inputs),
        outputs=tuple(tensor.name for tensor in program.outputs),
        tensors=tensors,
        constants={},
        nodes=(),
    )
    return Generated(
        name=sources.name,
        family=sources.family,
        graph=graph,
        files=sources.files,
        layers=sources.layers,
        plan=sources.plan,
    )


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    family: str
    layers: tuple[LayerRecord, ...]
    plan: MemoryPlan


def sources_of(generated: Generated) -> Sources:
    """What of generated C travels in a Program."""
    return Sources(
        name=generated.name,
        family=generated.family,
        files=generated.files,
        layers=generated.layers,
        plan=generated.plan,
    )


def pack(sources: Sources) -> bytes:
    """The archive: an uncompressed tar without times or owners."""
    record = _Record(name=sources.name, family=sources.family, layers=sources.layers, plan=sources.plan)
    members = {name: text.encode("ascii") for name, text in sources.files.items()}
    members[_RECORD] = msgspec.json.format(msgspec.json.encode(record, order="deterministic"), indent=1)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(members):
            head = tarfile.TarInfo(name)
            head.size = len(members[name])
            head.mode = 0o644
            archive.addfile(head, io.BytesIO(members[name]))
    return out.getvalue()


def unpack(blob: bytes) -> Sources:
    """The sources in an archive.

    Raises:
        IntegrityError: it is not an archive that ``pack`` wrote.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(blob), mode="r:") as archive:
            members = {head.name: _content(archive, head) for head in _heads(archive)}
        record = msgspec.json.decode(members.pop(_RECORD), type=_Record)
        files = {name: data.decode("ascii") for name, data in members.items()}
    except (tarfile.TarError, KeyError, UnicodeDecodeError, msgspec.MsgspecError, EOFError, ValueError) as error:
        raise IntegrityError(f"the blob is no archive of C source: {error}", where="program.c") from error
    if set(files) != {f"{record.name}.h", f"{record.name}.c"} or not record.name.isidentifier():
        raise IntegrityError("the archive holds other files than one header and one source", where="program.c")
    return Sources(name=record.name, family=record.family, files=files, layers=record.layers, plan=record.plan)


def _heads(archive: tarfile.TarFile) -> list[tarfile.TarInfo]:
    heads = []
    for head in archive:
        heads.append(head)
        if len(heads) > _MOST_MEMBERS or not head.isfile() or head.size > _MOST_BYTES:
            raise ValueError(f"member {head.name} has no place in it")
    return heads


def _content(archive: tarfile.TarFile, head: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(head)
    assert file is not None
    return file.read()
