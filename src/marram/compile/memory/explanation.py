"""What a plan says of itself: where the peak is and because of what, and what less memory would cost."""

from __future__ import annotations

from marram.compile.memory.plan import MemoryPlan, Problem, Slot

_NAMED = 3
BY_ROWS = " are made row by row, in "
NOTHING_SMALLER = "Nothing smaller was found."


def explained(problem: Problem, plan: MemoryPlan) -> tuple[str, ...]:
    """Sentences for people, the peak first.

    Args:
        problem: gives the names of tasks and which values they read and write.
        plan: complete but for its explanation.
    """
    if not plan.calls:
        return (f"The arena of {plan.arena_bytes:,} B holds the inputs and outputs; nothing is computed.",)
    sentences = [_peak(problem, plan)]
    for first, past in plan.rolled:
        sentences.append(_rolled(problem, plan, first, past))
    if any(plan.lean):
        names = [task.name for task, lean in zip(problem.tasks, plan.lean, strict=True) if lean]
        sentences.append(f"In the form with less scratch: {_listed(names)}.")
    saved = plan.lower_bound_bytes - plan.arena_bytes
    if saved > 0:
        sentences.append(
            f"Whole values side by side would need {plan.lower_bound_bytes:,} B and scratch; overlaps and rows in turn save "
            f"{saved:,} B of it."
        )
    sentences += _neighbours(plan)
    return tuple(sentences)


def explained_memories(problem: Problem, plan: MemoryPlan) -> tuple[str, ...]:
    """Sentences on a plan over several memories: what each holds, what takes turns, what waiting costs.

    Args:
        problem: gives the names of tasks and which values they read and write.
        plan: complete but for its explanation.
    """
    sentences = [_memory(plan, index) for index in range(len(plan.memories))]
    sentences += [_rolled(problem, plan, first, past) for first, past in plan.rolled]
    slowest = max(plan.memories, key=lambda memory: memory.byte_cost)
    sentences.append(
        f"A run is estimated to wait {plan.wait_cycles:,.0f} cycles for memory; {plan.slowest_wait_cycles:,.0f} with "
        f"all values in {slowest.name} and all constants in flash."
    )
    if plan.extra_instructions >= 0.001:
        sentences.append(f"For that it takes {_share(plan.extra_instructions)} more instructions than the fastest plan.")
    return tuple(sentences)


def _memory(plan: MemoryPlan, index: int) -> str:
    memory = plan.memories[index]
    used = memory.arena_bytes + memory.copied_bytes
    slots = [slot for slot in plan.slots if slot.memory == index]
    kinds = (("value", "whole values"), ("ring", "rings of rows"), ("scratch", "places for scratch"))
    counts = [(sum(slot.kind == kind for slot in slots), word) for kind, word in kinds]
    held = ", ".join(f"{count} {word}" for count, word in counts if count) or "nothing"
    copied = [copy.task for copy in plan.copies if copy.memory == index]
    beside = f"; constants of {_listed(copied)}, {memory.copied_bytes:,} B, copied from flash" if copied else ""
    return (
        f"{memory.name}: {used:,} of {memory.size_bytes:,} B at {memory.byte_cost:g} cycles a byte: "
        f"arena of {memory.arena_bytes:,} B with {held}{beside}."
    )


def peak_call(plan: MemoryPlan) -> int:
    """The first call at which the highest bytes of the arena are in use."""
    tops = [slot.first for slot in plan.slots if slot.offset_bytes + slot.size_bytes == plan.arena_bytes]
    return min(tops, default=0)


def _peak(problem: Problem, plan: MemoryPlan) -> str:
    at = peak_call(plan)
    first, past = next(((first, past) for first, past in plan.rolled if first <= at < past), (at, at + 1))
    tasks = sorted({call.task for call in plan.calls[first:past]})
    alive = [slot for slot in plan.slots if slot.first <= at <= slot.last]
    read = {name for index in tasks for name in problem.tasks[index].inputs}
    written = {name for index in tasks for name in problem.tasks[index].outputs}
    parts: list[tuple[int, str]] = []
    for slot in alive:
        if slot.kind == "scratch":
            continue
        role = "ring" if slot.kind == "ring" else _role(slot, read, written)
        rows = f" of {slot.rows} row{'s' * (slot.rows > 1)}" if slot.kind == "ring" else ""
        parts.append((slot.size_bytes, f"{role}{rows} {slot.size_bytes:,} B"))
    scratch = max((slot.size_bytes for slot in alive if slot.kind == "scratch"), default=0)
    if scratch:
        parts.append((scratch, f"scratch {scratch:,} B"))
    overlap = sum(size for size, _ in parts) - _covered(alive)
    shared = f"; {overlap:,} B of them shared, as outputs follow inputs that die" if overlap > 0 else ""
    where = problem.tasks[tasks[0]].name
    if len(tasks) > 1:
        where = f"{where} to {problem.tasks[tasks[-1]].name}, rolled"
    listed = ", ".join(text for _, text in sorted(parts, key=lambda part: -part[0]))
    return f"Peak of {plan.arena_bytes:,} B in {where}: {listed}{shared}."


def _role(slot: Slot, read: set[str], written: set[str]) -> str:
    if slot.name in read:
        return "input"
    return "output" if slot.name in written else "kept for later"


def _covered(slots: list[Slot]) -> int:
    """Bytes that at least one of the slots covers; the scratch of rolled tasks counts as its largest."""
    covered, reach = 0, 0
    for begin, end in sorted((slot.offset_bytes, slot.offset_bytes + slot.size_bytes) for slot in slots):
        covered += max(end - max(begin, reach), 0)
        reach = max(reach, end)
    return covered


def _rolled(problem: Problem, plan: MemoryPlan, first: int, past: int) -> str:
    calls = plan.calls[first:past]
    tasks = sorted({call.task for call in calls})
    between = [name for index in tasks for name in problem.tasks[index].outputs]
    rings = {slot.name: slot for slot in plan.slots if slot.kind == "ring" and slot.name in between}
    whole = sum(problem.values[name].size_bytes for name in rings)
    held = sum(slot.size_bytes for slot in rings.values())
    return (
        f"{problem.tasks[tasks[0]].name} to {problem.tasks[tasks[-1]].name}{BY_ROWS}{len(calls)} calls: "
        f"what passes between them takes {held:,} B in place of {whole:,} B."
    )


def _neighbours(plan: MemoryPlan) -> list[str]:
    less = [point for point in plan.front if point[0] < plan.arena_bytes]
    more = [point for point in plan.front if point[0] > plan.arena_bytes and point[1] < plan.extra_instructions]
    sentences = []
    if more:
        size, extra = more[-1]
        saved = (1 + plan.extra_instructions) / (1 + extra) - 1
        sentences.append(f"{size - plan.arena_bytes:,} B more would save {_share(saved)} of the instructions.")
    if less:
        picked = [less[0], *([less[-1]] if len(less) > 1 else [])]
        for size, extra in picked:
            cost = (1 + extra) / (1 + plan.extra_instructions) - 1
            end = ", and nothing smaller was found" if (size, extra) == less[-1] else ""
            sentences.append(f"{plan.arena_bytes - size:,} B less would cost {_share(cost)} more instructions{end}.")
    else:
        sentences.append(NOTHING_SMALLER)
    return sentences


def _share(value: float) -> str:
    return "less than 0.1 %" if value < 0.001 else f"{100 * value:.1f} %"


def _listed(names: list[str]) -> str:
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
