"""Training, validation and test parts that share nothing: no sample, no identical content, no recording, no group.

A split is a function of content and seed: the order in which files were listed does not matter. Samples of identical content
move as one in a stratified split. A group split and a source's own split fix the parts by other means; there a training
sample whose content also stands in a held-out part is dropped and said so, and too many of them are an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from marram.core.errors import DataError
from marram.core.graph import Array
from marram.data.dataset import PART_NAMES, TEST, TRAINING, VALIDATION, Dataset
from marram.data.grouping import choose_groups

STRATIFIED, GIVEN = "stratified", "given"
LEAK_LIMIT = 0.01
"""Share of a held-out part that may also stand in training (and is dropped there) before it is an error."""


class Split(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Positions in the dataset, int64 and ascending, of each part; and how they came about.

    ``held_out_groups`` are those of the test part, () where the split is not by group. ``remarks`` are for the reader.
    """

    training: Array
    validation: Array
    test: Array
    by: str
    seed: int
    held_out_groups: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[Array, Array, Array]:
        """Training, validation and test, in this order."""
        return self.training, self.validation, self.test


def split(dataset: Dataset, *, test_fraction: float, validation_fraction: float, by: str, seed: int) -> Split:
    """Cut a dataset into parts.

    Args:
        dataset: what to cut.
        test_fraction: share of all samples, 0 to 1, exclusive; not used when the source declares its parts.
        validation_fraction: the same; 0 leaves the part empty.
        by: ``stratified``: every class keeps its share. ``given``: as the source declares. Anything else names the groups:
            no group is in two parts.
        seed: equal seeds give equal parts.

    Raises:
        DataError: too little to cut, a class that training would lack, or content that leaks.
    """
    if not (0.0 < test_fraction < 1.0 and 0.0 <= validation_fraction < 1.0 and test_fraction + validation_fraction < 1.0):
        raise DataError(
            f"fractions of {test_fraction} for test and {validation_fraction} for validation leave no training part",
            hint="Each is between 0 and 1, and together they are less than 1.",
        )
    if not len(dataset):
        raise DataError("there are no samples to split")
    rng = np.random.default_rng(seed)
    if by == STRATIFIED:
        parts = _stratified(dataset, np.arange(len(dataset)), test_fraction, validation_fraction, rng)
    elif by == GIVEN:
        parts = _given(dataset, validation_fraction, rng)
    else:
        parts = _by_group(dataset, test_fraction, validation_fraction, rng)
    parts, dropped = _without_leaks(dataset, parts)
    positions = [np.flatnonzero(parts == part) for part in (TRAINING, VALIDATION, TEST)]
    result = Split(
        training=positions[TRAINING],
        validation=positions[VALIDATION],
        test=positions[TEST],
        by=by,
        seed=seed,
        held_out_groups=() if by in {STRATIFIED, GIVEN} else _groups_of(dataset, positions[TEST]),
        remarks=dropped + _missing_classes(dataset, positions) + _shared_groups(dataset, positions, by),
    )
    check_leak(dataset, result)
    return result


def check_leak(dataset: Dataset, split: Split) -> None:
    """Prove that no two parts share a sample, identical content, overlapping windows or, in a split by group, a group.

    Raises:
        DataError: they do; names both samples or the group.
    """
    owner = np.full(len(dataset), -1, np.int8)
    for part, positions in enumerate(split.parts):
        if (owner[positions] >= 0).any() or len(np.unique(positions)) != len(positions):
            raise DataError(f"a sample stands in the {PART_NAMES[part]} part and in another, or twice in it")
        owner[positions] = part
    used = np.flatnonzero(owner >= 0)
    _refuse_shared(dataset, used, owner, _content_ids(dataset)[used], "identical samples")
    if dataset.origins is not None and split.by != GIVEN:
        _refuse_shared(dataset, used, owner, dataset.origins[used], "windows of one recording")
    if dataset.groups is not None and split.by not in {STRATIFIED, GIVEN}:
        ids = np.unique(np.array(dataset.groups), return_inverse=True)[1]
        _refuse_shared(dataset, used, owner, ids[used], f"samples of one {dataset.group_name}")


def _stratified(dataset: Dataset, among: Array, test: float, validation: float, rng: np.random.Generator) -> Array:
    """Part of each sample; only those ``among`` are dealt out, the others get -1.

    What moves as one is a recording where windows overlap, else all samples of one content.
    """
    content = _content_ids(dataset)[among]
    units = content if dataset.origins is None else dataset.origins[among]
    _, leads, members = np.unique(units, return_index=True, return_inverse=True)
    of_unit = np.full(len(leads), TRAINING, np.int8)
    by_content = np.argsort(content[leads], kind="stable")
    classes = dataset.targets[among][leads]
    for number in np.unique(classes):
        order = rng.permutation(by_content[classes[by_content] == number])
        first, second = (_share(len(order), fraction) for fraction in (test, validation))
        if first + second >= len(order):
            raise _too_few(dataset, int(number), len(order))
        of_unit[order[:first]] = TEST
        of_unit[order[first : first + second]] = VALIDATION
    parts = np.full(len(dataset), -1, np.int8)
    parts[among] = of_unit[members]
    return parts


def _share(count: int, fraction: float) -> int:
    return max(1, round(fraction * count)) if fraction > 0.0 else 0


def _too_few(dataset: Dataset, number: int, count: int) -> DataError:
    title = f"class {dataset.labels[number]!r}" if number >= 0 else "the data"
    if dataset.origins is None:
        return DataError(
            f"{title} has {count} different samples: too few for training, validation and test parts",
            hint="Add samples, remove the class, or set validation_fraction lower.",
        )
    return DataError(
        f"{title} comes from {count} recordings: too few for training, validation and test parts, as windows that overlap"
        " must stay in one part",
        hint="Record it more than once, or set stride_s to window_s so that windows do not overlap.",
    )


