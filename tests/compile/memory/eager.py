"""Plans that roll whatever can be rolled, though it may save nothing: rolling is tested where it would not be chosen."""

from __future__ import annotations

import random

import msgspec

from marram.compile.memory.layout import placed, plan_of
from marram.compile.memory.lifetimes import largest_live_set, lives_of
from marram.compile.memory.plan import MemoryPlan, Problem
from marram.compile.memory.units import Units

ROOM = 1 << 40


def eager_plan(problem: Problem, *, seed: int = 0) -> MemoryPlan:
    """The longest segment from every task that ends one, each with rows per call by chance; forms lean by chance."""
    chance = random.Random(seed)
    lives = lives_of(problem)
    units = Units(problem, lives)
    chain = []
    first = 0
    while first < len(problem.tasks):
        past = len(problem.tasks)
        while past > first + 1 and units._segment(first, past) is None:
            past -= 1
        if past > first + 1 and chance.random() < 0.3:
            past = chance.randint(first + 1, past)
        drafts = []
        if past > first + 1 and units._segment(first, past) is not None:
            drafts = [units._draft(first, past, most) for most in (1, 2, 3, 5)]
        else:
            past = first + 1
        kept = [draft for draft in drafts if draft is not None] or list(units.single(first))
        if len(kept) and kept[0].past == first + 1:
            past = first + 1
        draft = chance.choice(kept)
        spare = chance.random() < 0.5
        choices = tuple(forms[-1:] if spare else forms[:1] for forms in draft.choices)
        chain.append(msgspec.structs.replace(draft, choices=choices).unit(ROOM))
        first = past
    done = placed(problem, lives, tuple(chain), search=False)
    return plan_of(done, lower_bound_bytes=largest_live_set(problem, lives))
