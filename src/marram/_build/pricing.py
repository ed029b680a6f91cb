"""What a target of a contract charges for a Graph, where that can be foretold without running it."""

from __future__ import annotations

import msgspec

from marram._build.firmware import takes_c
from marram._build.order import Order
from marram._build.profiles import profile_of
from marram.compile.c.text.sources import kernels_digest
from marram.compress.material import Cost
from marram.core.codec import digest
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.measure.prediction import PriceCache, predict
from marram.measure.prediction.prediction import known_costs


class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """A target's prices: the target's name, the port that tells them, and a digest of all that decides what it tells."""

    name: str
    key: str
    cost: Cost


def priced(order: Order, name: str) -> Priced | None:
    """The prices of a target that takes generated C; None for others, whose times must be measured, and for unknown cores."""
    section = order.contract.targets[name]
    target = profile_of(order.project.folder, section)
    if not takes_c(section, target):
        return None
    try:
        known = known_costs(target)
    except UserError:  # nobody has counted samples on this core: the figures stay unknown
        return None
    limit = None if section.ram_kib is None else int(section.ram_kib * 1024)
    cache = PriceCache()

    def cost(graph: Graph) -> dict[str, float]:
        return predict(graph, target, ram_limit_bytes=limit, cache=cache).figures

    return Priced(name=name, key=digest((target, limit, known, kernels_digest())), cost=cost)


def first_priced(order: Order) -> Priced | None:
    """The prices of the contract's first target that has any."""
    return next(filter(None, (priced(order, name) for name in order.contract.targets)), None)
