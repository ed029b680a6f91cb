"""Frames over a stream of bytes, as ``firmware/runtime/protocol.h`` has them."""

from __future__ import annotations

import struct
import zlib
from typing import Protocol

import msgspec

from marram.core.errors import DeviceError

PROTOCOL = 1
HELLO, RUN, SELF_TEST, STACK, END = 1, 2, 3, 4, 5
LOST, ANSWER = 0x7F, 0x80
MAX_PAYLOAD_BYTES = 1 << 26
_MAGIC = b"MR"
_HEADER = struct.Struct("<2sBBI")
_HEADER_BYTES = _HEADER.size + 4
_MAX_GARBAGE_BYTES = 1 << 16

STATUSES = {
    0: "ok",
    1: "a pointer is NULL",
    2: "the arena is too small",
    3: "the arena is misaligned",
    4: "the self-test came out differently",
    16: "bytes that are no frame",
    17: "the payload was damaged on its way",
    18: "the payload has the wrong size",
    19: "no such request",
    20: "the model wrote beside its arena",
    21: "the stack was used to its end",
    22: "the device cannot do that",
}
BROKEN_ON_THE_WAY = frozenset({16, 17, 18, 19})


class Link(Protocol):
    """A stream of bytes to a device."""

    def send(self, data: bytes, *, deadline_s: float) -> None:
        """All of it, before ``deadline_s`` on the monotonic clock. Raises DeviceError when that cannot be done."""

    def receive(self, size_bytes: int, *, deadline_s: float) -> bytes:
        """Exactly so many bytes. Raises ``Silence`` when they do not come in time, DeviceError when the device is gone."""

    def drain(self) -> None:
        """Throw away what came unasked."""

    def said(self) -> str:
        """What the device or its emulator printed, for error texts."""

    def stop(self) -> None:
        """From any thread: whoever waits for this link gets a DeviceError soon."""

    def close(self) -> None:
        """Give the device back. Safe to call twice."""


class Silence(DeviceError):
    """The device did not answer in time."""


class DamagedFrame(DeviceError):
    """What came is no frame, or a damaged one."""


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One frame, checked."""

    kind: int
    sequence: int
    payload: bytes


def frame_bytes(frame: Frame) -> bytes:
    """A frame as it goes over the line."""
    header = _HEADER.pack(_MAGIC, frame.kind, frame.sequence, len(frame.payload))
    text = header + struct.pack("<I", zlib.crc32(header))
    return text + frame.payload + struct.pack("<I", zlib.crc32(frame.payload)) if frame.payload else text


def next_frame(link: Link, *, deadline_s: float, limit_bytes: int = MAX_PAYLOAD_BYTES) -> Frame:
    """The next whole frame; bytes before it that are none are skipped, up to 64 KiB of them.

    Args:
        link: where it comes from.
        deadline_s: on the monotonic clock.
        limit_bytes: the longest payload that is taken.

    Raises:
        Silence: none came in time.
        DamagedFrame: too much garbage, a payload that is too long, or one with a wrong checksum.
    """
    header = link.receive(_HEADER_BYTES, deadline_s=deadline_s)
    skipped = 0
    while not _is_header(header):
        skipped += 1
        if skipped > _MAX_GARBAGE_BYTES:
            raise DamagedFrame("the device sends bytes that are no frame", hint=repr(header))
        header = header[1:] + link.receive(1, deadline_s=deadline_s)
    _, kind, sequence, length = _HEADER.unpack_from(header)
    if length > limit_bytes:
        raise DamagedFrame(f"the device announces {length} bytes where at most {limit_bytes} can come")
    if not length:
        return Frame(kind=kind, sequence=sequence, payload=b"")
    body = link.receive(length + 4, deadline_s=deadline_s)
    if zlib.crc32(body[:-4]) != struct.unpack("<I", body[-4:])[0]:
        raise DamagedFrame("the checksum of an answer is wrong")
    return Frame(kind=kind, sequence=sequence, payload=body[:-4])


def _is_header(header: bytes) -> bool:
    return header[:2] == _MAGIC and zlib.crc32(header[: _HEADER.size]) == struct.unpack_from("<I", header, _HEADER.size)[0]
