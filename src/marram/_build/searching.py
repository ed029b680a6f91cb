"""The contract's search: supernets trained, their parts weighed against every target's budget, the best of them finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from marram._build.accounting import validation_samples
from marram._build.firmware import takes_c
from marram._build.gathering import Gathered
from marram._build.modelling import ZOO, Modelled
from marram._build.order import Order
from marram._build.pricing import priced
from marram._build.replaying import material_digest, material_of, remember
from marram._build.shipping import profile_of
from marram._build.shrinking import allowed
from marram.compress.structure.groups import groups
from marram.compress.structure.importance import importance
from marram.compress.structure.ordering import reordered
from marram.core.codec import digest, encode
from marram.core.contract import SearchSection
from marram.core.errors import UserError
from marram.core.evidence import Evidence
from marram.core.graph import Graph
from marram.core.recipe import Tuning
from marram.measure.prediction.prediction import known_costs
from marram.model.files import load
from marram.search.choosing import Assessed, finalists, union
from marram.search.engines import Engine, Failed
from marram.search.estimation import Judge, error_of, part_of
from marram.search.finishing import Finish, Finished, Wanted
from marram.search.infeasibility import Infeasible, out_of_reach, proven
from marram.search.looking import Effort, look
from marram.search.pricing import Device, constants_share, main_cost
from marram.search.space import Cutter, Space, SpaceOptions, decisions_of, least, space_of
from marram.search.supernet import train_supernet
from marram.search.trials import Outcome
from marram.sense import apply, output_shape

_STATISTICS_SAMPLES = 512
_HOPE = 0.15  # finishing lowers estimated errors by up to so much; parts that are further from what is promised are left


class Quest(msgspec.Struct, frozen=True, kw_only=True):
    """What all steps of one search share."""

    order: Order
    gathered: Gathered
    section: SearchSection
    engine: Engine
    devices: tuple[Device, ...]


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """A trained supernet: its name, its Graph, and how often the whole of it errs on the validation samples."""

    name: str
    graph: Graph
    whole_error: float


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a search has: the supernets, every part that was looked at, those that were finished, and for whom each was.

    ``chosen`` gives by target the numbers of the parts that were to be finished for it, the cheapest first; ``impossible`` by
    target why no model of the spaces can meet its budget, proven before anything was trained.
    """

    families: tuple[Family, ...]
    assessed: tuple[Assessed, ...]
    finished: dict[int, Finished]
    chosen: dict[str, tuple[int, ...]]
    impossible: dict[str, Infeasible]

    def candidates(self, target: str, cost: str) -> tuple[int, ...]:
        """The finished models of a target that no other one is both cheaper and, on validation samples, as good as.

        In falling order of cost, and so of accuracy: the order in which they are tested.
        """
        known = [number for number in self.chosen.get(target, ()) if number in self.finished]
        rows = sorted(known, key=lambda number: (self.assessed[number].prices[target][cost], number))
        kept: list[int] = []
        for number in rows:
            if not kept or self.finished[number].integer_error < self.finished[kept[-1]].integer_error:
                kept.append(number)
        return tuple(reversed(kept))

    def model_of(self, number: int) -> int:
        """The first finished part of the same recipe, by which a model is named: targets may come across it separately."""
        family, recipe = self.assessed[number].family, self.finished[number].recipe
        return next(
            place
            for place, done in sorted(self.finished.items())
            if done.recipe == recipe and self.assessed[place].family == family
        )

    def family_of(self, number: int) -> Family:
        """The supernet that a part is of."""
        return next(family for family in self.families if family.name == self.assessed[number].family)


