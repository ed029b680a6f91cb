"""CSV and Parquet tables of long recordings: one row a time step, a column for each channel, label and group.

A recording is an unbroken run of rows with the same label, group and, if there is such a column, ``recording``. A folder or
zip archive of tables has one recording or more in each file; a label may then also come from the class folder or a pattern.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from marram.core.contract import ImuInput
from marram.core.errors import DataError, MissingExtra
from marram.core.graph import Array
from marram.data.dataset import Dataset
from marram.data.files import ENTRY_LIMIT_BYTES, open_files
from marram.data.layout import by_class, by_pattern, nearest, of_suffix
from marram.data.recordings import Recording, cut

SUFFIXES = frozenset({".csv", ".parquet"})
TABLE_LIMIT_BYTES = 8 << 30
_RUN_COLUMN = "recording"


def read(
    path: Path,
    *,
    section: ImuInput,
    label: str = "label",
    pattern: str | None = None,
    group: str | None = None,
    classes: Sequence[str] | None = None,
) -> Dataset:
    """Windows of the recordings in a table, or in a folder or zip archive of tables.

    Args:
        path: the table, folder or archive.
        section: the contract's ``[input]``.
        label: the column with the class; without it (and without class folders) there are no classes.
        pattern: of file names, as ``layout.by_pattern`` says, for a folder or archive.
        group: the column or pattern field that is the group; a column ``group`` is taken without being named.
        classes: declared class names.

    Raises:
        DataError: damaged tables, columns that are missing, cells that are no numbers.
    """
    source = str(path)
    if path.suffix.lower() in SUFFIXES and path.is_file():
        recordings = recordings_of(_content(path), path.suffix, section=section, label=label, group=group, where=source)
    else:
        recordings = _many(path, section=section, label=label, pattern=pattern, group=group)
    return cut(
        recordings,
        rate_hz=section.rate_hz,
        window_s=section.window_s,
        stride_s=section.stride_s,
        channels=section.channels,
        classes=classes,
        group_name=group or "group",
        source=source,
    )


def recordings_of(
    data: bytes,
    suffix: str,
    *,
    section: ImuInput,
    label: str,
    group: str | None,
    where: str,
    file_label: str | None = None,
    file_group: str | None = None,
) -> list[Recording]:
    """The recordings in one table; ``file_label`` and ``file_group`` stand in for columns that it lacks."""
    table = _table(data, suffix, where, texts=(label, group or "group", "group", _RUN_COLUMN))
    names = list(table.column_names)
    for name in section.channels:
        if name not in names:
            raise DataError(
                f"has no column {name!r} for the channel of that name",
                where=where,
                hint=f"It has: {', '.join(names)}.{nearest(name, names)}",
            )
    signal = np.stack([_numbers(table, name, where) for name in section.channels], axis=1)
    group_column = next((name for name in (group, "group") if name is not None and name in names), None)
    keys = [_texts(table, name, where) if name in names else None for name in (label, group_column or "", _RUN_COLUMN)]
    labels, groups, _ = keys
    return [
        Recording(
            signal=signal[begin:end],
            name=f"{where} rows {begin + 1} to {end}",
            label=file_label if labels is None else labels[begin],
            group=file_group if groups is None else groups[begin],
        )
        for begin, end in _runs(keys, len(signal))
    ]


def _many(path: Path, *, section: ImuInput, label: str, pattern: str | None, group: str | None) -> list[Recording]:
    files = open_files(path)
    names = of_suffix(files.names, suffixes=SUFFIXES, source=str(path))
    labels: dict[str, str] = {}
    groups: dict[str, str] = {}
    if pattern is not None:
        layout = by_pattern(names, pattern, suffixes=SUFFIXES, group=group, source=str(path))
        labels = {} if layout.classes is None else dict(zip(layout.names, layout.classes, strict=True))
        groups = {} if layout.groups is None else dict(zip(layout.names, layout.groups, strict=True))
    elif all("/" in name for name in names):
        layout = by_class(names, suffixes=SUFFIXES, source=str(path))
        labels = dict(zip(layout.names, layout.classes or (), strict=True))
    recordings: list[Recording] = []
    for name in names:
        recordings += recordings_of(
            files.read(name),
            Path(name).suffix,
            section=section,
            label=label,
            group=group,
            where=files.where(name),
            file_label=labels.get(name),
            file_group=groups.get(name),
        )
    return recordings


def _content(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > TABLE_LIMIT_BYTES:
            raise DataError(
                f"has {size} bytes, more than {TABLE_LIMIT_BYTES}",
                where=str(path),
                hint=f"Cut it into a folder of files of at most {ENTRY_LIMIT_BYTES >> 20} MiB.",
            )
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=str(path)) from error


def _table(data: bytes, suffix: str, where: str, *, texts: Sequence[str]) -> Any:
    try:
        import pyarrow as pa
        from pyarrow import csv, parquet
    except ImportError as error:
        raise MissingExtra("pyarrow", extra="build") from error
    try:
        if suffix.lower() == ".csv":
            # Texts stay as they are written: "01" is no 1, "true" no truth, "NA" a name.
            options = csv.ConvertOptions(column_types=dict.fromkeys(texts, pa.string()))
            table = csv.read_csv(io.BytesIO(data), read_options=csv.ReadOptions(use_threads=False), convert_options=options)
        else:
            table = parquet.read_table(io.BytesIO(data), use_threads=False)
        table.validate(full=True)  # damaged texts and offsets show here, not later
        names = list(table.column_names)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise DataError(f"not a readable table: {error}", where=where, hint="Repair the file.") from error
    if len(set(names)) != len(names):
        raise DataError("two columns have the same name", where=where, hint="Rename one.")
    if not table.num_rows:
        raise DataError("has no rows", where=where)
    return table


def _numbers(table: Any, name: str, where: str) -> Array:
    import pyarrow as pa

    column = table.column(name)
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise DataError(
            f"column {name!r} holds {kind}, not numbers{_first_word(column)}",
            where=where,
            hint="Write decimal points and no units.",
        )
    if column.null_count:
        missing = int(np.argmax(column.is_null().to_numpy()))
        raise DataError(
            f"column {name!r} has {column.null_count} empty cells; the first is in row {missing + 1}",
            where=where,
            hint="Fill in or remove these rows.",
        )
    values = column.to_numpy()
    if not np.isfinite(values).all():
        bad = int(np.argmin(np.isfinite(values)))
        raise DataError(
            f"column {name!r} holds {values[bad]} in row {bad + 1}", where=where, hint="Repair or remove these rows."
        )
    return np.asarray(values, np.float32)


def _first_word(column: Any) -> str:
    """Row and text of the first cell that is no number."""
    for row, value in enumerate(column.to_pylist()):
        try:
            float(value)
        except (TypeError, ValueError):
            return f"; row {row + 1} has {value!r}"
    return ""


def _texts(table: Any, name: str, where: str) -> list[str]:
    values = ["" if value is None else str(value) for value in table.column(name).to_pylist()]
    if "" in values:
        raise DataError(
            f"column {name!r} has {values.count('')} empty cells; the first is in row {values.index('') + 1}",
            where=where,
            hint="Fill in or remove these rows.",
        )
    return values


def _runs(keys: Sequence[list[str] | None], count: int) -> list[tuple[int, int]]:
    """Unbroken stretches of rows in which no key changes."""
    changed = np.zeros(count, bool)
    changed[0] = True
    for key in keys:
        if key is not None:
            values = np.array(key)
            changed[1:] |= values[1:] != values[:-1]
    begins = np.flatnonzero(changed)
    return list(zip(begins.tolist(), [*begins[1:].tolist(), count], strict=True))
