"""A real board on a serial line, with the harness in it: the same frames, the same Device as the emulator's."""

from __future__ import annotations

import time
from typing import Any

from marram.compile.c.generation import Generated
from marram.compile.toolchain.harness import model_digest
from marram.core.errors import DeviceError, MissingExtra
from marram.measure.wire.device import Device
from marram.measure.wire.frames import Silence

_CHUNK = 4096


class SerialLink:
    """Bytes over a serial line.

    Args:
        port: as pyserial takes it: ``/dev/ttyACM0``, ``COM3``, or one of its URLs.
        baud: as the board's port sets it.

    Raises:
        MissingExtra: pyserial is not installed.
        DeviceError: the line cannot be opened.
    """

    def __init__(self, port: str, *, baud: int = 115_200) -> None:
        try:
            import serial
        except ImportError as error:
            raise MissingExtra("pyserial", extra="board") from error
        self._port = port
        # A line that was closed under a reader shows as TypeError in pyserial 3.5.
        self._failure: tuple[type[Exception], ...] = (serial.SerialException, OSError, TypeError)
        try:
            self._line: Any = serial.serial_for_url(port, baudrate=baud, timeout=0, write_timeout=1)
        except (*self._failure, ValueError) as error:
            hint = "Is the board plugged in, and is the port yours to open (on Linux: group dialout)?"
            raise DeviceError(f"the serial line cannot be opened: {error}", where=port, hint=hint) from error

    def send(self, data: bytes, *, deadline_s: float) -> None:
        """All of it, before ``deadline_s`` on the monotonic clock."""
        for start in range(0, len(data), _CHUNK):
            self._line.write_timeout = self._left(deadline_s)
            try:
                self._line.write(data[start : start + _CHUNK])
            except self._failure as error:
                raise DeviceError(f"the serial line cannot be written: {error}", where=self._port) from error

    def receive(self, size_bytes: int, *, deadline_s: float) -> bytes:
        """Exactly so many bytes."""
        found = bytearray()
        while len(found) < size_bytes:
            self._line.timeout = self._left(deadline_s)
            try:
                found += self._line.read(size_bytes - len(found))
            except self._failure as error:
                raise DeviceError(f"the serial line cannot be read: {error}", where=self._port) from error
        return bytes(found)

    def drain(self) -> None:
        """Throw away what came unasked, until the line is quiet for a moment."""
        quiet_s = time.monotonic() + 0.05
        self._line.timeout = 0.02
        while time.monotonic() < quiet_s:
            if self._line.read(_CHUNK):
                quiet_s = time.monotonic() + 0.05

    def said(self) -> str:
        """Nothing: a line carries frames only."""
        return ""

    def stop(self) -> None:
        """From any thread: the line is closed, and whoever waits for it gets a DeviceError."""
        self._line.close()

    def close(self) -> None:
        """Give the line back. Safe to call twice."""
        self._line.close()

    def _left(self, deadline_s: float) -> float:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise Silence("no answer within the time limit", where=self._port, hint="Is the board running the harness image?")
        return left_s


def open_board(
    generated: Generated, port: str, *, baud: int = 115_200, time_limit_s: float = 10.0, attempts: int = 3
) -> Device:
    """A board with the harness image of a model, greeted; close it when done.

    Args:
        generated: the model that is to be on it.
        port: of the serial line.
        baud: as its image was built.
        time_limit_s: for one request; a line of 115200 baud carries 11 kB in a second.
        attempts: for requests that are damaged on the way.

    Raises:
        MissingExtra: pyserial is not installed.
        DeviceError: no board, no answer, or another model on it.
    """
    link = SerialLink(port, baud=baud)
    graph = generated.graph
    device = Device(
        link,
        name=f"{generated.name} on {port}",
        inputs=graph.input_tensors,
        outputs=graph.output_tensors,
        time_limit_s=time_limit_s,
        attempts=attempts,
    )
    try:
        link.drain()
        device.greet(model_digest(generated))
    except BaseException:
        device.close()
        raise
    return device