def search(order: Order, modelled: Modelled, gathered: Gathered, section: SearchSection, exact: Evidence | None) -> Found:
    """Look for models for every target of the contract.

    Args:
        order: the build.
        modelled: the contract's model.
        gathered: the data.
        section: the contract's search.
        exact: of the float model: parts of it are not expected to keep a promise that it breaks.

    Raises:
        UserError: the model cannot be searched, or is no classifier.
    """
    if not gathered.labels or modelled.graph is None:
        raise UserError("a search needs classes and a model that is a Graph", where="[search]", hint="Leave [search] out.")
    spaces = {name: space_of(graph, _options(section)) for name, graph in _starts(order, gathered, section, modelled.graph)}
    accuracy = None if exact is None or section.families else exact.figure("accuracy")
    promises = order.contract.promises
    answers = {one.name: _proven(spaces, one) or out_of_reach(one.name, promises, accuracy) for one in devices_of(order)}
    impossible = {name: answer for name, answer in answers.items() if answer is not None}
    possible = tuple(one for one in devices_of(order) if one.name not in impossible)
    quest = Quest(order=order, gathered=gathered, section=section, engine=order.engine, devices=possible)
    families: list[Family] = []
    assessed: list[Assessed] = []
    for name, space in spaces.items() if possible else ():
        trained = _supernet(quest, name, space)
        judge = _judge(trained, gathered)
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
    finished = _finished(quest, families, {number: assessed[number] for number in union(chosen)})
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


def _starts(order: Order, gathered: Gathered, section: SearchSection, graph: Graph) -> list[tuple[str, Graph]]:
    """The Graphs that supernets are made of: zoo models with fresh weights, or the contract's model with its own."""
    from marram.model import zoo

    model = order.contract.model
    if not section.families:
        return [(model.name, _ordered(order, gathered, graph))]
    shape, classes = output_shape(gathered.preprocess), len(gathered.labels)
    found = []
    for source in section.families:
        name = source.removeprefix(ZOO)
        own = model.options if source == model.source else {}
        options = section.options.get(name, own)
        module = zoo.make(name, input_shape=shape, classes=classes, seed=section.seed, **options)
        found.append((name, load(module, example=np.zeros((1, *shape), np.float32), name=name)))
    return found


def _ordered(order: Order, gathered: Gathered, graph: Graph) -> Graph:
    """A trained Graph whose channels stand by their importance, since parts are made of a group's first channels."""

    def make() -> Graph:
        found = groups(graph)
        scores = importance(graph, found, "taylor", material_of(order, gathered))
        return reordered(graph, {name: np.argsort(-values, kind="stable") for name, values in scores.items()}, found)

    return order.cache.stage("order of channels", 1, (digest(graph), material_digest(gathered)), Graph, make)


def _tuning(quest: Quest, epochs: int, share: float = 1.0) -> Tuning:
    """Training inside the search: as the contract trains, for so many epochs, at a share of the learning rate."""
    training, section = quest.order.contract.training, quest.section
    return Tuning(
        epochs=epochs,
        batch_size=training.batch_size,
        learning_rate=share * (section.learning_rate or training.learning_rate),
        weight_decay=training.weight_decay,
        augmentation=training.augmentation,
        precision=training.precision,
        threads=training.threads,
        seed=section.seed,
    )


def _supernet(quest: Quest, name: str, space: Space) -> Graph:
    order, gathered, tuning = quest.order, quest.gathered, _tuning(quest, quest.section.epochs)
    inputs = (digest(space.graph), space.variables, tuning, material_digest(gathered))
    checkpoint = order.project.checkpoints / (digest(("supernet", inputs)).removeprefix("sha256:") + ".pt")

    def make() -> Graph:
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        material = material_of(order, gathered)
        return train_supernet(
            space,
            gathered.training,
            gathered.validation,
            tuning,
            preprocess=material.preprocess,
            checkpoint=checkpoint,
            progress=order.progress,
        )

    trained = order.cache.stage(f"supernet of {name}", 1, inputs, Graph, make)
    checkpoint.unlink(missing_ok=True)
    return trained


def _judge(graph: Graph, gathered: Gathered) -> Judge:
    """The samples that parts are estimated on: statistics of the training part, errors of the validation part."""
    count = min(_STATISTICS_SAMPLES, len(gathered.training))
    places = np.linspace(0, len(gathered.training) - 1, count).astype(np.int64)
    ((samples, _),) = gathered.training.subset(places).batches(count)
    validation, targets = validation_samples(gathered, limit=None)
    return Judge(graph=graph, calibration=apply(gathered.preprocess, samples), samples=validation, targets=targets)