def _given(dataset: Dataset, validation: float, rng: np.random.Generator) -> Array:
    if dataset.parts is None:
        raise DataError(
            "the data does not declare parts of its own",
            hint="Put files in train/<class>/ and test/<class>/, or split by 'stratified' or by a group.",
        )
    parts = dataset.parts.copy()
    for part in (TRAINING, TEST):
        if not (parts == part).any():
            raise DataError(f"the data declares parts, but its {PART_NAMES[part]} part is empty", hint="Add samples to it.")
    if validation > 0.0 and not (parts == VALIDATION).any():
        among = np.flatnonzero(parts == TRAINING)
        dealt = _stratified(dataset, among, min(0.5, validation * len(parts) / len(among)), 0.0, rng)
        parts[dealt == TEST] = VALIDATION
    return parts


def _by_group(dataset: Dataset, test: float, validation: float, rng: np.random.Generator) -> Array:
    if dataset.groups is None:
        raise DataError(
            f"the data does not say which {dataset.group_name} a sample is of",
            hint="Name a column, array or pattern field in split_by, or split by 'stratified'.",
        )
    names, members = np.unique(np.array(dataset.groups), return_inverse=True)
    needed = 3 if validation > 0.0 else 2
    if len(names) < needed:
        raise DataError(
            f"a split by {dataset.group_name} needs at least {needed} of them, the data has {len(names)}: {', '.join(names)}",
            hint="Record more, or split by 'stratified' and say in the report that groups were not held out.",
        )
    table = np.zeros((len(names), len(dataset.labels) + 1), np.int64)
    np.add.at(table, (members, dataset.targets), 1)  # class -1 counts in the last column
    return choose_groups(table, test_fraction=test, validation_fraction=validation, rng=rng)[members]


def _without_leaks(dataset: Dataset, parts: Array) -> tuple[Array, tuple[str, ...]]:
    """Parts without the training (and validation) samples whose content is held out; the dropped get -1."""
    content = _content_ids(dataset)
    clean = parts.copy()
    remarks: list[str] = []
    for held, donors in ((TEST, (TRAINING, VALIDATION)), (VALIDATION, (TRAINING,))):
        inside = clean == held
        leaking = np.isin(clean, donors) & np.isin(content, content[inside])
        if not leaking.any():
            continue
        shared = inside & np.isin(content, content[leaking])
        if shared.sum() > LEAK_LIMIT * inside.sum() and shared.sum() > 1:
            first = int(np.argmax(shared))
            twin = int(np.argmax(leaking & (content == content[first])))
            raise DataError(
                f"{shared.sum()} of {inside.sum()} samples of the {PART_NAMES[held]} part stand in another part too",
                where=f"{dataset.name(first)} and {dataset.name(twin)}",
                hint="Remove the copies: a figure taken on them would not be true.",
            )
        clean[leaking] = -1
        remarks.append(f"{leaking.sum()} samples were left out: the same content is in the {PART_NAMES[held]} part")
    return clean, tuple(remarks)


def _missing_classes(dataset: Dataset, positions: Sequence[Array]) -> tuple[str, ...]:
    """Remarks on classes that a held-out part lacks. Raises when training lacks one."""
    counts = [Counter(dataset.targets[part].tolist()) for part in positions]
    remarks: list[str] = []
    for number, label in enumerate(dataset.labels):
        if not counts[TRAINING][number]:
            raise DataError(
                f"class {label!r} has no sample in training; validation has {counts[VALIDATION][number]},"
                f" test {counts[TEST][number]}",
                hint="Add samples of it to training, remove the class, or choose another seed or split.",
            )
        remarks += [
            f"class {label!r} has no sample in the {PART_NAMES[part]} part: nothing can be said of it there"
            for part in (VALIDATION, TEST)
            if not counts[part][number] and len(positions[part])
        ]
    return tuple(remarks)


def _shared_groups(dataset: Dataset, positions: Sequence[Array], by: str) -> tuple[str, ...]:
    """What a reader must know of a split that is not by group, where groups are known."""
    if by not in {STRATIFIED, GIVEN}:
        return ()
    shared = set(_groups_of(dataset, positions[TRAINING])) & set(_groups_of(dataset, positions[TEST]))
    if not shared:
        return ()
    count = len(set(dataset.groups or ()))
    title = f"{dataset.group_name}s"
    return (f"{len(shared)} of {count} {title} are in training and in test: the figures say nothing of new {title}",)


def _refuse_shared(dataset: Dataset, used: Array, owner: Array, ids: Array, what: str) -> None:
    order = np.argsort(ids, kind="stable")
    left, right = used[order[:-1]], used[order[1:]]
    shared = (ids[order[:-1]] == ids[order[1:]]) & (owner[left] != owner[right])
    if shared.any():
        first = int(np.argmax(shared))
        a, b = int(left[first]), int(right[first])
        raise DataError(
            f"{what} stand in the {PART_NAMES[owner[a]]} and in the {PART_NAMES[owner[b]]} part",
            where=f"{dataset.name(a)} and {dataset.name(b)}",
            hint="Split again with marram.data.split.",
        )


def _content_ids(dataset: Dataset) -> Array:
    """Number of each sample's content; numbers follow the order of the hashes, not of the samples."""
    rows = np.ascontiguousarray(dataset.hashes).view(f"V{dataset.hashes.shape[1]}").ravel()
    return np.asarray(np.unique(rows, return_inverse=True)[1])


def _groups_of(dataset: Dataset, positions: Array) -> tuple[str, ...]:
    return () if dataset.groups is None else tuple(sorted({dataset.groups[position] for position in positions}))
