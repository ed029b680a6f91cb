"""What a plan says of itself: where the peak is and because of what, and what less memory would cost."""

from __future__ import annotations

from marram.compile.memory.plan import MemoryPlan, Problem


def explained(problem: Problem, plan: MemoryPlan) -> tuple[str, ...]:
    """Sentences for people, the peak first."""
    return ()