def _prices_key(order: Order, device: Device) -> str | None:
    """What decides a device's foretold prices; None where nothing is foretold."""
    found = priced(order, device.name)
    return None if found is None else found.key


class _Outcomes:
    """The outcomes of one study in the build's cache."""

    def __init__(self, order: Order, origin: object) -> None:
        self._order, self._origin = order, origin

    def get(self, key: str) -> Outcome | None:
        """As ``search.study.Known``."""
        return self._order.cache.known(("trial", self._origin, key), Outcome)

    def put(self, key: str, outcome: Outcome) -> None:
        """As ``search.study.Known``."""
        self._order.cache.keep(("trial", self._origin, key), outcome)


class _Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of looking."""

    assessed: tuple[Assessed, ...]


def _looked(quest: Quest, name: str, space: Space, judge: Judge) -> tuple[Assessed, ...]:
    order, section = quest.order, quest.section
    effort = Effort(trials=section.trials, population=section.population, seed=section.seed)
    origin = (digest(judge), space.variables)
    budgets = [(one.target, one.section, one.in_c, _prices_key(order, one)) for one in quest.devices]

    def make() -> _Looked:
        known = {one.name: _Outcomes(order, (origin, budget)) for one, budget in zip(quest.devices, budgets, strict=True)}
        found = look(
            space, judge, quest.devices, effort, family=name, engine=quest.engine, known=known, progress=order.progress
        )
        return _Looked(assessed=found)

    return order.cache.stage(f"search in {name}", 1, (origin, budgets, effort), _Looked, make).assessed


def _finished(quest: Quest, families: Sequence[Family], wanted: dict[int, Assessed]) -> dict[int, Finished]:
    """The parts of these numbers, finished; those whose worker died twice are left out."""
    found: dict[int, Finished] = {}
    for family in families:
        job = Finish(
            graph=family.graph,
            material=material_of(quest.order, quest.gathered, silent=True),
            recipes=allowed(quest.order.contract.compress),
            tuning=_tuning(quest, quest.section.finish_epochs),
            quantised=_tuning(quest, max(1, quest.section.finish_epochs // 4), 0.05),
            weight_bits=quest.order.contract.compress.weight_bits,
        )
        own = {number: _wanted(quest, one) for number, one in wanted.items() if one.family == family.name}
        found |= _finished_of(quest, job, own)
    return found


def _wanted(quest: Quest, part: Assessed) -> Wanted:
    """What finishing is asked for: the part, in fewer bits if the flash of its target asks for that."""
    (device,) = (one for one in quest.devices if one.name in part.prices)
    return Wanted(decisions=part.decisions, constants_share=constants_share(part.prices[device.name], device))


def _finished_of(quest: Quest, job: Finish, wanted: dict[int, Wanted]) -> dict[int, Finished]:
    order, gathered = quest.order, quest.gathered
    how = (job.recipes, job.tuning, job.quantised, job.weight_bits, job.tolerance)
    origin = ("finished", 1, digest(job.graph), material_digest(gathered), how)
    distinct = {encode(one): one for one in wanted.values()}
    known = {key: order.cache.known((origin, one), Finished) for key, one in distinct.items()}
    left = [key for key, value in known.items() if value is None]

    def arrived(place: int, value: Finished | Failed) -> None:
        if isinstance(value, Finished):
            order.cache.keep((origin, distinct[left[place]]), value)

    def told(what: str, part: float) -> None:
        order.progress(f"finishing models: {what}", part)

    made = quest.engine.map(job, [distinct[key] for key in left], progress=told, arrived=arrived)
    values = known | dict(zip(left, made, strict=True))
    done = {key: value for key, value in values.items() if isinstance(value, Finished)}
    for value in done.values():
        remember(order, job.graph, gathered, value.recipe, value.made)
    return {number: done[encode(one)] for number, one in wanted.items() if encode(one) in done}
