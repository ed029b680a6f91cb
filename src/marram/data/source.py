"""From what a contract's ``[data]`` names to a Dataset: which reader it takes, and what to say when it is not there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from marram.core.contract import AudioInput, ImageInput, ImuInput, InputSection, TensorInput
from marram.core.errors import DataError
from marram.core.ports import Progress
from marram.data.arrays import from_arrays
from marram.data.cache import cached
from marram.data.checks import refuse_misfit
from marram.data.dataset import Dataset
from marram.data.layout import nearest
from marram.data.npz import read_npz
from marram.data.readers import audio, function, idx, images, tables
from marram.data.splitting import GIVEN, STRATIFIED


def load(
    source: str | Path,
    *,
    input_spec: InputSection,
    base: Path | None = None,
    split_by: str = STRATIFIED,
    label: str = "label",
    pattern: str | None = None,
    classes: Sequence[str] | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Read a source of data as the sensor contract states it. Files are decoded when batches are read.

    Args:
        source: a folder, a zip archive, a ``.csv``, ``.parquet`` or ``.npz`` file, a folder of IDX files, or a Python
            function as ``file.py:function`` or ``package.module:function``.
        input_spec: the contract's ``[input]``: kind, shape and rate of the samples.
        base: what relative paths start from; None is the working folder.
        split_by: ``stratified``, ``given``, or what a group is (a column, array or pattern field).
        label: the column of a table that has the class.
        pattern: of file names, as in ``{label}_{group}_{index}.wav``; None takes classes from folders.
        classes: declared class names in their order; None takes those found, sorted.
        cache: folder that keeps decoded samples and the hashes of files; None decodes each time.
        progress: told while files are decoded into the cache.

    Raises:
        DataError: the source is not there, cannot be read, or does not hold what the contract states.

    Example::

        section = ImuInput(channels=("ax", "ay", "az"), rate_hz=50.0, window_s=2.0)
        dataset = load("walks.csv", input_spec=section, split_by="subject")
    """
    base = Path() if base is None else base
    group = None if split_by in {STRATIFIED, GIVEN} else split_by
    text = str(source)
    if isinstance(source, str) and function.REFERENCE.fullmatch(text) and not (base / text).exists():
        dataset = function.read(text, base=base, section=input_spec, group=group, classes=classes)
    else:
        path = _existing(base / source)
        dataset = _read(path, input_spec, label=label, pattern=pattern, group=group, classes=classes)
    refuse_misfit(dataset, input_spec, source=text)
    return dataset if cache is None else cached(dataset, cache, progress=progress)


def _read(
    path: Path, section: InputSection, *, label: str, pattern: str | None, group: str | None, classes: Sequence[str] | None
) -> Dataset:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return from_arrays(read_npz(path), section=section, group=group, classes=classes, source=str(path))
    if path.is_dir() and idx.holds_idx(path):
        return idx.read(path, classes=classes)
    if not path.is_dir() and suffix not in {".zip", *tables.SUFFIXES}:
        raise DataError(
            f"a file of type {suffix or 'unknown'} is no source of data",
            where=str(path),
            hint="Take a folder, .zip, .csv, .parquet, .npz, or file.py:function.",
        )
    match section:
        case ImuInput():
            return tables.read(path, section=section, label=label, pattern=pattern, group=group, classes=classes)
        case AudioInput():
            samples = max(1, round(section.duration_s * section.rate_hz))
            return audio.read(path, rate_hz=section.rate_hz, samples=samples, pattern=pattern, group=group, classes=classes)
        case ImageInput():
            size, channels = section.size_px, section.channels
        case TensorInput(shape=(height, width, 1 | 3 as channels)):
            size = (height, width)
        case TensorInput():
            raise DataError(
                f"tensors of shape {section.shape} cannot be read from files of this kind",
                where=str(path),
                hint="Give an .npz with x and y, or a Python function.",
            )
    return images.read(path, size=size, channels=channels, pattern=pattern, group=group, classes=classes)


def _existing(path: Path) -> Path:
    """The path, if something is there."""
    try:
        if path.exists():
            return path
        parent = next(folder for folder in (path.parent, *path.parent.parents) if folder.is_dir())
        held = sorted(entry.name for entry in parent.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    wanted = path.relative_to(parent).parts[0]
    more = ", ..." if len(held) > 8 else ""
    raise DataError(
        "there is no such file or folder",
        where=str(path),
        hint=f"{parent} holds: {', '.join(held[:8]) or 'nothing'}{more}.{nearest(wanted, held)}",
    )
