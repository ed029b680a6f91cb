"""What a target of a contract charges for a Graph, where that can be foretold without running it."""

from __future__ import annotations

import msgspec

from marram._build.order import Order
from marram.compress.material import Cost


class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """A target's prices: the target's name, the port that tells them, and a digest of all that decides what it tells."""

    name: str
    key: str
    cost: Cost


def priced(order: Order, name: str) -> Priced | None:
    """The prices of a target that takes generated C; None for others, whose times must be measured."""
    _ = order, name
    return None


def first_priced(order: Order) -> Priced | None:
    """The prices of the contract's first target that has any."""
    return next(filter(None, (priced(order, name) for name in order.contract.targets)), None)
