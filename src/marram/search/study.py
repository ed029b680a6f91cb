"""Studies: which values of some variables give the best trade-offs between objectives, within limits.

A study goes in generations. All values of a generation are chosen before any of it is evaluated, the engine evaluates them in
any order, and what came out is learnt in the order in which it was chosen: so equal arguments give equal studies, whatever the
engine and its number of workers. A study that was killed is replayed: the same values are chosen again, and outcomes that are
known already come from the cache, so only trials that were running are lost. How long it takes is bounded by counts, never by
a clock, which would choose otherwise on another machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from math import isfinite, prod
from typing import Literal

from marram.core.codec import decode, encode
from marram.core.errors import UserError
from marram.core.ports import Progress
from marram.search.engines.engine import Engine, Failed, silent
from marram.search.front import pareto_front
from marram.search.known import Forgetful, Known, key_of
from marram.search.trials import Objective, Outcome, Study, Trial, Value, Values, Variable

__all__ = [
    "Known",
    "Objective",
    "Outcome",
    "Sampler",
    "Screen",
    "Study",
    "Trial",
    "Value",
    "Values",
    "Variable",
    "size",
    "study",
]

Sampler = Literal["nsga2", "tpe", "random"]
Screen = Callable[[Values], Mapping[str, float] | None]
"""A cheap, exact look at values before they are evaluated: how far over which limits they are; None or none above 0: go on."""


def study(
    variables: Sequence[Variable],
    evaluate: Callable[[Values], Outcome],
    *,
    objectives: Sequence[Objective],
    population: int,
    generations: int,
    seed: int,
    engine: Engine,
    sampler: Sampler = "nsga2",
    screen: Screen | None = None,
    known: Known | None = None,
    start: Sequence[Values] = (),
    progress: Progress = silent,
    clock_s: Callable[[], float] = time.monotonic,
) -> Study:
    """Search for the best trade-offs. Equal arguments give equal studies.

    No values are evaluated twice. A generation has ``population`` trials that pass the screening, if so many can be found;
    where few do, those that break the limits least show the sampler the way. What is rejected is recorded too. The study ends
    early when all values have been tried.

    Args:
        variables: what may be chosen.
        evaluate: values to their outcome; as engines ask for: of a module, or a frozen struct, and without a memory.
        objectives: what the outcome's objectives are.
        population: evaluations in a generation. It is no matter of how many workers there are.
        generations: how many.
        seed: of all choices.
        engine: runs the evaluations.
        sampler: ``nsga2`` (K. Deb et al., A fast and elitist multiobjective genetic algorithm: NSGA-II, IEEE TEC 6, 2002),
            ``tpe`` (J. Bergstra et al., Algorithms for Hyper-Parameter Optimization, NIPS 2011; for several objectives
            Y. Ozaki et al., JAIR 73, 2022) or ``random``, all of optuna.
        screen: rejects values before they are evaluated; runs in this process.
        known: gives outcomes of an earlier run, and keeps each as soon as it is there. Failed trials are not kept.
        start: values that are tried first.
        progress: told what is being done, how much of it is done, and how long the rest will take about.
        clock_s: tells time, for the progress alone.

    Raises:
        UserError: the variables, the objectives, the counts or the values to start from are not sound.
        MissingExtra: optuna is not installed.
    """
    from marram.search.proposals import Proposals

    listed, goals = tuple(variables), tuple(objectives)
    _check(listed, goals, population, generations, start)
    asked = Proposals(listed, count=len(goals), population=population, seed=seed, sampler=sampler, start=start)
    bar = _Bar(progress, clock_s, population * generations)
    trials: list[Trial] = []
    for generation in range(generations):
        chosen = asked.generation(screen and bar.watching(screen))
        if not chosen:
            break
        passed = [values for values, over in chosen if not over]
        bar.begin(generation, without_work=population - len(passed))
        outcomes = iter(_evaluated(passed, evaluate, engine, Forgetful() if known is None else known, bar))
        made = [
            _rejected(len(trials) + index, generation, values, over)
            if over
            else _judged(len(trials) + index, generation, values, next(outcomes), goals)
            for index, (values, over) in enumerate(chosen)
        ]
        asked.learn([(_losses(trial, goals), _penalties(trial)) for trial in made])
        trials += made
    progress("search: done", 1.0)
    feasible = [trial for trial in trials if trial.feasible]
    front = pareto_front([_losses(trial, goals) or () for trial in feasible])
    return Study(objectives=goals, trials=tuple(trials), front=tuple(feasible[index].number for index in front))


class _Bar:
    """Progress over all evaluations, with the time that the rest will take."""

    def __init__(self, progress: Progress, clock_s: Callable[[], float], total: int) -> None:
        self._progress, self._clock_s, self._total = progress, clock_s, total
        self._start_s = clock_s()
        self._generation = self._done = self._worked = 0

    def begin(self, generation: int, *, without_work: int) -> None:
        """A generation begins, in which so many evaluations need not be made."""
        self._generation = generation
        self.advance(without_work, worked=False)

    def watching(self, screen: Screen) -> Screen:
        """The screening, shown as it goes on."""

        def look(values: Values) -> Mapping[str, float] | None:
            self.advance(0, worked=False)
            return screen(values)

        return look

    def advance(self, count: int, *, worked: bool) -> None:
        """So many more are done, by work or without."""
        self._done += count
        self._worked += count if worked else 0
        rest = ""
        if self._worked:
            seconds = (self._clock_s() - self._start_s) / self._worked * (self._total - self._done)
            rest = f", about {seconds / 60:.0f} min left" if seconds >= 90 else f", about {seconds:.0f} s left"
        what = f"search: generation {self._generation + 1}, {self._done} of {self._total} trials{rest}"
        self._progress(what, self._done / self._total)


def _evaluated(
    values: Sequence[Values], evaluate: Callable[[Values], Outcome], engine: Engine, known: Known, bar: _Bar
) -> list[Outcome | Failed]:
    """Outcomes in order: what is known at once, the rest from the engine, each kept as it arrives."""
    found = [known.get(key_of(each)) for each in values]
    left = [index for index, outcome in enumerate(found) if outcome is None]
    bar.advance(len(values) - len(left), worked=False)

    def arrived(place: int, outcome: Outcome | Failed) -> None:
        if isinstance(outcome, Outcome):
            known.put(key_of(values[left[place]]), outcome)
        bar.advance(1, worked=True)

    made = iter(engine.map(evaluate, [values[index] for index in left], arrived=arrived))
    return [next(made) if outcome is None else outcome for outcome in found]


def _rejected(number: int, generation: int, values: dict[str, Value], over: dict[str, float]) -> Trial:
    reason = "over the limit: " + ", ".join(f"{name} by {share:.3g}" for name, share in over.items())
    return Trial(number=number, generation=generation, values=values, status="rejected", violations=over, reason=reason)


def _judged(
    number: int, generation: int, values: dict[str, Value], outcome: Outcome | Failed, objectives: tuple[Objective, ...]
) -> Trial:
    fault = outcome.reason if isinstance(outcome, Failed) else _fault(outcome, objectives)
    if isinstance(outcome, Failed) or fault is not None:
        return Trial(number=number, generation=generation, values=values, status="failed", reason=fault)
    outcome = decode(encode(outcome), Outcome)  # as it will be when it is known: a whole number among reals is a real
    return Trial(
        number=number,
        generation=generation,
        values=values,
        status="evaluated",
        objectives=outcome.objectives,
        violations=outcome.violations,
        figures=outcome.figures,
    )


def _fault(outcome: Outcome, objectives: tuple[Objective, ...]) -> str | None:
    """What keeps an outcome from being compared with others."""
    if len(outcome.objectives) != len(objectives):
        raise UserError(f"the evaluation gave {len(outcome.objectives)} objectives, and the study has {len(objectives)}")
    names = [*(goal.name for goal in objectives), *outcome.violations]
    figures = [*outcome.objectives, *outcome.violations.values()]
    wrong = [f"{name} is {figure}" for name, figure in zip(names, figures, strict=True) if not isfinite(figure)]
    return ", ".join(wrong) or None


def _losses(trial: Trial, objectives: tuple[Objective, ...]) -> tuple[float, ...] | None:
    """Objectives as what is to become small; None where there are none."""
    if trial.status != "evaluated":
        return None
    signs = [1.0 if goal.direction == "minimise" else -1.0 for goal in objectives]
    return tuple(sign * figure for sign, figure in zip(signs, trial.objectives, strict=True))


def _penalties(trial: Trial) -> dict[str, float]:
    """Violations as the sampler learns them: a failed trial is worse than any that breaks a limit."""
    return {"failed": 1e9} if trial.status == "failed" else trial.violations


def _check(
    variables: tuple[Variable, ...],
    objectives: tuple[Objective, ...],
    population: int,
    generations: int,
    start: Sequence[Values],
) -> None:
    for kind, names in (("variable", [each.name for each in variables]), ("objective", [each.name for each in objectives])):
        if not names:
            raise UserError(f"a study needs at least one {kind}")
        if len(set(names)) < len(names):
            raise UserError(f"two {kind}s of a study have one name: {', '.join(sorted(names))}")
    for variable in variables:
        if not variable.choices or len(set(variable.choices)) < len(variable.choices):
            raise UserError("needs different choices, at least one", where=f"variable {variable.name}")
    if population < 2 or generations < 1:
        raise UserError(f"{generations} generations of {population} cannot search", hint="Give at least 1 of at least 2.")
    choices = {variable.name: variable.choices for variable in variables}
    for values in start:
        if set(values) != set(choices) or any(value not in choices[name] for name, value in values.items()):
            raise UserError(f"the study cannot start from {dict(values)}", hint="Give each variable one of its choices.")


def size(variables: Sequence[Variable]) -> int:
    """How many choices of values there are."""
    return prod(len(variable.choices) for variable in variables)
