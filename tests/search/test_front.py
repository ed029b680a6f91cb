"""Fronts against brute force, hypervolumes against optuna's and against counting cells."""

from __future__ import annotations

import numpy as np
import pytest

from marram.core.errors import UserError
from marram.search.front import hypervolume, knee, pareto_front


def dominates(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return all(a <= b for a, b in zip(first, second, strict=True)) and first != second


@pytest.mark.parametrize("seed", range(20))
def test_the_front_is_what_nothing_dominates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = [tuple(point) for point in rng.integers(0, 6, (40, 2 + seed % 3)).tolist()]
    kept = pareto_front(points)
    expected = [
        index
        for index, point in enumerate(points)
        if not any(dominates(other, point) for other in points) and points.index(point) == index
    ]
    assert list(kept) == expected


@pytest.mark.parametrize("seed", range(30))
def test_hypervolume_is_optunas(seed: int) -> None:
    from optuna._hypervolume import compute_hypervolume

    rng = np.random.default_rng(seed)
    size = 2 + seed % 2
    points = rng.random((int(rng.integers(1, 40)), size)) * 1.2
    if seed % 3 == 0:
        points = np.round(points, 1)  # ties
    reference = np.ones(size)
    inside = points[(points < reference).all(axis=1)]
    expected = compute_hypervolume(inside, reference) if len(inside) else 0.0
    assert hypervolume(points.tolist(), (1.0,) * size) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_hypervolume_counts_cells(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 9, (12, 3))
    cells = np.stack(np.meshgrid(*[np.arange(8)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    covered = (cells[:, None, :] >= points[None]).all(axis=2).any(axis=1).sum()
    assert hypervolume(points.tolist(), (8, 8, 8)) == covered


def test_hypervolume_of_nothing_and_of_too_much() -> None:
    assert hypervolume([], (1, 1)) == 0
    with pytest.raises(UserError, match="4 objectives"):
        hypervolume([], (1, 1, 1, 1))
    with pytest.raises(UserError, match="differ"):
        hypervolume([(1, 2)], (3, 3, 3))


def test_the_knee_is_nearest_to_the_ideal_whatever_the_units() -> None:
    points = [(0.0, 1.0), (0.1, 0.2), (0.4, 0.15), (1.0, 0.0)]
    assert knee(points) == 1
    assert knee([(a * 1e6, b * 1e-3) for a, b in points]) == 1
    assert knee([(3.0, 3.0)]) == 0
    with pytest.raises(UserError):
        knee([])
