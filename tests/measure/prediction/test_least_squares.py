"""Coefficients that are not negative: they meet the conditions of the best, and are found again where they made the data."""

from __future__ import annotations

import numpy as np
import pytest

from marram.measure.prediction.least_squares import design, fitted, nonnegative


@pytest.mark.parametrize("seed", range(20))
def test_the_solution_is_the_best_by_its_conditions(seed: int) -> None:
    """Karush, Kuhn, Tucker: no slope where a coefficient is positive, an upward one where it is 0."""
    rng = np.random.default_rng(seed)
    matrix, values = rng.random((40, 12)), rng.normal(size=40) + 0.3
    found = nonnegative(matrix, values)
    slope = matrix.T @ (matrix @ found - values)
    assert (found >= 0).all()
    assert np.abs(slope[found > 0]).max(initial=0.0) < 1e-5
    assert (slope[found == 0] > -1e-5).all()


def test_costs_are_found_again_beside_values_that_are_wrong() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 50, (200, 4)).astype(float)
    truth = np.array([17.0, 0.0, 5.0, 42.0])
    values = counts @ truth
    values[:6] *= 1.5
    assert np.allclose(fitted(counts, values, 10.0), truth, rtol=0.02, atol=0.1)


def test_rows_become_a_matrix_by_name() -> None:
    names, matrix = design([{"b": 2.0}, {"a": 1.0, "b": 3.0}])
    assert names == ["a", "b"]
    assert matrix.tolist() == [[0.0, 2.0], [1.0, 3.0]]
