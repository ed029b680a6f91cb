"""A device that answers frames: who it is, runs, self-test, stack. The same for an emulator, a process and a board."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Sequence

import msgspec
import numpy as np

from marram.core.errors import DeviceError, MarramError, UserError
from marram.core.graph import Array, Tensor
from marram.measure.wire.frames import (
    ANSWER,
    BROKEN_ON_THE_WAY,
    END,
    HELLO,
    LOST,
    PROTOCOL,
    RUN,
    SELF_TEST,
    STACK,
    STATUSES,
    DamagedFrame,
    Frame,
    Link,
    Silence,
    frame_bytes,
    next_frame,
)

_GREETING = struct.Struct("<HHI32sHH")


class Greeting(msgspec.Struct, frozen=True, kw_only=True):
    """What a device says of the model in it: sizes in bytes, the digest of its sources."""

    abi: int
    arena_bytes: int
    digest: bytes
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Device:
    """The host's side of the protocol.

    Args:
        link: the stream; closed with the device.
        name: for error texts.
        inputs: what the model takes.
        outputs: what it gives.
        time_limit_s: for one request and its answer.
        attempts: how often a request is sent when frames are damaged on the way or lost: 1 over a pipe, more over a wire.
            Every request can be repeated without harm.
    """

    def __init__(
        self,
        link: Link,
        *,
        name: str,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        time_limit_s: float = 60.0,
        attempts: int = 1,
    ) -> None:
        self._link, self._name, self._limit_s, self._attempts = link, name, time_limit_s, attempts
        self._inputs, self._outputs = tuple(inputs), tuple(outputs)
        self._sequence = 0
        self._longest = 64 + 4 * (len(inputs) + len(outputs)) + sum(tensor.size_bytes for tensor in outputs)

    def greet(self, expected_digest: bytes | None = None) -> Greeting:
        """Ask who is there, and check that it is the model that is meant.

        Raises:
            DeviceError: no answer, another protocol, or another model.
        """
        data = self._ask(HELLO, b"")
        try:
            protocol, abi, arena, digest, ins, outs = _GREETING.unpack_from(data)
            sizes = struct.unpack(f"<{ins + outs}I", data[_GREETING.size :])
        except struct.error as error:
            raise self._error("its greeting has the wrong size") from error
        if protocol & 0xFFFF != PROTOCOL:
            raise self._error(f"it speaks protocol {protocol}; this marram speaks {PROTOCOL}")
        if expected_digest is not None and digest != expected_digest:
            hint = f"There: {digest.hex()[:16]}; expected: {expected_digest.hex()[:16]}. Flash the image of this build."
            raise self._error("another model is on it", hint)
        if sizes != tuple(tensor.size_bytes for tensor in (*self._inputs, *self._outputs)):
            raise self._error("its model has inputs or outputs of other sizes")
        return Greeting(abi=abi, arena_bytes=arena, digest=digest, inputs=sizes[:ins], outputs=sizes[ins:])

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """One inference: arrays of the model's input shapes and dtypes in, its outputs out.

        Raises:
            UserError: shapes or dtypes are not the model's.
            DeviceError: no answer in time, or a status that is not ok.
        """
        data = self._ask(RUN, self._payload(inputs), sum(tensor.size_bytes for tensor in self._outputs))
        arrays, place = [], 0
        for tensor in self._outputs:
            piece = data[place : place + tensor.size_bytes]
            arrays.append(
                np.frombuffer(piece, dtype=np.dtype(tensor.dtype).newbyteorder("<")).astype(tensor.dtype).reshape(tensor.shape)
            )
            place += tensor.size_bytes
        return tuple(arrays)

    def self_test(self, inputs: Sequence[Array], expected: Sequence[Array]) -> None:
        """Let the device check its answers to wrong arguments, and to these inputs.

        Raises:
            DeviceError: something came out differently.
        """
        crc = zlib.crc32(b"".join(_raw(array, tensor) for array, tensor in zip(expected, self._outputs, strict=True)))
        self._ask(SELF_TEST, self._payload(inputs) + struct.pack("<I", crc), 0)

    def stack_bytes(self, inputs: Sequence[Array]) -> int:
        """Bytes of stack that one invoke touched, from painting."""
        return int(struct.unpack("<I", self._ask(STACK, self._payload(inputs), 4))[0])

    def end(self) -> None:
        """Let the device stop; its answer is awaited."""
        self._ask(END, b"", 0)

    def stop(self) -> None:
        """From any thread: a request that is being answered fails soon."""
        self._link.stop()

    def close(self) -> None:
        """Close the link. Safe to call twice."""
        self._link.close()

    def _payload(self, inputs: Sequence[Array]) -> bytes:
        if len(inputs) != len(self._inputs):
            raise UserError(f"the model takes {len(self._inputs)} inputs, not {len(inputs)}", where=self._name)
        return b"".join(_raw(array, tensor) for array, tensor in zip(inputs, self._inputs, strict=True))

    def _ask(self, kind: int, payload: bytes, expected_bytes: int | None = None) -> bytes:
        failure: MarramError | None = None
        for _ in range(self._attempts):
            self._sequence = self._sequence % 255 + 1
            try:
                return self._exchange(Frame(kind=kind, sequence=self._sequence, payload=payload), expected_bytes)
            except (Silence, DamagedFrame) as error:
                failure = error
                if self._attempts > 1:
                    self._link.drain()
        assert failure is not None
        raise self._error(failure.what, failure.hint) from failure

    def _exchange(self, asked: Frame, expected_bytes: int | None) -> bytes:
        deadline_s = time.monotonic() + self._limit_s
        self._link.send(frame_bytes(asked), deadline_s=deadline_s)
        while True:
            answer = next_frame(self._link, deadline_s=deadline_s, limit_bytes=self._longest)
            if answer.kind == LOST | ANSWER:
                raise DamagedFrame("the device could not make a frame of what it got")
            if answer.sequence == asked.sequence and answer.kind == asked.kind | ANSWER:
                break
            if self._attempts == 1:
                raise DamagedFrame(f"an answer of kind {answer.kind:#x} to a request of kind {asked.kind:#x}")
        if len(answer.payload) < 4:
            raise DamagedFrame("an answer without a status")
        status = struct.unpack_from("<I", answer.payload)[0]
        if status in BROKEN_ON_THE_WAY:
            raise DamagedFrame(f"the device answered: {STATUSES[status]}")
        if status:
            raise self._error(f"the device answered: {STATUSES.get(status, f'status {status}')}")
        data = answer.payload[4:]
        if expected_bytes is not None and len(data) != expected_bytes:
            raise DamagedFrame(f"an answer with {len(data)} bytes where {expected_bytes} belong")
        return data

    def _error(self, what: str, hint: str | None = None) -> DeviceError:
        said = self._link.said().strip()
        return DeviceError(
            what, where=self._name, hint="\n  ".join(filter(None, (hint, f"It printed: {said}" if said else None))) or None
        )


def _raw(array: Array, tensor: Tensor) -> bytes:
    if array.shape != tensor.shape or array.dtype != np.dtype(tensor.dtype):
        got = f"{array.dtype} {array.shape}"
        raise UserError(f"{tensor.name} is {tensor.dtype} {tensor.shape}, not {got}", where="input")
    return np.ascontiguousarray(array, dtype=np.dtype(tensor.dtype).newbyteorder("<")).tobytes()
