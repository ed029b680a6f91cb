"""What file names tell: the class, the group, and the part of a split, from folders or from a pattern."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import PurePosixPath
from posixpath import splitext

import msgspec
import numpy as np

from marram.core.errors import DataError
from marram.core.graph import Array
from marram.data.dataset import TEST, TRAINING, VALIDATION

PART_FOLDERS = {
    "train": TRAINING,
    "training": TRAINING,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "test": TEST,
    "testing": TEST,
}


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of each file: ``names``, ``classes`` (None without), ``groups`` and ``parts`` go together by index."""

    names: tuple[str, ...]
    classes: tuple[str, ...] | None
    groups: tuple[str, ...] | None
    parts: tuple[int, ...] | None


def by_class(names: Sequence[str], *, suffixes: frozenset[str], source: str) -> Layout:
    """Layouts ``<class>/file`` and ``train|validation|test/<class>/file``; leading folders common to all are passed over.

    Raises:
        DataError: no file with these suffixes, or files outside any class folder.
    """
    chosen = of_suffix(names, suffixes=suffixes, source=source)
    folders = [tuple(name.split("/")[:-1]) for name in chosen]
    common = _common(folders)
    folders = [parts[common:] for parts in folders]
    with_parts = all(parts and parts[0].lower() in PART_FOLDERS for parts in folders)
    depth = 1 if with_parts else 0
    for name, parts in zip(chosen, folders, strict=True):
        if len(parts) <= depth:
            raise DataError(
                "stands in no class folder",
                where=f"{source}: {name}",
                hint="Put each file in a folder named as its class (<class>/<file>, or train/<class>/<file> and"
                " test/<class>/<file>), or give a pattern of file names such as {label}_{group}_{index}.",
            )
    return Layout(
        names=chosen,
        classes=tuple(parts[depth] for parts in folders),
        groups=None,
        parts=tuple(PART_FOLDERS[parts[0].lower()] for parts in folders) if with_parts else None,
    )


def by_pattern(names: Sequence[str], pattern: str, *, suffixes: frozenset[str], group: str | None, source: str) -> Layout:
    """Class, group and part from names, for instance ``{label}_{group}_{index}.wav`` or ``{part}/{label}/{index}.png``.

    A pattern with ``/`` is held against the whole relative name, one without against the file's own name. The group is the
    field called ``group`` or as ``group`` says. A field ``part`` takes the names of ``PART_FOLDERS``.

    Raises:
        DataError: a pattern that is none, or names that do not match it.
    """
    fields = _fields(pattern, source)
    group_field = next((field for field in (group, "group") if field in fields), None)
    expression = _expression(pattern)
    chosen = of_suffix(names, suffixes=suffixes, source=source)
    found: list[dict[str, str]] = []
    for name in chosen:
        match = expression.fullmatch(name if "/" in pattern else PurePosixPath(name).name)
        if match is None:
            raise DataError(
                f"does not match the pattern {pattern}", where=f"{source}: {name}", hint="Rename it or change the pattern."
            )
        found.append(match.groupdict())
    return Layout(
        names=chosen,
        classes=tuple(fields_of["label"] for fields_of in found) if "label" in fields else None,
        groups=tuple(fields_of[group_field] for fields_of in found) if group_field else None,
        parts=tuple(_part(fields_of["part"], source) for fields_of in found) if "part" in fields else None,
    )


def of_suffix(names: Sequence[str], *, suffixes: frozenset[str], source: str) -> tuple[str, ...]:
    """The names that end in one of the suffixes, whatever the case.

    Raises:
        DataError: there is none.
    """
    chosen = tuple(name for name in names if splitext(name)[1].lower() in suffixes)
    if not chosen:
        seen = Counter(PurePosixPath(name).suffix or "no suffix" for name in names).most_common(4)
        held = ", ".join(f"{count} {suffix}" for suffix, count in seen) or "nothing"
        raise DataError(
            f"holds no file of type {', '.join(sorted(suffixes))}", where=source, hint=f"It holds: {held}. Check the path."
        )
    return chosen


def encode(
    names: Sequence[str] | None, count: int, *, declared: Sequence[str] | None, source: str
) -> tuple[Array, tuple[str, ...]]:
    """Class names as indices int64 (count,) and the labels: ``declared`` in its order, else the names found, sorted.

    Raises:
        DataError: a name outside the declared ones, or a declared class without a sample.
    """
    if names is None:
        if declared:
            raise DataError(
                "classes are declared, but the data has no labels",
                where=source,
                hint="Say which column or pattern field is the label.",
            )
        return np.full(count, -1, np.int64), ()
    present = Counter(names)
    labels = tuple(declared) if declared else tuple(sorted(present))
    index = {label: number for number, label in enumerate(labels)}
    for name in present:
        if name not in index:
            near = nearest(name, labels)
            raise DataError(
                f"{present[name]} samples have the label {name!r}, which is not among the declared classes",
                where=source,
                hint=f"Declared: {', '.join(labels)}.{near} Correct the label or add the class.",
            )
    for label in labels:
        if not present[label]:
            raise DataError(
                f"class {label!r} has no sample",
                where=source,
                hint=f"Found: {counted(present)}.{nearest(label, present)} Add samples or remove the class.",
            )
    return np.array([index[name] for name in names], np.int64), labels


def nearest(name: str, known: Sequence[str] | Counter[str]) -> str:
    """`` Did you mean x?``, or nothing when no name is near."""
    near = get_close_matches(name, list(known), n=2, cutoff=0.6)
    return f" Did you mean {' or '.join(near)}?" if near else ""


def counted(counts: Counter[str]) -> str:
    """``cat 12, dog 3``: names with their counts, sorted by name."""
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items()))


def _common(folders: list[tuple[str, ...]]) -> int:
    """Leading folders that all share; one is left to be the class, and a part's folder is never passed over."""
    first, last = min(folders), max(folders)  # what these two share, all share
    limit = max(0, min(len(parts) for parts in folders) - 1)
    for position in range(limit):
        if first[position] != last[position] or first[position].lower() in PART_FOLDERS:
            return position
    return limit


def _fields(pattern: str, source: str) -> set[str]:
    fields = re.findall(r"\{([A-Za-z_]\w*)\}", pattern)
    rest = re.sub(r"\{[A-Za-z_]\w*\}", "", pattern)
    if not fields or len(set(fields)) != len(fields) or "{" in rest or "}" in rest:
        raise DataError(
            f"{pattern!r} is no pattern of file names",
            where=source,
            hint="Write fields in braces, each once, as in {label}_{group}_{index}.wav.",
        )
    return set(fields)


def _expression(pattern: str) -> re.Pattern[str]:
    pieces = re.split(r"\{([A-Za-z_]\w*)\}", pattern)
    text = "".join(f"(?P<{piece}>[^/]+?)" if number % 2 else re.escape(piece) for number, piece in enumerate(pieces))
    return re.compile(text)


def _part(name: str, source: str) -> int:
    if name.lower() not in PART_FOLDERS:
        raise DataError(f"{name!r} is no part of a split", where=source, hint=f"Parts: {', '.join(PART_FOLDERS)}.")
    return PART_FOLDERS[name.lower()]
