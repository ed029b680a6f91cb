"""Pareto fronts of points whose coordinates are all to become small: what none dominates, its hypervolume, its knee."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from math import dist

from marram.core.errors import UserError

Point = Sequence[float]


def pareto_front(points: Sequence[Point]) -> tuple[int, ...]:
    """Indices of the points that no other point dominates, in order; of equal points the first."""
    order = sorted(range(len(points)), key=lambda index: (tuple(points[index]), index))
    kept: list[int] = []  # what dominates a point stands before it in this order
    for index in order:
        if not any(all(a <= b for a, b in zip(points[other], points[index], strict=True)) for other in kept):
            kept.append(index)
    return tuple(sorted(kept))


def hypervolume(points: Iterable[Point], reference: Point) -> float:
    """The volume between some points and a reference point that is worse than they: exact, for two and three objectives.

    Points that are not better than the reference in every objective add nothing.

    Source: E. Zitzler, L. Thiele, Multiobjective evolutionary algorithms, IEEE TEC 3 (1999), for the measure; in three
    dimensions the volume is added up slice by slice as C. Fonseca et al., CEC 2006, do.

    Raises:
        UserError: the points have not two or three coordinates, as many as the reference.
    """
    if len(reference) not in {2, 3}:
        raise UserError(f"a hypervolume of {len(reference)} objectives is not computed", hint="Give two or three.")
    inside = [tuple(point) for point in points]
    if any(len(point) != len(reference) for point in inside):
        raise UserError("the points and the reference differ in their number of objectives")
    inside = [point for point in inside if all(a < b for a, b in zip(point, reference, strict=True))]
    if len(reference) == 2:
        return sum(width * height for width, height in _steps(sorted(inside), reference))
    return _sliced(inside, reference)


def _steps(ordered: Iterable[Point], reference: Point) -> Iterable[tuple[float, float]]:
    """Width and height of the rectangles that points, in order of their first coordinate, add to the area."""
    lowest = reference[1]
    for point in ordered:
        if point[1] < lowest:
            yield reference[0] - point[0], lowest - point[1]
            lowest = point[1]


def _sliced(points: Sequence[Point], reference: Point) -> float:
    """Volume from slices between the points' third coordinates, each of the area that the points below it cover."""
    volume, area, stairs = 0.0, 0.0, list[tuple[float, float]]()  # stairs: the front of what is below, by its first coordinate
    ordered = sorted(points, key=lambda point: point[2])
    for index, point in enumerate(ordered):
        place = bisect_left(stairs, (point[0], point[1]))
        covered = place > 0 and stairs[place - 1][1] <= point[1]
        if not covered:
            stairs[place:] = [stair for stair in stairs[place:] if stair[1] < point[1]]
            stairs.insert(place, (point[0], point[1]))
            area = sum(width * height for width, height in _steps(stairs, reference))
        above = ordered[index + 1][2] if index + 1 < len(ordered) else reference[2]
        volume += area * (above - point[2])
    return volume


def knee(points: Sequence[Point]) -> int:
    """Index of the point of a front nearest to its ideal, each objective scaled to 0 (best) to 1 (worst) over the front.

    Raises:
        UserError: there are no points.
    """
    if not points:
        raise UserError("an empty front has no knee")
    best = [min(column) for column in zip(*points, strict=True)]
    worst = [max(column) for column in zip(*points, strict=True)]
    widths = [high - low or 1.0 for low, high in zip(best, worst, strict=True)]
    scaled = [[(a - low) / width for a, low, width in zip(point, best, widths, strict=True)] for point in points]
    return min(range(len(points)), key=lambda index: dist(scaled[index], [0.0] * len(best)))
