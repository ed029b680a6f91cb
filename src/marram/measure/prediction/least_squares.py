"""Weighted least squares with coefficients that are not negative."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
_RIDGE = 1e-9
_TOLERANCE = 1e-9
_PATIENCE = 3
_MOST_TURNS = 2000
_ROUNDS = 4
_EXPECTED = 0.1
_USUAL = 0.02


def nonnegative(matrix: Reals, values: Reals) -> Reals:
    """X >= 0 with the least sum of squares of ``matrix @ x - values``.

    Block principal pivoting on the normal equations: which coefficients are 0 is guessed and mended, many at a time as long as
    that helps, then one at a time (Kim and Park, SIAM Journal on Scientific Computing 33, 2011).

    Args:
        matrix: (N, K).
        values: (N,).
    """
    scale = np.linalg.norm(matrix, axis=0)
    scale[scale == 0] = 1.0
    scaled = matrix / scale
    gram, target = scaled.T @ scaled, scaled.T @ values
    gram[np.diag_indices_from(gram)] += _RIDGE
    free = np.zeros(len(target), bool)
    fewest, patience = len(target) + 1, _PATIENCE
    for _ in range(_MOST_TURNS):
        found = np.zeros(len(target))
        if free.any():
            found[free] = np.linalg.solve(gram[np.ix_(free, free)], target[free])
        slope = gram @ found - target
        wrong = np.where(free, found < -_TOLERANCE, slope < -_TOLERANCE)
        count = int(wrong.sum())
        if count == 0:
            return np.asarray(np.maximum(found, 0.0) / scale)
        if count < fewest:
            fewest, patience = count, _PATIENCE
        else:
            patience -= 1
        if patience >= 0:
            free ^= wrong
        else:
            free[np.flatnonzero(wrong)[-1]] ^= True
    return np.asarray(np.maximum(found, 0.0) / scale)


def fitted(matrix: Reals, values: Reals, floor: float, *, expected: Reals | None = None) -> Reals:
    """Coefficients of least relative error: an error counts by its share of the value, ``floor`` added to small ones.

    Values far from what the others agree on count less (Huber's weights, in rounds): compilers now and then do otherwise.
    ``expected`` has a coefficient where one is expected and NaN elsewhere: being off by all of it counts as much as
    ``_EXPECTED`` of a value would.
    """
    weights = 1.0 / (np.abs(values) + floor)
    if expected is not None:
        chosen = np.flatnonzero(~np.isnan(expected))
        rows = np.zeros((len(chosen), matrix.shape[1]))
        rows[np.arange(len(chosen)), chosen] = 1.0
        matrix, values = np.concatenate([matrix, rows]), np.concatenate([values, expected[chosen]])
        weights = np.concatenate([weights, _EXPECTED / (expected[chosen] + 1.0)])
    found = nonnegative(matrix * weights[:, None], values * weights)
    for _ in range(_ROUNDS):
        error = np.abs(matrix @ found - values) * weights
        usual = max(_USUAL, float(np.median(error)) * 2)
        trust = weights * np.sqrt(np.minimum(1.0, usual / np.maximum(error, 1e-12)))
        found = nonnegative(matrix * trust[:, None], values * trust)
    return found


def design(rows: list[dict[str, float]]) -> tuple[list[str], Reals]:
    """The names in rows, sorted, and the rows as a matrix (N, K)."""
    names = sorted({name for row in rows for name in row})
    place = {name: index for index, name in enumerate(names)}
    matrix: Any = np.zeros((len(rows), len(names)))
    for index, row in enumerate(rows):
        for name, count in row.items():
            matrix[index, place[name]] = count
    return names, matrix
