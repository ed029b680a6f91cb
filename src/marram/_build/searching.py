"""The contract's search: supernets trained, their parts weighed against every target's budget, the best of them finished."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from marram._build.finalists import finished_parts
from marram._build.firmware import takes_c
from marram._build.gathering import Gathered
from marram._build.modelling import ZOO, Modelled, is_integer
from marram._build.order import Order
from marram._build.pricing import priced
from marram._build.profiles import profile_of
from marram._build.quest import Family, Found, Quest
from marram._build.supernets import judge_of, starts, supernet_of
from marram.core.codec import digest
from marram.core.contract import Contract, SearchSection
from marram.core.errors import UserError
from marram.core.evidence import Evidence
from marram.measure.prediction.prediction import known_costs
from marram.search.choosing import Assessed, finalists, union
from marram.search.estimation import Judge, error_of, part_of
from marram.search.infeasibility import Infeasible, out_of_reach, proven
from marram.search.known import Kept
from marram.search.looking import Effort, look
from marram.search.pricing import Device, main_cost
from marram.search.space import Cutter, Space, SpaceOptions, decisions_of, least, space_of

_VERSION = 2  # of what a trial's outcome is, raised when estimates or prices are made in another way
_HOPE = 0.15  # finishing lowers estimated errors by up to so much; parts that are further from what is promised are left


def search_of(contract: Contract) -> SearchSection | None:
    """The contract's search; None where a recipe is given, which needs none."""
    return None if contract.compress.recipe is not None else contract.search


def check(order: Order, gathered: Gathered, section: SearchSection) -> None:
    """Tell what a search cannot be of before anything is trained.

    Raises:
        UserError: the data has no classes, a family is no zoo model that gives class scores or stands there twice, or what a
            target's core costs was never learned.
    """
    from marram.model import zoo

    if not gathered.labels:
        raise UserError("a search needs classes, and the data has none", where="[search]", hint="Leave [search] out.")
    if len(set(section.families)) < len(section.families):
        raise UserError("a family stands there twice", where="[search] families")
    for source in section.families:
        if not source.startswith(ZOO) or zoo.task(source.removeprefix(ZOO)) != "classification":
            hint = f"Write {ZOO} and the name of a zoo model that gives class scores; leave families out for the contract's."
            raise UserError(f"{source!r} is none whose parts can be searched", where="[search] families", hint=hint)
    devices_of(order)


def search(order: Order, modelled: Modelled, gathered: Gathered, section: SearchSection, exact: Evidence | None) -> Found:
    """Look for models for every target of the contract.

    Args:
        order: the build.
        modelled: the contract's model.
        gathered: the data.
        section: the contract's search.
        exact: of the float model: parts of it are not expected to keep a promise that it breaks.

    Raises:
        UserError: the model cannot be searched.
    """
    if modelled.graph is None or (is_integer(modelled.graph) and not section.families):
        why = "has operators outside the Graph" if modelled.graph is None else "holds integers already"
        hint = "Give the float model that it was made of, or leave [search] out."
        raise UserError(f"the model {why}: it has no parts to search", where=order.contract.model.source, hint=hint)
    spaces = {name: space_of(graph, _options(section)) for name, graph in starts(order, gathered, section, modelled.graph)}
    accuracy = None if exact is None or section.families else exact.figure("accuracy")
    promises = order.contract.promises
    answers = {one.name: _proven(spaces, one) or out_of_reach(one.name, promises, accuracy) for one in devices_of(order)}
    impossible = {name: answer for name, answer in answers.items() if answer is not None}
    possible = tuple(one for one in devices_of(order) if one.name not in impossible)
    quest = Quest(order=order, gathered=gathered, section=section, devices=possible)
    families: list[Family] = []
    assessed: list[Assessed] = []
    for name, space in spaces.items() if possible else ():
        trained = supernet_of(quest, name, space)
        judge = judge_of(trained, gathered)
        families.append(Family(name=name, graph=trained, whole_error=error_of(judge, part_of(judge, (), Cutter(trained)))))
        assessed += _looked(quest, name, msgspec.structs.replace(space, graph=trained), judge)
    plausible = (
        min((family.whole_error for family in families), default=0.0)
        + (order.contract.promises.accuracy_drop_max or 0.0)
        + _HOPE
    )
    chosen = {
        one.name: finalists(assessed, one.name, main_cost(one), section.finalists, plausible_error=plausible)
        for one in quest.devices
    }
    finished = finished_parts(quest, families, {number: assessed[number] for number in union(chosen)})
    return Found(families=tuple(families), assessed=tuple(assessed), finished=finished, chosen=chosen, impossible=impossible)


def _proven(spaces: Mapping[str, Space], device: Device) -> Infeasible | None:
    """Why none of the spaces has a model within a device's budget, where that is certain: the answer that comes nearest."""
    found = []
    for space in spaces.values():
        cutter = Cutter(space.graph)
        answer = proven(cutter.cut(decisions_of(space, least(space), cutter)).graph, device)
        if answer is None:
            return None
        found.append(answer)
    return min(found, key=lambda answer: (answer.bound or 0.0) / answer.budget)


def devices_of(order: Order) -> tuple[Device, ...]:
    """The contract's targets as a search sees them.

    Raises:
        UserError: what a target's core costs was never learned, so nothing can be foretold for it.
    """
    found = []
    for name, section in order.contract.targets.items():
        target = profile_of(order.project.folder, section)
        in_c = takes_c(section, target)
        if in_c:
            known_costs(target)  # told before anything is trained
        bits = tuple(sorted(order.contract.compress.weight_bits, reverse=True)) if in_c else (8,)
        found.append(Device(name=name, target=target, section=section, in_c=in_c, weight_bits=bits))
    return tuple(found)


def _options(section: SearchSection) -> SpaceOptions:
    return SpaceOptions(
        widths=section.widths, skips=section.skips, kernels=section.kernels, downsampling=((1, 1), *section.downsampling)
    )


def _prices_key(order: Order, device: Device) -> str | None:
    """What decides a device's foretold prices; None where nothing is foretold."""
    found = priced(order, device.name)
    return None if found is None else found.key


class _Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of looking."""

    assessed: tuple[Assessed, ...]


def _looked(quest: Quest, name: str, space: Space, judge: Judge) -> tuple[Assessed, ...]:
    order, section = quest.order, quest.section
    effort = Effort(trials=section.trials, population=section.population, seed=section.seed)
    origin = (digest(judge), space.variables)
    budgets = [(one.target, one.section, one.in_c, one.weight_bits, _prices_key(order, one)) for one in quest.devices]
    scopes = [digest(("trial", _VERSION, origin, budget)) for budget in budgets]
    names = [one.name for one in quest.devices]  # what is kept of looking is by name, outcomes of trials are not

    def make() -> _Looked:
        known = {name: Kept(order.cache, scope=scope) for name, scope in zip(names, scopes, strict=True)}
        found = look(
            space, judge, quest.devices, effort, family=name, engine=order.engine, known=known, progress=order.progress
        )
        return _Looked(assessed=found)

    return order.cache.stage(f"search in {name}", _VERSION, (origin, names, budgets, effort), _Looked, make).assessed
