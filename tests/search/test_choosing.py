from __future__ import annotations

from marram.search.choosing import Assessed, finalists, front, union


def part(cost: float, error: float | None, **excess: float) -> Assessed:
    return Assessed(family="f", decisions=(), error=error, prices={"d": {"macs": cost}}, excess={"d": excess})


PARTS = (
    part(100, 0.10),
    part(50, 0.12),
    part(60, 0.13),  # dearer and worse than the one before
    part(10, 0.30),
    part(5, 0.50),
    part(1, 0.05, ram_kib=0.2),  # over a budget
    part(2, None),  # never estimated
    part(5, 0.50),  # as good as another one: the first counts
)


def test_the_front_leaves_out_what_is_dominated_over_budget_or_unknown():
    assert front(PARTS, "d", "macs") == (4, 3, 1, 0)
    assert front(PARTS, "other", "macs") == ()


def test_finalists_reach_from_the_cheapest_plausible_to_the_best():
    assert finalists(PARTS, "d", "macs", 9) == (4, 3, 1, 0)
    assert finalists(PARTS, "d", "macs", 9, plausible_error=0.3) == (3, 1, 0)
    assert finalists(PARTS, "d", "macs", 2, plausible_error=0.3) == (3, 0)
    assert finalists(PARTS, "d", "macs", 1, plausible_error=0.3) == (0,)
    assert finalists(PARTS, "d", "macs", 3, plausible_error=0.01) == (0,)  # none is plausible: the best


def test_what_several_devices_want_is_finished_once():
    assert union({"a": (3, 1), "b": (1, 7)}) == (1, 3, 7)
