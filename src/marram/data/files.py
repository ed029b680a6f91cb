"""Many small files in a folder or in a zip archive, read one at a time by name.

No handle stays open between two reads, and nothing is unpacked to disk. Archives are treated as hostile: names that climb out,
links, encryption, damaged entries and entries that claim to unpack to absurd sizes are refused.
"""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Protocol

from marram.core.errors import DataError

ENTRY_LIMIT_BYTES = 1 << 30
RATIO_LIMIT = 1000  # deflate cannot do much better than 1032 to 1: nothing but a bomb comes near
RATIO_FROM_BYTES = 64 << 20
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")


class Files(Protocol):
    """Named files. Names are relative, with ``/``, and sorted."""

    names: tuple[str, ...]

    def read(self, name: str) -> bytes:
        """The whole content. Raises DataError naming the file."""

    def where(self, name: str) -> str:
        """The place, for a person."""

    def stamp(self, name: str) -> tuple[int, int]:
        """Size and time of change: equal stamps are taken for equal content, as make does."""


class FolderFiles:
    """The files under a folder, hidden ones left out.

    Args:
        folder: where they are. Links to files are followed, links to folders are not.

    Raises:
        DataError: the folder cannot be listed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        found: list[str] = []
        for root, folders, files in os.walk(folder, onerror=_cannot_list):
            folders[:] = [name for name in folders if not name.startswith(".")]
            base = Path(root).relative_to(folder)
            found += [(base / name).as_posix() for name in files if not name.startswith(".")]
        self.names = tuple(sorted(found))

    def read(self, name: str) -> bytes:
        """The file's content."""
        path = self._folder / name
        try:
            with path.open("rb") as stream:
                if os.fstat(stream.fileno()).st_size > ENTRY_LIMIT_BYTES:
                    raise DataError(f"larger than {ENTRY_LIMIT_BYTES >> 20} MiB", where=str(path), hint="One sample, one file.")
                return stream.read()
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror or error}", where=str(path)) from error

    def where(self, name: str) -> str:
        """The path."""
        return str(self._folder / name)

    def stamp(self, name: str) -> tuple[int, int]:
        """Size and modification time in nanoseconds."""
        try:
            status = (self._folder / name).stat()
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror or error}", where=self.where(name)) from error
        return status.st_size, status.st_mtime_ns


class ZipFiles:
    """The files in a zip archive, read in place.

    Args:
        path: the archive.
        limit_bytes: the largest entry that is read.

    Raises:
        DataError: not a zip archive, damaged, or hostile.
    """

    def __init__(self, path: Path, *, limit_bytes: int = ENTRY_LIMIT_BYTES) -> None:
        self._path = path
        self._limit_bytes = limit_bytes
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
        except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, struct.error) as error:
            raise DataError(f"not a readable zip archive: {error}", where=str(path)) from error
        kept = [entry for entry in entries if not entry.is_dir() and not _hidden(entry.filename)]
        for entry in kept:
            self._refuse_hostile(entry)
        self._entries = {entry.filename: entry for entry in kept}
        if len(self._entries) != len(kept):
            raise DataError("two entries have the same name", where=str(path), hint="Make the archive anew.")
        self.names = tuple(sorted(self._entries))

    def read(self, name: str) -> bytes:
        """The entry's content, its checksum verified."""
        entry = self._entries[name]
        try:
            with self._path.open("rb") as stream:
                stream.seek(entry.header_offset)
                header = _LOCAL_HEADER.unpack(stream.read(_LOCAL_HEADER.size))
                if header[0] != b"PK\x03\x04":
                    raise DataError("damaged: its header is not where the archive says", where=self.where(name))
                stream.seek(header[-2] + header[-1], os.SEEK_CUR)
                stored = stream.read(entry.compress_size)
        except (OSError, struct.error) as error:
            raise DataError(f"cannot be read: {error}", where=self.where(name)) from error
        return self._unpacked(entry, stored)

    def where(self, name: str) -> str:
        """The archive and the entry in it."""
        return f"{self._path}:{name}"

    def stamp(self, name: str) -> tuple[int, int]:
        """Size and the archive's own checksum of the entry."""
        return self._entries[name].file_size, self._entries[name].CRC

    def _unpacked(self, entry: zipfile.ZipInfo, stored: bytes) -> bytes:
        data = stored
        if entry.compress_type == zipfile.ZIP_DEFLATED:
            unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
            try:
                data = unpacker.decompress(stored, entry.file_size + 1)
            except zlib.error as error:
                raise DataError(f"damaged: {error}", where=self.where(entry.filename)) from error
        if len(data) != entry.file_size or zlib.crc32(data) != entry.CRC:
            raise DataError("damaged: size or checksum does not agree", where=self.where(entry.filename))
        return data

    def _refuse_hostile(self, entry: zipfile.ZipInfo) -> None:
        parts = entry.filename.split("/")
        fault = None
        if ".." in parts or "" in parts or "\\" in entry.filename or ":" in parts[0]:
            fault = "its name climbs out of the archive"
        elif stat.S_ISLNK(entry.external_attr >> 16):
            fault = "it is a link"
        elif entry.flag_bits & 1:
            fault = "it is encrypted"
        elif entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            fault = "it is packed by a method other than deflate"
        elif entry.file_size > self._limit_bytes or (
            entry.file_size > RATIO_FROM_BYTES and entry.file_size > RATIO_LIMIT * max(1, entry.compress_size)
        ):
            fault = f"it would unpack to {entry.file_size} bytes from {entry.compress_size}"
        if fault:
            raise DataError(f"refused: {fault}", where=self.where(entry.filename), hint="Make the archive anew.")


def open_files(path: Path) -> FolderFiles | ZipFiles:
    """The files of a folder or of a zip archive."""
    return FolderFiles(path) if path.is_dir() else ZipFiles(path)


def _cannot_list(error: OSError) -> None:
    raise DataError(f"cannot be listed: {error.strerror or error}", where=str(error.filename)) from error


def _hidden(name: str) -> bool:
    parts = name.split("/")
    return "__MACOSX" in parts or any(part.startswith(".") and part != ".." for part in parts)
