"""Permutations of axes. A label says how a tensor is stored: stored axis ``i`` is logical axis ``label[i]``."""

from __future__ import annotations

from collections.abc import Sequence

Label = tuple[int, ...]
Shape = tuple[int, ...]


def identity(rank: int) -> Label:
    """The label of a tensor stored as it is."""
    return tuple(range(rank))


def invert(label: Label) -> Label:
    """The permutation that undoes this one."""
    return tuple(sorted(range(len(label)), key=label.__getitem__))


def permute(values: Sequence[int], label: Label) -> tuple[int, ...]:
    """The values in the order of the label."""
    return tuple(values[axis] for axis in label)


def conversion(held: Label, wanted: Label) -> Label:
    """The transpose that turns a tensor stored as ``held`` into one stored as ``wanted``."""
    return permute(invert(held), wanted)


def keeps_order(shape: Shape, permutation: Label) -> bool:
    """Whether transposing a tensor of this shape leaves its elements in the same order in memory."""
    moved = [axis for axis in permutation if shape[axis] != 1]
    return moved == sorted(moved)


def channels_first(rank: int) -> Label:
    """The label that stores a channels-last tensor channels first."""
    return (0, rank - 1, *range(1, rank - 1)) if rank > 2 else identity(rank)
