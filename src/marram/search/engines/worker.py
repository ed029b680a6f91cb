"""The worker's side of the engine ``processes``: a fresh interpreter that answers items on its standard input.

A message is its kind (one byte), its length (eight bytes, little-endian) and its bytes. Kind ``F`` sets the function, kind
``I`` is an item, which is answered by one message of kind ``A``. When the input ends, the caller is gone: the worker and all
that it started end at once, in the middle of a trial too.
"""

from __future__ import annotations

import os
import queue
import signal
import struct
import sys
import threading
from typing import IO

from marram.core.errors import UserError
from marram.search.engines.attempts import Attempt, answered, to_bytes, unpacked

HEAD = struct.Struct("<cQ")


def send(stream: IO[bytes], kind: bytes, data: bytes) -> None:
    """Write one message."""
    stream.write(HEAD.pack(kind, len(data)))
    stream.write(data)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[bytes, bytes] | None:
    """The kind and bytes of the next message; None where the stream ends."""
    head = _exactly(stream, HEAD.size)
    if head is None:
        return None
    kind, size = HEAD.unpack(head)
    data = _exactly(stream, size)
    return None if data is None else (kind, data)


def _exactly(stream: IO[bytes], size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        part = stream.read(min(size - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)


def serve() -> None:
    """Answer items until the input ends. What trials print goes to standard error, kept for last words."""
    answers = os.fdopen(os.dup(1), "wb")
    questions = os.fdopen(os.dup(0), "rb", buffering=0)
    os.dup2(2, 1)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a descriptor is wanted
        os.dup2(nothing.fileno(), 0)
    messages: queue.SimpleQueue[tuple[bytes, bytes]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(questions, messages), daemon=True).start()
    function: object = None
    while True:
        kind, data = messages.get()
        if kind == b"F":
            function = _function(data)
        elif isinstance(function, UserError):
            send(answers, b"A", to_bytes(Attempt(kind="raised", value=function)))
        else:
            assert callable(function)
            send(answers, b"A", answered(function, data))
        sys.stdout.flush()
        sys.stderr.flush()


def _function(data: bytes) -> object:
    """The function, or the error that tells why there is none."""
    try:
        return unpacked(data)
    except UserError as error:
        return error


def _listen(questions: IO[bytes], messages: queue.SimpleQueue[tuple[bytes, bytes]]) -> None:
    while (message := receive(questions)) is not None:
        messages.put(message)
    if hasattr(os, "killpg"):
        os.killpg(os.getpgrp(), signal.SIGKILL)  # the worker leads its own group
    os._exit(1)
