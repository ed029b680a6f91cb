"""Who writes and who reads each value, and from which task to which it lives."""

from __future__ import annotations

from collections import Counter

import msgspec

from marram.compile.memory.plan import Problem


class Lives(msgspec.Struct, frozen=True, kw_only=True):
    """Lifetimes by *root*: the value that is inside no other. Views are written and read through their root.

    ``first`` and ``last`` are indices of tasks; an output of the model lives to the last task and is in ``kept``. ``plain``
    roots have no views: only they may overlap others or become rings. ``parted`` are written by several tasks, each a part.
    ``during`` has for each task the roots that live then, ``born`` those of them that do not live before, both in the order of
    ``first``.
    """

    root: dict[str, str]
    first: dict[str, int]
    last: dict[str, int]
    readers: dict[str, tuple[int, ...]]
    plain: frozenset[str]
    kept: frozenset[str]
    parted: frozenset[str]
    during: tuple[tuple[str, ...], ...]
    born: tuple[tuple[str, ...], ...]

    def dies(self, name: str, task: int) -> bool:
        """Whether nobody needs a value after a task that reads it."""
        return self.last[name] == task and name not in self.kept

    def live(self, first: int, past: int) -> list[str]:
        """Roots that live during one of the tasks ``[first, past)``."""
        found = list(self.during[first])
        for task in range(first + 1, past):
            found += self.born[task]
        return found


def lives_of(problem: Problem) -> Lives:
    """The lifetimes of a problem's values."""
    root = {name: _root(problem, name) for name in problem.values}
    used: dict[str, list[int]] = {root[name]: [0, 0] for name in problem.inputs}
    readers: dict[str, list[int]] = {}
    for index, task in enumerate(problem.tasks):
        for name in (*task.inputs, *task.outputs):
            used.setdefault(root[name], [index, index])[1] = index
        for name in task.inputs:
            readers.setdefault(root[name], []).append(index)
    written = Counter(name for task in problem.tasks for name in task.outputs)
    end = max(len(problem.tasks) - 1, 0)
    kept = frozenset(root[name] for name in problem.outputs)
    for name in kept:
        used.setdefault(name, [end, end])[1] = end
    inside = {root[name] for name, value in problem.values.items() if value.inside is not None}
    during: list[list[str]] = [[] for _ in range(end + 1)]
    born: list[list[str]] = [[] for _ in range(end + 1)]
    for name, (first, last) in used.items():
        born[first].append(name)
        for step in range(first, last + 1):
            during[step].append(name)
    return Lives(
        root=root,
        first={name: first for name, (first, _) in used.items()},
        last={name: last for name, (_, last) in used.items()},
        readers={name: tuple(dict.fromkeys(found)) for name, found in readers.items()},
        plain=frozenset(name for name in used if name not in inside),
        kept=kept,
        parted=frozenset(name for name, count in written.items() if count > 1),
        during=tuple(map(tuple, during)),
        born=tuple(map(tuple, born)),
    )


def largest_live_set(problem: Problem, lives: Lives) -> int:
    """Bytes of the values that live together at the worst task, each whole, nothing overlapping, no scratch."""
    steps = range(max(len(problem.tasks), 1))
    return max((sum(problem.values[name].size_bytes for name in lives.live(step, step + 1)) for step in steps), default=0)


def _root(problem: Problem, name: str) -> str:
    value = problem.values[name]
    while value.inside is not None:
        value = problem.values[value.inside]
    return value.name
