"""Files by class become a Dataset, whatever they hold: names give classes, groups and parts, the caller the samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from marram.data.dataset import Dataset, Samples
from marram.data.files import Files, open_files
from marram.data.layout import by_class, by_pattern, encode


def labelled_files(
    path: Path,
    samples: Callable[[Files, tuple[str, ...]], Samples],
    *,
    suffixes: frozenset[str],
    pattern: str | None,
    group: str | None,
    classes: Sequence[str] | None,
) -> Dataset:
    """The files under a folder or in a zip archive; nothing is decoded yet.

    Args:
        path: the folder or archive.
        samples: makes the samples of the files of these names.
        suffixes: of the files that count.
        pattern: of file names, as ``layout.by_pattern`` says; None reads classes from folders.
        group: the pattern's field that is the group.
        classes: declared class names, in order; None takes those found, sorted.

    Raises:
        DataError: no files, no classes, or names that fit neither.
    """
    files = open_files(path)
    source = str(path)
    if pattern is None:
        layout = by_class(files.names, suffixes=suffixes, source=source)
    else:
        layout = by_pattern(files.names, pattern, suffixes=suffixes, group=group, source=source)
    targets, labels = encode(layout.classes, len(layout.names), declared=classes, source=source)
    return Dataset(
        samples(files, layout.names),
        targets=targets,
        labels=labels,
        groups=layout.groups,
        parts=None if layout.parts is None else np.array(layout.parts, np.int8),
        group_name=group or "group",
    )
