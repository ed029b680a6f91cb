"""The engine of a Ray cluster: one that runs already, by its address, or one on this machine for as long as the engine lives.

Written against Ray 2.60. Every node needs the same Python, Ray and marram; a worker whose marram has another version refuses.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from types import TracebackType
from typing import Any, Self, TypeVar

from marram.core.errors import MissingExtra, UserError
from marram.core.ports import Progress
from marram.search.engines.attempts import TRIES, Attempt, answered, from_bytes, packed, result, to_bytes
from marram.search.engines.engine import Arrived, Engine, Failed, ignored, silent

T = TypeVar("T")
R = TypeVar("R")

_CONNECTION_LIMIT_S = 12.0
_QUIET: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
_START_HINT = (
    "Start one with `ray start --head --port=6379`, add machines with `ray start --address=HOST:6379`, and give HOST:6379; "
    "or give no address for a Ray on this machine alone."
)
# Ray's own connection can wait for minutes or end the process, so another process tries first.
_PROBE = """
import socket, sys
address = sys.argv[1]
try:
    if address != "auto":
        host, _, port = address.removeprefix("ray://").rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), timeout=4).close()
    import ray
    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


class _Cluster:
    def __init__(self, *, owned: bool) -> None:
        self._owned = owned

    def map(
        self,
        function: Callable[[T], R],
        items: Sequence[T],
        *,
        progress: Progress = silent,
        arrived: Arrived = ignored,
    ) -> list[R | Failed]:
        import ray as library

        task = library.remote(num_cpus=1, max_retries=0)(_answered_there)
        sent, parcels = library.put(packed(function)), [packed(item) for item in items]
        pending: dict[Any, tuple[int, int]] = {}  # by reference: the item's index and which try it is
        results: list[Any] = [None] * len(items)
        raised: dict[int, Exception] = {}
        progress(f"0 of {len(items)} done", 0.0)
        try:
            pending |= {task.remote(sent, parcel, _version()): (index, 1) for index, parcel in enumerate(parcels)}
            while pending:
                reference = library.wait(list(pending), num_returns=1)[0][0]
                index, tries = pending.pop(reference)
                made = _outcome(reference)
                if made.kind == "lost" and tries < TRIES:
                    pending[task.remote(sent, parcels[index], _version())] = index, tries + 1
                elif made.kind == "raised":
                    raised[index] = made.value
                    pending = self._only_before(index, pending)
                else:
                    results[index] = result(made)
                    arrived(index, results[index])
                progress(f"{len(items) - len(pending)} of {len(items)} done", 1 - len(pending) / len(items))
        except BaseException:
            self._only_before(0, pending)
            raise
        if raised:
            raise raised[min(raised)]
        return results

    @staticmethod
    def _only_before(index: int, pending: dict[Any, tuple[int, int]]) -> dict[Any, tuple[int, int]]:
        """The tasks of earlier items; the others are ended at once."""
        import ray as library

        for reference, (other, _) in pending.items():
            if other >= index:
                library.cancel(reference, force=True)
        return {reference: place for reference, place in pending.items() if place[0] < index}

    def close(self) -> None:
        import ray as library

        if self._owned:
            self._owned = False
            library.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def ray(address: str = "local", *, workers: int | None = None) -> Engine:
    """Runs items as tasks of Ray, each on one core and therefore, by Ray's own rule, with OMP_NUM_THREADS=1.

    A process that is connected to Ray already keeps that connection, and the engine uses it and leaves it open.

    Args:
        address: ``local`` for a Ray of this engine's own on this machine; ``auto`` for the one that runs on this machine or
            is named in RAY_ADDRESS; ``HOST:PORT`` of a cluster's head that this machine belongs to; ``ray://HOST:PORT`` of a
            Ray client server, which needs ``ray[client]``.
        workers: cores of a local Ray; None for all of this machine.

    Raises:
        MissingExtra: Ray is not installed.
        UserError: no cluster answers at the address.
    """
    os.environ.setdefault(
        "RAY_DEDUP_LOGS_SKIP_REGEX", ".*"
    )  # read at Ray's import: or it tells of lost workers on standard output
    try:
        import ray as library
    except ImportError as error:
        raise MissingExtra("ray", extra="ray") from error
    if library.is_initialized():
        return _Cluster(owned=False)
    if address != "local":
        _check_reachable(address)
    cores: dict[str, Any] = {"num_cpus": workers} if address == "local" else {}
    with _handlers_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library.init(address=address, **cores, **_QUIET)
    return _Cluster(owned=True)


def _check_reachable(address: str) -> None:
    command = [sys.executable, "-c", _PROBE, address]
    with Popen(command, stdout=DEVNULL, stderr=PIPE, start_new_session=True) as probe:  # noqa: S603 - this interpreter
        try:
            _, words = probe.communicate(timeout=_CONNECTION_LIMIT_S)
        except BaseException as error:
            os.killpg(probe.pid, signal.SIGKILL)
            if not isinstance(error, TimeoutExpired):
                raise
            words = f"no answer within {_CONNECTION_LIMIT_S:g} s".encode()
    if probe.returncode != 0:
        reason = (words.decode(errors="replace").strip() or f"exit code {probe.returncode}").splitlines()[-1]
        raise UserError(f"no Ray cluster can be reached: {reason}", where=f"address {address}", hint=_START_HINT)


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Ray sets a handler of its own for SIGTERM; the caller's is put back."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _answered_there(function: bytes, item: bytes, version: str) -> bytes:
    """In a worker of Ray."""
    if version != _version():
        error = UserError(
            f"a node of the cluster has marram {_version()}, and this machine has {version}",
            hint="Install the same version on every node.",
        )
        return to_bytes(Attempt(kind="raised", value=error))
    return answered(function, item)


def _version() -> str:
    import marram

    return marram.__version__


def _outcome(reference: Any) -> Attempt:
    """A task's outcome. What Ray itself reports is a worker, a node or memory that was lost, or a node without marram."""
    import ray as library
    from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError

    try:
        return from_bytes(library.get(reference))
    except (RayTaskError, RuntimeEnvSetupError) as error:
        lines = str(error).strip().splitlines()
        return Attempt(kind="raised", value=UserError(f"a worker of Ray cannot run trials: {lines[-1]}", hint=_NODE_HINT))
    except RayError as error:
        lines = str(error).strip().splitlines() or [""]
        return Attempt(kind="lost", value=f"{type(error).__name__}: {lines[0]}")


_NODE_HINT = "Every node of the cluster needs the same Python, Ray and marram."
