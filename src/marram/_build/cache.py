"""The content-addressed cache that makes builds incremental and resumable.

A stage's key is the digest of its name, its version and all that enters it. Its value is written whole or not at all and
carries its own digest, so a build that was killed leaves finished stages or nothing, and a damaged file is made again; so is
one that a version of marram kept whose types had other fields.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from marram.core.codec import decode, digest, encode
from marram.core.durable import write_atomically
from marram.core.errors import IntegrityError

T = TypeVar("T")


class StageRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of one stage: ``cached`` when its value was there, ``seconds`` of work otherwise."""

    name: str
    key: str
    cached: bool
    seconds: float


class Plan(Exception):  # not an error: it ends a dry run at the first stage that would have to run
    """Raised in a dry run where a stage would have to run, since the later keys follow from its value."""


class Cache:
    """Values by key in a folder, and the record of which stages ran.

    Args:
        folder: where the values are kept.
        dry: raise ``Plan`` instead of running a stage.
        announce: called with a stage's name when it starts to run.
    """

    def __init__(self, folder: Path, *, dry: bool = False, announce: Callable[[str], None] = lambda _: None) -> None:
        self._folder = folder
        self._dry = dry
        self._announce = announce
        self.records: list[StageRecord] = []

    def stage(self, name: str, version: int, inputs: object, kind: type[T], make: Callable[[], T]) -> T:
        """The value of a stage: from the cache, or made now and kept.

        Args:
            name: the stage's name, unique in a build.
            version: raised whenever the stage's code changes what it gives.
            inputs: all that enters it, as something with a canonical encoding.
            kind: the value's type, with a canonical encoding.
            make: does the work.
        """
        key = digest((name, version, inputs))
        found = self._read(key, kind)
        if found is not None:
            self.records.append(StageRecord(name=name, key=key, cached=True, seconds=0.0))
            return found
        self.end_dry_run(name, key)
        self._announce(name)
        start = time.perf_counter()
        data = encode(make())
        self.put(key, data)
        self.records.append(StageRecord(name=name, key=key, cached=False, seconds=time.perf_counter() - start))
        # what was made now is handed on as it will be read later (a whole number in a field of reals becomes a real),
        # or a build that was interrupted would not end in the same bytes
        return decode(data, kind)

    @contextmanager
    def one_by_one(self, name: str, inputs: object, *, left: int) -> Iterator[None]:
        """A stage whose values are kept one at a time with ``keep`` while it lasts, ``left`` of them not yet.

        Args:
            name: the stage's name, unique in a build.
            inputs: all that enters it, as something with a canonical encoding.
            left: how many values must still be made; 0 needs no work.
        """
        key = digest((name, inputs))
        if left:
            self.end_dry_run(name, key)
            self._announce(name)
        start = time.perf_counter()
        yield
        self.records.append(
            StageRecord(name=name, key=key, cached=not left, seconds=time.perf_counter() - start if left else 0.0)
        )

    def end_dry_run(self, name: str, key: str = "") -> None:
        """End a dry run before something that would be done; else nothing."""
        if self._dry:
            self.records.append(StageRecord(name=name, key=key, cached=False, seconds=0.0))
            raise Plan(name)

    def known(self, inputs: object, kind: type[T]) -> T | None:
        """A value that ``keep`` kept for these inputs, None if there is none; no stage is recorded."""
        return self._read(digest(inputs), kind)

    def keep(self, inputs: object, value: object) -> None:
        """Keep one of many small results, such as a trial's, for the same inputs to come."""
        self.put(digest(inputs), encode(value))

    def get(self, key: str) -> bytes | None:
        """As ``core.ports.Store``; None where the bytes are damaged, too."""
        try:
            data = self._path(key).read_bytes()
        except FileNotFoundError:
            return None
        seal, value = data[:32], data[32:]
        return value if hashlib.sha256(value).digest() == seal else None

    def put(self, key: str, value: bytes) -> None:
        """As ``core.ports.Store``."""
        write_atomically(self._path(key), hashlib.sha256(value).digest() + value)

    def _path(self, key: str) -> Path:
        name = key.removeprefix("sha256:")
        return self._folder / name[:2] / name[2:]

    def _read(self, key: str, kind: type[T]) -> T | None:
        """The value; None where there is none, it is damaged, or a version whose types had other fields kept it."""
        found = self.get(key)
        try:
            return None if found is None else decode(found, kind)
        except IntegrityError:
            return None
