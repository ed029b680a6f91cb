"""The models of a search held against a target's promises on the test part, the costliest first.

Each model asks the test part one question, and the more questions are asked, the likelier one is answered well by chance. So
the doubt that the contract allows, one less ``confidence``, is shared out before the first answer: half of it to the first
model, the rest evenly; a model that keeps its promises hands its share on to the next. Then the chance that any model which
does not keep its promises is taken for one that does is within the contract's doubt, however many are tried. Source: B. Wiens,
A fixed sequence Bonferroni procedure for testing multiple endpoints, Pharmaceutical Statistics 2 (2003): fallback procedure.
"""

from __future__ import annotations

import msgspec

from marram._build.quest import Found
from marram._build.sealing import choose
from marram._build.searching import devices_of
from marram._build.shipment import Models, Shipping, Tried
from marram._build.shipping import shipped, tried_for
from marram.core.ledger import Trial
from marram.measure import Measurement
from marram.report.record import FinalModel, SearchedPart, SearchRecord, TargetResult
from marram.search.infeasibility import not_found
from marram.search.pricing import main_cost

_FATES = {True: "not tested: another one is cheaper and no worse", False: "its worker died twice"}


class Shipped(msgspec.Struct, frozen=True, kw_only=True):
    """What a target got, and what became of each model that was finished for it, by its number."""

    result: TargetResult
    fates: dict[int, str]
    chosen: Models


def ship_found(shipping: Shipping, name: str, baseline: Measurement | None, found: Found) -> Shipped:
    """Test the models that were finished for a target, then the contract's own, and seal the cheapest that keeps everything.

    Where none does, the one that breaks the least is sealed.
    """
    cost = next(main_cost(device) for device in devices_of(shipping.order) if device.name == name)
    fates = {number: _FATES[number in found.finished] for number in found.chosen.get(name, ())}
    numbers = found.candidates(name, cost)
    shares = doubts(1.0 - shipping.order.contract.promises.confidence, len(numbers) + 1)
    tried: list[Tried] = []
    kept: tuple[int | None, Tried] | None = None
    carried = 0.0
    for number, share in zip((*numbers, None), shares, strict=True):
        if number is None and kept is not None:
            break  # the contract's own model is there for want of a better one
        models = shipping if number is None else shipping_of(shipping, found, number)
        doubt = share + carried
        rows = tried_for(msgspec.structs.replace(models, confidence=1.0 - doubt), name, baseline)
        tried += rows
        best = choose(rows)
        broken = [verdict.promise for verdict in best.verdicts if verdict.kept is not True]
        carried = 0.0 if broken else doubt
        kept = kept if broken else (number, best)
        if number is not None:
            fates[number] = f"broke {', '.join(broken)}" if broken else "kept everything"
    if kept is None:
        chosen = min(tried, key=_breaks)
    else:
        number, chosen = kept
        fates |= {} if number is None else {number: "chosen"}
    return Shipped(result=shipped(shipping, name, tuple(tried), chosen), fates=fates, chosen=chosen.models)


def doubts(whole: float, count: int) -> tuple[float, ...]:
    """How a doubt is shared out among so many tests in order: half to the first, the rest evenly; all to a single one."""
    return (whole,) if count == 1 else (whole / 2, *[whole / 2 / (count - 1)] * (count - 1))


def shipping_of(shipping: Shipping, found: Found, number: int) -> Shipping:
    """The shipping of one of the finished models."""
    done, family = found.finished[number], found.family_of(number)
    models = Models(
        exact=done.exact,
        integer=done.integer,
        opaque=None,
        recipe=done.recipe,
        title=title_of(found, number),
        base=family.graph,
        trials=ledger_trials(found, number),
    )
    return msgspec.structs.replace(shipping, models=models)


def title_of(found: Found, number: int) -> str:
    """A finished model's name: its family, and its place among all parts that were looked at."""
    return f"{found.assessed[number].family} {found.model_of(number)}"


def ledger_trials(found: Found, number: int) -> tuple[Trial, ...]:
    """All finished models, as a ledger has them."""
    own = found.model_of(number)
    distinct = {found.model_of(other): done for other, done in sorted(found.finished.items())}
    return tuple(
        Trial(
            recipe=done.recipe,
            figures={"accuracy_validation": 1.0 - done.integer_error},
            title=title_of(found, other),
            reason="" if other == own else "another of the finished models was chosen",
        )
        for other, done in distinct.items()
    )


def record(shipping: Shipping, found: Found, shipped_by: dict[str, Shipped]) -> SearchRecord:
    """The search as the report tells it."""
    order = shipping.order
    places = {model: place for place, model in enumerate(dict.fromkeys(map(found.model_of, sorted(found.finished))))}
    numbers = {number: places[found.model_of(number)] for number in found.finished}
    parts = tuple(
        SearchedPart(
            target=target,
            family=one.family,
            decisions=one.decisions,
            error=one.error,
            prices=prices,
            excess=one.excess[target],
            reason=one.reason,
            finalist=numbers.get(index),
        )
        for index, one in enumerate(found.assessed)
        for target, prices in one.prices.items()
    )
    models = tuple(_final(found, model, shipped_by) for model in places)
    return SearchRecord(
        costs={device.name: main_cost(device) for device in devices_of(order)},
        parts=parts,
        models=models,
        whole_error={family.name: family.whole_error for family in found.families},
        verdicts={
            name: found.impossible.get(name) or not_found(found.assessed, name, section)
            for name, section in order.contract.targets.items()
        },
    )


def _final(found: Found, model: int, shipped_by: dict[str, Shipped]) -> FinalModel:
    """A finished model with what became of it on each target that it was finished for."""
    same = [number for number in found.finished if found.model_of(number) == model]
    done = found.finished[same[0]]
    return FinalModel(
        title=title_of(found, model),
        recipe=done.recipe,
        exact_error=done.exact_error,
        integer_error=done.integer_error,
        fates={name: one.fates[number] for name, one in shipped_by.items() for number in same if number in one.fates},
    )


def _breaks(tried: Tried) -> int:
    return sum(verdict.kept is not True for verdict in tried.verdicts)
