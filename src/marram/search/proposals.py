"""Proposals: the values that a study tries next, by one of optuna's samplers, asked and told generation by generation.

Written against optuna 5. NSGA-II there takes the finished trials of one generation number as a generation and starts the next
once there are as many as the population; so each generation that it is told has exactly that many finished trials, and what was
not tried (values that were seen before, values that the screening rejects beyond those) is told as failed, which it ignores.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from marram.core.errors import MissingExtra
from marram.search.study import Sampler, Screen
from marram.search.trials import Value, Values, Variable

if TYPE_CHECKING:
    import optuna

Choice = tuple[int, ...]
"""The index of the choice of each variable."""
Learnt = tuple[tuple[float, ...] | None, Mapping[str, float]]
"""What a trial showed: its losses, None where it has none, and how far it is over which limits."""

_REPEATS = 4  # a sampler that keeps to what was tried is helped after so many
_SCREENED = 6  # at most so many are screened for each evaluation
_NEARBY = 32
_SPREAD = 5.0  # of mutations of what has an order: wide, since variables here have few values


class Proposals:
    """Asks a sampler for generations of values that were not tried before.

    Args:
        variables: what may be chosen.
        count: of objectives.
        population: trials in a generation.
        seed: of the choices.
        sampler: which sampler.
        start: values that come first.
    """

    def __init__(
        self,
        variables: Sequence[Variable],
        *,
        count: int,
        population: int,
        seed: int,
        sampler: Sampler,
        start: Sequence[Values],
    ) -> None:
        self._variables, self._count, self._population = tuple(variables), count, population
        self._rng = np.random.default_rng(seed)
        self._seen: set[Choice] = set()
        self._open: list[tuple[optuna.Trial, bool]] = []  # and whether the sampler learns of it
        self._study = _study(sampler, count=count, population=population, seed=seed)
        self._distributions = {variable.name: _distribution(variable) for variable in self._variables}
        first = [tuple(variable.choices.index(values[variable.name]) for variable in self._variables) for values in start]
        for choice in dict.fromkeys(first):
            self._enqueue(choice)

    def generation(self, screen: Screen | None) -> list[tuple[dict[str, Value], dict[str, float]]]:
        """Values for a generation, each with the violations that reject it, empty where it is to be evaluated.

        At most the population is to be evaluated, fewer only where no more can be found; empty when all values were tried.
        """
        trials: list[optuna.Trial] = []
        chosen: list[tuple[dict[str, Value], dict[str, float]]] = []
        passed = 0
        while passed < self._population and len(chosen) < self._population * _SCREENED:
            proposal = self._ask()
            if proposal is None:
                break
            trial, values = proposal[0], self._values(proposal[1])
            over = {name: share for name, share in ((screen and screen(values)) or {}).items() if share > 0}
            trials.append(trial)
            chosen.append((values, over))
            passed += not over
        rejected = sorted((index for index, (_, over) in enumerate(chosen) if over), key=lambda at: sum(chosen[at][1].values()))
        left_out = set(rejected[self._population - passed :])
        self._open = [(trial, index not in left_out) for index, trial in enumerate(trials)]
        return chosen

    def learn(self, shown: Sequence[Learnt]) -> None:
        """What the last generation's trials showed, in its order."""
        for (trial, learns), (losses, penalties) in zip(self._open, shown, strict=True):
            if not learns:
                self._drop(trial)
                continue
            for name, over in penalties.items():
                trial.set_constraint(name, over)
            # a trial without losses has a violation, by which alone it is compared
            self._study.tell(trial, list(losses) if losses is not None else [0.0] * self._count)
        self._open = []

    def _ask(self) -> tuple[optuna.Trial, Choice] | None:
        """A choice that was not tried; None where there are no more."""
        for turn in range(_REPEATS + 1):
            trial = self._study.ask(self._distributions)
            choice = tuple(int(trial.params[variable.name]) for variable in self._variables)
            if choice not in self._seen:
                self._seen.add(choice)
                return trial, choice
            self._drop(trial)
            if turn == _REPEATS - 1:
                other = self._unseen(choice)
                if other is None:
                    return None
                self._enqueue(other)
        return None

    def _unseen(self, choice: Choice) -> Choice | None:
        """A choice near one that was tried, at first in one variable, then in more; else the first that is left, if any is."""
        sizes = [len(variable.choices) for variable in self._variables]
        for turn in range(_NEARBY):
            made = list(choice)
            for _ in range(1 + turn // 8):
                place = int(self._rng.integers(len(sizes)))
                made[place] = int(self._rng.integers(sizes[place]))
            if tuple(made) not in self._seen:
                return tuple(made)
        return next((other for other in product(*map(range, sizes)) if other not in self._seen), None)

    def _values(self, choice: Choice) -> dict[str, Value]:
        return {variable.name: variable.choices[index] for variable, index in zip(self._variables, choice, strict=True)}

    def _enqueue(self, choice: Choice) -> None:
        names = [variable.name for variable in self._variables]
        self._study.enqueue_trial(dict(zip(names, choice, strict=True)))

    def _drop(self, trial: optuna.Trial) -> None:
        from optuna.trial import TrialState

        self._study.tell(trial, state=TrialState.FAIL)


def _distribution(variable: Variable) -> Any:
    """Indices: of words without an order among them, of numbers with it."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    last = len(variable.choices) - 1
    if all(isinstance(choice, str) for choice in variable.choices):
        return CategoricalDistribution(range(last + 1))
    return IntDistribution(0, last)


def _study(sampler: Sampler, *, count: int, population: int, seed: int) -> optuna.Study:
    try:
        import optuna
    except ImportError as error:
        raise MissingExtra("optuna", extra="build") from error
    made: optuna.samplers.BaseSampler
    with _quiet(optuna):
        if sampler == "nsga2":
            nearby = optuna.samplers.nsgaii.PolynomialMutation(eta=_SPREAD)
            made = optuna.samplers.NSGAIISampler(population_size=population, mutation=nearby, seed=seed)
        elif sampler == "tpe":
            made = optuna.samplers.TPESampler(n_startup_trials=population, seed=seed, constant_liar=True)
        else:
            made = optuna.samplers.RandomSampler(seed=seed)
        return optuna.create_study(directions=["minimize"] * count, sampler=made)


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Without optuna's lines on standard error and its warnings of what is experimental."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)
