"""Ports: what an earlier room needs of a later one or of the outside, as the smallest protocol that serves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from marram.core.graph import Array
from marram.core.program import Program

Progress = Callable[[str, float], None]
"""Called with what is being done and the part done, 0 to 1. Silence is ``lambda what, part: None``."""


class Session(Protocol):
    """A Program that is loaded and ready on some device."""

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """One inference: arrays of the Program's input shapes and dtypes in, its outputs out."""

    def close(self) -> None:
        """Give back what the session holds. Safe to call twice."""


class Runner(Protocol):
    """Something that runs Programs: a runtime on this machine, an emulator, a board on a wire."""

    def open(self, program: Program, *, threads: int = 1) -> Session:
        """Load a Program. Raises DeviceError or MissingExtra when that cannot be done."""


class Fetcher(Protocol):
    """Reads a byte range of a named remote file."""

    def fetch(self, name: str, offset: int, size_limit_bytes: int) -> bytes:
        """The bytes of ``name`` from ``offset`` on, at most ``size_limit_bytes``."""


class Signer(Protocol):
    """Holds a private key and signs with it; the key never leaves."""

    def key_id(self) -> str:
        """Digest of the public key."""

    def sign(self, message: bytes) -> bytes:
        """Signature over ``message``."""


class Store(Protocol):
    """Keeps values by digest."""

    def get(self, key: str) -> bytes | None:
        """The bytes kept under ``key``, or None."""

    def put(self, key: str, value: bytes) -> None:
        """Keep ``value`` under ``key``, durably and whole or not at all."""


class Clock(Protocol):
    """Tells the time."""

    def now_s(self) -> float:
        """Seconds since the epoch."""


class Random(Protocol):
    """Gives random bytes fit for keys."""

    def token(self, size_bytes: int) -> bytes:
        """``size_bytes`` of randomness."""
