"""The parts that a search has chosen, finished by its engine, each kept as soon as it is."""

from __future__ import annotations

from collections.abc import Sequence

from marram._build.quest import Family, Quest
from marram._build.replaying import material_digest, material_of, remember
from marram._build.shrinking import allowed
from marram.core.codec import digest, encode
from marram.search.choosing import Assessed
from marram.search.engines import Failed
from marram.search.finishing import Finish, Finished, Wanted
from marram.search.pricing import constants_share


def finished_parts(quest: Quest, families: Sequence[Family], wanted: dict[int, Assessed]) -> dict[int, Finished]:
    """The parts of these numbers, finished; those whose worker died twice are left out."""
    found: dict[int, Finished] = {}
    for family in families:
        job = Finish(
            graph=family.graph,
            material=material_of(quest.order, quest.gathered, silent=True),
            recipes=allowed(quest.order.contract.compress),
            tuning=quest.tuning(quest.section.finish_epochs),
            quantised=quest.tuning(max(1, quest.section.finish_epochs // 4), 0.05),
            weight_bits=quest.order.contract.compress.weight_bits,
        )
        own = {number: _wanted(quest, one) for number, one in wanted.items() if one.family == family.name}
        found |= _finished_of(quest, job, family.name, own)
    return found


def _wanted(quest: Quest, part: Assessed) -> Wanted:
    """What finishing is asked for: the part, in fewer bits if the flash of its target asks for that."""
    (device,) = (one for one in quest.devices if one.name in part.prices)
    return Wanted(decisions=part.decisions, constants_share=constants_share(part.prices[device.name], device))


def _finished_of(quest: Quest, job: Finish, name: str, wanted: dict[int, Wanted]) -> dict[int, Finished]:
    cache = quest.order.cache
    how = (job.recipes, job.tuning, job.quantised, job.weight_bits, job.tolerance)
    origin = ("finished", 1, digest(job.graph), material_digest(quest.gathered), how)
    distinct = tuple({encode(one): one for one in wanted.values()}.values())
    left = [one for one in distinct if cache.known((origin, one), Finished) is None]
    with cache.one_by_one(f"models of {name}", (origin, distinct), left=len(left)):
        if left:
            _finish(quest, job, origin, left)
    values = {number: cache.known((origin, one), Finished) for number, one in wanted.items()}
    return {number: value for number, value in values.items() if value is not None}


def _finish(quest: Quest, job: Finish, origin: tuple[object, ...], left: Sequence[Wanted]) -> None:
    """Have the engine finish what is left, and keep each as it arrives."""
    order = quest.order

    def arrived(place: int, value: Finished | Failed) -> None:
        if isinstance(value, Finished):
            remember(order, job.graph, quest.gathered, value.recipe, value.made)  # first: what is kept is remembered too
            order.cache.keep((origin, left[place]), value)

    def told(what: str, part: float) -> None:
        order.progress(f"finishing models: {what}", part)

    order.engine.map(job, left, progress=told, arrived=arrived)
