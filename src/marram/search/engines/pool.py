"""The engine of this machine's processes: fresh interpreters that share nothing with the caller but what they are sent.

``multiprocessing`` is not used: its spawn runs the caller's script again in each worker, its Pool waits forever for a worker
that was killed, and the executor over it gives up all items when one worker dies.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from marram.core.errors import UserError
from marram.core.ports import Progress
from marram.search.engines.attempts import TRIES, Attempt, from_bytes, packed, result
from marram.search.engines.engine import Arrived, Engine, Failed, ignored, silent
from marram.search.engines.worker import receive, send

T = TypeVar("T")
R = TypeVar("R")

THREAD_SETTINGS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1")
"""Read by libraries when they are loaded, so a worker has them from its start."""

_START = "import sys; sys.path[:] = {path!r}; from marram.search.engines.worker import serve; serve()"
_TAIL_BYTES = 600


class WorkerDied(Exception):
    """A worker ended in the middle of an item."""


class _Worker:
    """One process and the function that it has."""

    def __init__(self) -> None:
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter
            [sys.executable, "-c", _START.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env={**os.environ, **THREAD_SETTINGS},
            start_new_session=True,  # Ctrl-C reaches the caller alone, and a group of its own can be ended whole
        )
        self._function: bytes | None = None

    def answer(self, function: bytes, item: bytes) -> Attempt:
        """The outcome of an item. Raises WorkerDied."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            if self._function != function:  # of one study it is the same in all generations
                send(self._process.stdin, b"F", function)
                self._function = function
            send(self._process.stdin, b"I", item)
            message = receive(self._process.stdout)
        except OSError:
            message = None
        if message is None:
            raise WorkerDied(self._last_words())
        return from_bytes(message[1])

    def _last_words(self) -> str:
        code = self._process.wait()
        if code == -signal.SIGKILL:
            return "the worker was killed; a machine that is out of memory does that"
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        self._words.seek(max(0, self._words.seek(0, os.SEEK_END) - _TAIL_BYTES))
        tail = self._words.read().decode(errors="replace").strip()
        return f"the worker ended {how}" + (f": {tail}" if tail else "")

    def end(self) -> None:
        """End the process and what it started, at once."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            _closed_quietly(stream)
        self._words.close()


def _closed_quietly(stream: Any) -> None:
    with suppress(OSError):  # the last message could not be delivered to a process that is gone
        stream.close()


class _Processes:
    def __init__(self, workers: int) -> None:
        self._count = workers
        self._lock = threading.Lock()
        self._all: list[_Worker] = []
        self._idle: list[_Worker] = []

    def map(
        self,
        function: Callable[[T], R],
        items: Sequence[T],
        *,
        progress: Progress = silent,
        arrived: Arrived = ignored,
    ) -> list[R | Failed]:
        sent, parcels, stop = packed(function), [packed(item) for item in items], threading.Event()
        progress(f"0 of {len(items)} done", 0.0)
        with ThreadPoolExecutor(max_workers=self._count) as threads:
            try:
                waiting = {threads.submit(self._outcome, sent, parcel, stop): index for index, parcel in enumerate(parcels)}
                return _collected(waiting, progress, arrived)
            except BaseException:
                stop.set()
                threads.shutdown(wait=False, cancel_futures=True)
                self.close()
                raise

    def _outcome(self, function: bytes, item: bytes, stop: threading.Event) -> Attempt:
        """In a thread: the outcome of an item, tried again once if its worker dies or has no memory left."""
        for _ in range(TRIES):
            made = self._tried(function, item, stop)
            if made.kind != "lost" or stop.is_set():
                break
        return made

    def _tried(self, function: bytes, item: bytes, stop: threading.Event) -> Attempt:
        worker = self._taken(stop)
        if worker is None:
            return Attempt(kind="lost", value="stopped")
        try:
            made = worker.answer(function, item)
        except WorkerDied as error:
            self._lost(worker)
            return Attempt(kind="lost", value=str(error))
        except ValueError:  # its pipes were closed under us, since the map was stopped
            return Attempt(kind="lost", value="stopped")
        with self._lock:
            self._idle.append(worker)
        return made

    def _taken(self, stop: threading.Event) -> _Worker | None:
        with self._lock:
            if stop.is_set():
                return None
            if self._idle:
                return self._idle.pop()
            self._all.append(_Worker())
            return self._all[-1]

    def _lost(self, worker: _Worker) -> None:
        with self._lock:
            if worker in self._all:
                self._all.remove(worker)
                worker.end()

    def close(self) -> None:
        with self._lock:
            for worker in self._all:
                worker.end()
            self._all, self._idle = [], []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def processes(workers: int) -> Engine:
    """Runs items in so many processes on this machine, each with one thread. They start when needed and stay until the close.

    Raises:
        UserError: fewer than one worker.
    """
    if workers < 1:
        raise UserError(f"{workers} workers cannot run anything", where="workers", hint="Give at least 1.")
    return _Processes(workers)


def _collected(waiting: dict[Future[Attempt], int], progress: Progress, arrived: Arrived) -> list[Any]:
    """Results in order. After an exception only the items before it are waited for, so that the earliest one is raised."""
    results: list[Any] = [None] * len(waiting)
    pending, raised = set(waiting), dict[int, Exception]()
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in sorted(done, key=waiting.__getitem__):
            index, made = waiting[future], future.result()
            if made.kind == "raised":
                raised[index] = made.value
                continue
            results[index] = result(made)
            arrived(index, results[index])
        pending = {future for future in pending if not raised or waiting[future] < min(raised)}
        finished = len(waiting) - len(pending)
        progress(f"{finished} of {len(waiting)} done", finished / len(waiting))
    if raised:
        raise raised[min(raised)]
    return results
