"""The container: named members in one file that every zip tool can list and that has exactly one form.

Members are stored, sorted by name, dated 1980-01-01, without extra fields, comments or zip64. Since each header follows from
its member, ``unpack`` compares headers instead of obeying them: a file is either what ``pack`` would have written or refused.
The layout is that of PKWARE's APPNOTE 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping

from marram.core.errors import IntegrityError

MEMBERS_MAX = 64
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")

_VERSION, _DOS_EPOCH = 20, 0x0021  # the oldest zip version with folders; 1980-01-01
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")


def pack(members: Mapping[str, bytes]) -> bytes:
    """The container with these members; the same members give the same bytes.

    Raises:
        ValueError: a name is not of the form ``NAME``, or there are too many members.
    """
    if len(members) > MEMBERS_MAX or not all(NAME.fullmatch(name) for name in members):
        raise ValueError("member names are short, lower case and few")
    parts, places, position = [], {}, 0
    for name in sorted(members):
        places[name] = (zlib.crc32(members[name]), len(members[name]), position)
        header = _local_header(name, *places[name][:2])
        parts += [header, members[name]]
        position += len(header) + len(members[name])
    return b"".join((*parts, _directory(places, position)))


def unpack(data: bytes) -> dict[str, bytes]:
    """The members of a container.

    Raises:
        IntegrityError: the bytes are not exactly what ``pack`` writes.
    """
    members: dict[str, bytes] = {}
    places: dict[str, tuple[int, int, int]] = {}
    position = 0
    while data[position : position + 4] == b"PK\x03\x04":
        name, content, end = _member(data, position)
        if len(members) == MEMBERS_MAX or (members and name <= max(members)):
            raise IntegrityError("members are too many, doubled or out of order", where=f"offset {position}")
        places[name] = (zlib.crc32(content), len(content), position)
        members[name] = content
        position = end
    if not members:
        raise IntegrityError("not a marram bundle", where="offset 0")
    if data[position:] != _directory(places, position):
        raise IntegrityError("the directory of members is not the one that belongs to them", where=f"offset {position}")
    return members


def _member(data: bytes, position: int) -> tuple[str, bytes, int]:
    """Name, content and end of the member whose header stands at ``position``."""
    where = f"offset {position}"
    if len(data) < position + _LOCAL.size:
        raise IntegrityError("the file ends inside a member's header", where=where)
    size, name_size = _LOCAL.unpack_from(data, position)[8:10]
    start = position + _LOCAL.size + name_size
    if start + size > len(data):
        raise IntegrityError(f"a member claims {size} bytes and the file ends before", where=where)
    name = data[position + _LOCAL.size : start].decode("latin-1")
    content = data[start : start + size]
    if not NAME.fullmatch(name) or data[position:start] != _local_header(name, zlib.crc32(content), size):
        raise IntegrityError("a member's header is not the one that belongs to it", where=where)
    return name, content, start + size


def _local_header(name: str, crc: int, size: int) -> bytes:
    return _LOCAL.pack(b"PK\x03\x04", _VERSION, 0, 0, 0, _DOS_EPOCH, crc, size, size, len(name), 0) + name.encode()


def _directory(places: Mapping[str, tuple[int, int, int]], position: int) -> bytes:
    """Central directory and end record of members at their places: (crc, size, offset) by name."""
    entries = b"".join(
        _CENTRAL.pack(b"PK\x01\x02", _VERSION, _VERSION, 0, 0, 0, _DOS_EPOCH, crc, size, size, len(name), 0, 0, 0, 0, 0, offset)
        + name.encode()
        for name, (crc, size, offset) in places.items()
    )
    return entries + _END.pack(b"PK\x05\x06", 0, 0, len(places), len(places), len(entries), position, 0)
