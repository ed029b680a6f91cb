"""Has anything changed since the last build? Answered from file names, sizes and times, without reading data.

A build that is not skipped by this keys its stages by content, so a touched but equal file costs a hash, never a training.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from marram.core.codec import digest

_OURS = frozenset({".marram", "dist"})


def fingerprint(folder: Path, outside: tuple[Path, ...], *, code: str) -> str:
    """Digest over a project's files, files and folders that it names outside itself, and the version of the code.

    Args:
        folder: the project; what a build writes there (``dist``, ``.marram``) and hidden files do not count.
        outside: sources that stand elsewhere; absent ones count as absent.
        code: what stands for the code that builds.
    """
    rows = sorted(_rows(folder))
    for path in outside:
        rows.append((f"outside {path}", -1, -1))
        rows += sorted(_rows(path)) if path.is_dir() else [_row(path, str(path))] if path.exists() else []
    return digest((code, rows))


def _rows(folder: Path, prefix: str = "") -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith((".", "__pycache__")) or (not prefix and entry.name in _OURS):
                continue
            name = f"{prefix}{entry.name}"
            if entry.is_dir():
                yield from _rows(Path(entry.path), name + "/")
            else:
                stat = entry.stat()
                yield name, stat.st_size, stat.st_mtime_ns


def _row(path: Path, name: str) -> tuple[str, int, int]:
    stat = path.stat()
    return name, stat.st_size, stat.st_mtime_ns
