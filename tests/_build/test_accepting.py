"""How the doubt is shared out among models that are tested in order, and that the shares keep the whole."""

from __future__ import annotations

import numpy as np
import pytest

from marram._build.accepting import doubts


def wrongly_accepted(bad: np.ndarray, doubt: float, generator: np.random.Generator, runs: int) -> float:
    """The share of runs in which a model that does not keep its promise is accepted; good ones pass nine times of ten."""
    shares, wrong = doubts(doubt, len(bad)), 0
    for _ in range(runs):
        carried = 0.0
        for share, is_bad in zip(shares, bad, strict=True):
            whole = share + carried
            passed = generator.random() < (whole if is_bad else 0.9)
            wrong += passed and bool(is_bad)
            if passed and is_bad:
                break
            carried = whole if passed else 0.0
    return wrong / runs


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_shares_add_up_to_the_doubt(count):
    shares = doubts(0.05, count)
    assert len(shares) == count
    assert sum(shares) == pytest.approx(0.05)
    assert shares[0] == max(shares)


@pytest.mark.parametrize("bad", [[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1], [0, 1, 0, 1], [1, 0, 0, 1]])
def test_bad_models_are_accepted_no_oftener_than_the_doubt_allows(bad):
    runs = 20000
    found = wrongly_accepted(np.array(bad), 0.05, np.random.default_rng(1), runs)
    assert found < 0.05 + 4 * np.sqrt(0.05 * 0.95 / runs)
