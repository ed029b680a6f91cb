"""The draw of groups: every part has every class where that can be."""

from __future__ import annotations

import numpy as np

from marram.data.dataset import TEST, TRAINING, VALIDATION
from marram.data.grouping import choose_groups


def drawn(counts, seed=0, test=0.2, validation=0.1):
    return choose_groups(
        np.asarray(counts), test_fraction=test, validation_fraction=validation, rng=np.random.default_rng(seed)
    )


def test_shares_of_groups_are_as_asked():
    parts = drawn(np.full((20, 3), 5))
    assert [(parts == part).sum() for part in (TRAINING, VALIDATION, TEST)] == [14, 2, 4]
    assert not (drawn(np.full((20, 3), 5), validation=0.0) == VALIDATION).any()


def test_training_keeps_the_only_group_of_a_class():
    counts = np.full((6, 2), 5)
    counts[1:, 1] = 0
    for seed in range(30):
        assert drawn(counts, seed)[0] == TRAINING


def test_every_part_has_every_class_where_that_can_be():
    counts = np.full((9, 2), 5)
    counts[3:, 1] = 0
    for seed in range(20):
        parts = drawn(counts, seed)
        assert all(counts[parts == part, 1].sum() for part in (TRAINING, VALIDATION, TEST))


def test_a_group_with_most_of_the_data_is_not_held_out():
    counts = np.array([[1000], *[[10]] * 9])
    for seed in range(20):
        assert drawn(counts, seed)[0] == TRAINING


def test_three_groups_are_dealt_one_each():
    assert sorted(drawn(np.full((3, 2), 5), test=0.9, validation=0.05).tolist()) == [0, 1, 2]
