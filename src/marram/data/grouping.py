"""Which groups are held out: a seeded draw, repeated when it would leave a part without a class."""

from __future__ import annotations

import numpy as np

from marram.core.graph import Array
from marram.data.dataset import TEST, TRAINING, VALIDATION

DRAWS = 200


def choose_groups(counts: Array, *, test_fraction: float, validation_fraction: float, rng: np.random.Generator) -> Array:
    """Part of each group, int8 (groups,).

    Groups are drawn until every part has every class and its share of the samples is within a tenth of what was asked; after
    ``DRAWS`` draws the best one stands.

    Args:
        counts: samples of each class in each group, (groups, classes).
        test_fraction: share of the test part; at least one group.
        validation_fraction: share of the validation part; at least one group, none if 0.
        rng: gives the draws.
    """
    total = len(counts)
    validation = min(max(1, round(validation_fraction * total)), total - 2) if validation_fraction > 0.0 else 0
    test = min(max(1, round(test_fraction * total)), total - 1 - validation)
    best: tuple[int, int, float] | None = None
    chosen = np.full(total, TRAINING, np.int8)
    for _ in range(DRAWS):
        order = rng.permutation(total)
        parts = np.full(total, TRAINING, np.int8)
        parts[order[:test]] = TEST
        parts[order[test : test + validation]] = VALIDATION
        score = _faults(counts, parts, test_fraction, validation_fraction)
        if best is None or score < best:
            best, chosen = score, parts
        if best == (0, 0, 0.0):
            break
    return chosen


def _faults(counts: Array, parts: Array, test_fraction: float, validation_fraction: float) -> tuple[int, int, float]:
    """Classes that training lacks, classes that held-out parts lack, and how far shares are off in tenths; less is better."""
    present = counts.sum(axis=0) > 0
    lacking = [int((present & (counts[parts == part].sum(axis=0) == 0)).sum()) for part in (TRAINING, VALIDATION, TEST)]
    shares = [counts[parts == part].sum() / max(1, counts.sum()) for part in (VALIDATION, TEST)]
    off = abs(shares[0] - validation_fraction) + abs(shares[1] - test_fraction)
    held_out = lacking[2] + (lacking[1] if validation_fraction > 0.0 else 0)
    return lacking[0], held_out, float(np.floor(10.0 * off))
