"""Blocks of a reshape: the shortest runs of axes on both sides that hold the same elements."""

from __future__ import annotations

Axes = tuple[int, ...]


def blocks(before: tuple[int, ...], after: tuple[int, ...]) -> list[tuple[Axes, Axes]]:
    """Axes of both shapes, in order, in the shortest runs of equal products; axes of size 1 are left out.

    ``(1, 50, 4, 12)`` to ``(1, 50, 48)`` gives ``[((1,), (1,)), ((2, 3), (2,))]``. Both shapes have the same elements.
    """
    first = [axis for axis, size in enumerate(before) if size > 1]
    second = [axis for axis, size in enumerate(after) if size > 1]
    found: list[tuple[Axes, Axes]] = []
    while first:
        a, b = [first.pop(0)], [second.pop(0)]
        left, right = before[a[0]], after[b[0]]
        while left != right:
            if left < right:
                a.append(first.pop(0))
                left *= before[a[-1]]
            else:
                b.append(second.pop(0))
                right *= after[b[-1]]
        found.append((tuple(a), tuple(b)))
    return found
