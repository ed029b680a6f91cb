"""A link to a process: its standard input and output. It dies with the link, whatever happens to us."""

from __future__ import annotations

import os
import selectors
import shlex
import subprocess
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from marram.core.errors import DeviceError
from marram.measure.wire.frames import Silence

_SAID_BYTES = 4000
_AT_ONCE = 1 << 16


class ProcessLink:
    """A started process. What it writes to its standard error is kept for error texts.

    Args:
        command: program and arguments; the program as a path.
        name: for error texts.
        folder: where it runs.
        environment: the whole environment of the process; None takes ours.
    """

    def __init__(
        self, command: Sequence[str], *, name: str, folder: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self._name, self._command = name, shlex.join(command)
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the link
        # In a session of its own: Ctrl-C reaches us alone, and we end it.
        self._process = subprocess.Popen(  # noqa: S603
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=folder,
            env=environment,
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        self._kept = bytearray()
        self._finalizer = weakref.finalize(self, _end, self._process, self._errors)

    def send(self, data: bytes, *, deadline_s: float) -> None:
        """All of it. Raises DeviceError when the process is gone, Silence when it does not read in time."""
        view = memoryview(data)
        while view:
            self._wait(self._in, selectors.EVENT_WRITE, deadline_s)
            try:
                view = view[os.write(self._in, view[:_AT_ONCE]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise self._gone() from None

    def receive(self, size_bytes: int, *, deadline_s: float) -> bytes:
        """Exactly so many bytes. Raises DeviceError when the process is gone, Silence when they do not come in time."""
        while len(self._kept) < size_bytes:
            self._wait(self._out, selectors.EVENT_READ, deadline_s)
            try:
                more = os.read(self._out, max(_AT_ONCE, size_bytes - len(self._kept)))
            except BlockingIOError:
                continue
            if not more:
                raise self._gone()
            self._kept += more
        found = bytes(self._kept[:size_bytes])
        del self._kept[:size_bytes]
        return found

    def drain(self) -> None:
        """Throw away what came unasked."""
        self._kept.clear()
        while True:
            try:
                if not os.read(self._out, _AT_ONCE):
                    return
            except BlockingIOError:
                return

    def said(self) -> str:
        """The last that it wrote to its standard error."""
        if self._errors.closed:
            return ""
        end = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, end - _SAID_BYTES))
        return self._errors.read().decode("utf-8", "replace")

    def finish(self, *, time_limit_s: float = 10.0) -> int:
        """Wait until it has ended of its own accord; its status.

        Raises:
            DeviceError: it does not end.
        """
        try:
            return self._process.wait(time_limit_s)
        except subprocess.TimeoutExpired as error:
            raise DeviceError(f"does not end within {time_limit_s:g} s", where=self._name) from error

    def stop(self) -> None:
        """From any thread: end the process; whoever waits for it gets a DeviceError."""
        self._process.kill()

    def close(self) -> None:
        """End the process. Safe to call twice."""
        self._finalizer()

    def _wait(self, stream: int, event: int, deadline_s: float) -> None:
        with selectors.PollSelector() as selector:
            selector.register(stream, event)
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not selector.select(left_s):
                raise Silence(
                    "the time limit is over and no answer has come", where=self._name, hint=f"Command: {self._command}"
                )

    def _gone(self) -> DeviceError:
        try:
            status: int | None = self._process.wait(5)
        except subprocess.TimeoutExpired:
            status = None
        said = self.said().strip() or "nothing"
        return DeviceError(
            f"stopped with status {status}", where=self._name, hint=f"It printed: {said}\n  Command: {self._command}"
        )


def _end(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    process.kill()
    process.wait()
    errors.close()
