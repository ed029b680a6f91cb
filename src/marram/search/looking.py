"""Looking: parts of a supernet weighed against the budgets of devices, one study for each device.

What a part costs is foretold before it is asked for its error: a part over the budget is recorded with how far over it is, and
not estimated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from marram.core.ports import Progress
from marram.measure.prediction import PriceCache
from marram.search.choosing import Assessed
from marram.search.engines import Engine
from marram.search.estimation import Judge, error_of, part_of
from marram.search.known import Known
from marram.search.pricing import Device, excess, objectives, price
from marram.search.space import Cutter, Space, Values, decisions_of, least, whole
from marram.search.study import Sampler, study
from marram.search.trials import Objective, Outcome, Trial

_ERROR = "error"


class Effort(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a search goes on: ``trials`` estimates for each device, ``population`` of them in a generation."""

    trials: int = 240
    population: int = 24
    sampler: Sampler = "nsga2"
    seed: int = 0


class Assessment:
    """What workers are sent once: called with values it gives the part's error and what it costs on a device.

    It remembers the space's groups and the prices of layers, neither of which changes what it gives.
    """

    def __init__(self, judge: Judge, space: Space, device: Device) -> None:
        self._judge, self._space, self._device = judge, space, device
        self._cutter, self._prices = Cutter(judge.graph), PriceCache()

    def __call__(self, values: Values) -> Outcome:
        """The part's outcome: its error, then the costs that are weighed against it."""
        part = part_of(self._judge, decisions_of(self._space, values, self._cutter), self._cutter)
        prices = price(part, self._device, self._prices)
        costs = tuple(prices[name] for name in objectives(self._device))
        return Outcome(
            objectives=(error_of(self._judge, part), *costs),
            violations=excess(prices, self._device),
            figures=prices,
        )


def look(
    space: Space,
    judge: Judge,
    devices: Sequence[Device],
    effort: Effort,
    *,
    family: str,
    engine: Engine,
    known: Mapping[str, Known],
    progress: Progress = lambda _what, _part: None,
) -> tuple[Assessed, ...]:
    """The parts of a trained supernet that the devices' studies came across, each device's in the order of its trials.

    Args:
        space: of the supernet's Graph.
        judge: with the trained Graph.
        devices: whose budgets count.
        effort: of each device's study.
        family: the name of the supernet.
        engine: runs the estimates.
        known: by device the outcomes of a run that was interrupted.
        progress: told what is being done.
    """
    found: list[Assessed] = []
    for index, device in enumerate(devices):
        part = _shared(progress, device.name, index, len(devices))
        found += _of_device(space, judge, device, effort, family=family, engine=engine, known=known[device.name], progress=part)
    return tuple(found)


def _of_device(
    space: Space, judge: Judge, device: Device, effort: Effort, *, family: str, engine: Engine, known: Known, progress: Progress
) -> list[Assessed]:
    cutter, prices = Cutter(space.graph), PriceCache()

    def screen(values: Values) -> Mapping[str, float] | None:
        graph = cutter.cut(decisions_of(space, values, cutter)).graph
        return excess(price(graph, device, prices), device) or None

    done = study(
        space.variables,
        Assessment(judge, space, device),
        objectives=[Objective(name=name) for name in (_ERROR, *objectives(device))],
        population=effort.population,
        generations=-(-effort.trials // effort.population),
        seed=effort.seed,
        engine=engine,
        sampler=effort.sampler,
        screen=screen,
        known=known,
        start=(whole(space), least(space)),
        progress=progress,
    )
    return [_assessed(trial, space, device, cutter, family) for trial in done.trials]


def _assessed(trial: Trial, space: Space, device: Device, cutter: Cutter, family: str) -> Assessed:
    decisions = decisions_of(space, trial.values, cutter)
    prices = trial.figures or price(cutter.cut(decisions).graph, device)
    return Assessed(
        family=family,
        decisions=decisions,
        error=trial.objectives[0] if trial.status == "evaluated" else None,
        prices={device.name: prices},
        excess={device.name: {name: over for name, over in trial.violations.items() if over > 0}},
        reason=trial.reason,
    )


def _shared(progress: Progress, name: str, index: int, count: int) -> Progress:
    return lambda what, part: progress(f"{name}: {what}", (index + part) / count)
