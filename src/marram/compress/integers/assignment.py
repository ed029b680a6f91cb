"""Assignment: which layers' weights get fewer bits, so that all together take a given share of the flash.

Greedy by measured damage for each byte saved, as a knapsack is filled, with the damage measured in the state that has been
reached: it is not additive, and a layer that is harmless alone need not be so beside others. Estimates of an earlier state
only decide what is measured next. At the end decisions that the budget does not need are taken back, the most harmful first,
and each decision is exchanged for the next best ones that save as much where that does less damage.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

import msgspec

from marram.compress.integers.precision import Bench, Score, layers_to_pack
from marram.compress.integers.weight_bytes import weight_bytes
from marram.compress.integers.widths import check_names
from marram.compress.material import Material
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.core.recipe import Quantise, Round, WeightBits

_LEAST = 1e-12


class Lowered(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One decision: the weights that ``nodes`` share go down to ``bits``.

    ``closeness_db`` of the whole graph after it and the ones before, ``lost_db`` what it fell by; ``weight_bytes`` after it;
    ``accuracy`` a share of the validation samples, None without targets.
    """

    nodes: tuple[str, ...]
    bits: int
    weight_bytes: int
    closeness_db: float
    lost_db: float
    accuracy: float | None = None


class Assignment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bits of weights by node, 8 where not named; the bytes of all weights in flash before and after; the decisions in order.

    ``returned`` are decisions that were taken back at the end: the budget is met without them, or with less damage by others.
    """

    weight_bits: dict[str, WeightBits]
    bytes_before: int
    bytes_after: int
    closeness_db_before: float
    closeness_db_after: float
    accuracy_before: float | None
    accuracy_after: float | None
    decisions: tuple[Lowered, ...]
    returned: tuple[tuple[str, ...], ...] = ()

    @property
    def share(self) -> float:
        """The part of the bytes that is left."""
        return self.bytes_after / self.bytes_before


def assign_bits(
    exact: Graph,
    *,
    budget_share: float,
    material: Material,
    bits: tuple[WeightBits, ...] = (4,),
    keep: tuple[str, ...] = (),
    decision: Quantise = Quantise(),  # noqa: B008  # a frozen value
    score: Score | None = None,
    samples: int = 128,
    rounding: Round | None = None,
    size: Callable[[Graph], int] = weight_bytes,
) -> Assignment:
    """The bits of each layer's weights with which all take at most a share of what they take in 8 bits.

    Args:
        exact: a float Graph; it is folded first.
        budget_share: of the bytes of weights, biases and multipliers in flash (``weight_bytes``), above 0.
        material: calibration samples; with validation examples accuracy is told as well.
        bits: that layers may have beside 8, in falling order: (4,) or (4, 2).
        keep: nodes whose weights keep their bits, for instance the first and the last layer.
        decision: how everything else is quantised; weights that have fewer bits in it already are not touched.
        score: higher is better, finite, and never of the test set; None takes the closeness of the outputs.
        samples: how many are used at most.
        rounding: the decision that is to follow the quantisation, if any: layers are then measured as it rounds them, each by
            itself. 2 bits in particular do far less damage so.
        size: bytes of an integer Graph's weights in flash. The default counts plain kernels' (``weight_bytes``); a target whose
            kernels keep more beside the weights says its own.

    Raises:
        UserError: no assignment meets the budget; says how near one comes. Or a name is no node's.
        DataError: there are no samples.
    """
    bench = Bench(exact, material, decision, score=score, samples=samples, size=size, rounding=rounding, bits=bits)
    check_names(keep, [node.name for node in bench.exact.nodes], "keep")
    fixed = {*keep, *decision.weight_bits, *decision.channel_bits}
    layers = [nodes for nodes in layers_to_pack(bench.exact, decision) if not fixed & set(nodes)]
    budget = budget_share * bench.measured({}).weight_bytes
    _need_reachable(bench, layers, bits, budget_share)
    search = _Search(bench, layers, bits, budget)
    search.lower()
    search.give_back()
    search.exchange()
    search.give_back()
    return search.told()


_Move = tuple[tuple[str, ...], WeightBits]
_Bits = dict[str, WeightBits]


def _need_reachable(bench: Bench, layers: list[tuple[str, ...]], bits: tuple[WeightBits, ...], share: float) -> None:
    least: _Bits = {name: min(bits) for nodes in layers for name in nodes}
    before, after = bench.measured({}).weight_bytes, bench.measured(least).weight_bytes
    if after > share * before:
        raise UserError(
            f"weights can take {after / before:.3f} of their bytes in 8 bits at least, not {share:g}",
            where=f"graph {bench.exact.name}, bits {', '.join(map(str, bits))}",
            hint="Allow 2 bits, keep fewer layers at 8, or make the model narrower.",
        )


class _Search:
    """Bits on their way to the budget; ``state`` are those below 8, ``order`` the moves to them."""

    def __init__(self, bench: Bench, layers: list[tuple[str, ...]], bits: tuple[WeightBits, ...], budget: float) -> None:
        self.bench, self.layers, self.budget = bench, layers, budget
        self.ladder = sorted(set(bits) - {8}, reverse=True)
        self.state: _Bits = {}
        self.order: list[_Move] = []
        self.returned: list[tuple[str, ...]] = []

    def _with(self, nodes: tuple[str, ...], few: WeightBits) -> _Bits:
        return {**self.state, **dict.fromkeys(nodes, few)}

    def _without(self, nodes: tuple[str, ...]) -> _Bits:
        return {name: few for name, few in self.state.items() if name not in nodes}

    def _price(self, nodes: tuple[str, ...], few: WeightBits) -> float:
        """Measured damage of a move for each byte that it saves."""
        here, there = self.bench.measured(self.state), self.bench.measured(self._with(nodes, few))
        saved = here.weight_bytes - there.weight_bytes
        return max(there.damage - here.damage, _LEAST) / saved if saved > 0 else float("inf")

    def lower(self) -> None:
        """The cheapest move of each state in turn, until the budget is met; a price of an earlier state is asked for again."""
        queue: list[tuple[float, int, int, int]] = []  # price, layer, rung of the ladder, moves made when it was priced
        for layer, nodes in enumerate(self.layers if self.ladder else ()):
            self.bench.material.progress(f"fewer bits: {nodes[0]} alone", 0.5 * layer / len(self.layers))
            heapq.heappush(queue, (self._price(nodes, self.ladder[0]), layer, 0, 0))
        start = self.bench.measured({}).weight_bytes
        while self.bench.measured(self.state).weight_bytes > self.budget and queue:
            _, layer, rung, age = heapq.heappop(queue)
            nodes, few = self.layers[layer], self.ladder[rung]
            if age < len(self.order):
                heapq.heappush(queue, (self._price(nodes, few), layer, rung, len(self.order)))
                continue
            self.state = self._with(nodes, few)
            self.order.append((nodes, few))
            left = (self.bench.measured(self.state).weight_bytes - self.budget) / max(start - self.budget, 1)
            self.bench.material.progress(f"fewer bits: {nodes[0]}", 1 - 0.5 * min(max(left, 0.0), 1.0))
            if rung + 1 < len(self.ladder):
                heapq.heappush(queue, (self._price(nodes, self.ladder[rung + 1]), layer, rung + 1, len(self.order)))

    def give_back(self) -> None:
        """Layers whose bytes the budget does not need go back to 8 bits, the most harmful first."""
        while True:
            rests = [(nodes, self._without(nodes)) for nodes in dict.fromkeys(nodes for nodes, _ in self.order)]
            found = [(self.bench.measured(rest), nodes, rest) for nodes, rest in rests]
            here = self.bench.measured(self.state).damage
            better = [(one.damage, nodes, rest) for one, nodes, rest in found if one.weight_bytes <= self.budget]
            damage, nodes, rest = min(better, key=lambda each: each[:2], default=(here, (), self.state))
            if damage >= here:
                return
            self._become(rest, (nodes, 8))

    def exchange(self) -> None:
        """One lowered layer after the other goes back; those that are cheapest alone go down for it, where that is better."""
        improved = True
        while improved:
            improved = False
            for nodes in dict.fromkeys(nodes for nodes, _ in self.order):
                state, moves = self._filled(nodes)
                here, there = self.bench.measured(self.state), self.bench.measured(state)
                if there.weight_bytes <= self.budget and there.damage < here.damage:
                    self._become(state, (nodes, 8), *moves)
                    improved = True
                    break

    def _filled(self, gone: tuple[str, ...]) -> tuple[_Bits, list[_Move]]:
        """The state without a layer, and with the cheapest others by their damage alone until the budget is met."""
        state, moves = self._without(gone), list[_Move]()
        plain = self.bench.measured({})
        need = self.bench.measured(state).weight_bytes - self.budget
        others = [(nodes, self.ladder[0]) for nodes in self.layers if nodes != gone and nodes[0] not in state]
        alone = [(self.bench.measured(dict.fromkeys(nodes, few)), nodes, few) for nodes, few in others]
        prices = [
            ((one.damage - plain.damage) / max(plain.weight_bytes - one.weight_bytes, 1), i)
            for i, (one, *_) in enumerate(alone)
        ]
        for _, index in sorted(prices):
            if need <= 0:
                break
            one, nodes, few = alone[index]
            state = {**state, **dict.fromkeys(nodes, few)}
            moves.append((nodes, few))
            need -= plain.weight_bytes - one.weight_bytes
        return state, moves

    def _become(self, state: _Bits, *moves: _Move) -> None:
        """Another state: layers that went back to 8 bits leave the order, others join it."""
        gone = {nodes for nodes, few in moves if few == 8}
        joined = [move for move in moves if move[1] < 8]
        self.order = [move for move in self.order if move[0] not in gone] + joined
        self.returned = [*dict.fromkeys((*self.returned, *gone))]
        self.state = state

    def told(self) -> Assignment:
        """The decisions one after the other, each measured with those before it."""
        bench, reached, decisions = self.bench, _Bits(), list[Lowered]()
        for nodes, few in self.order:
            before = bench.measured(reached)
            reached = {**reached, **dict.fromkeys(nodes, few)}
            after = bench.measured(reached)
            decisions.append(
                Lowered(
                    nodes=nodes,
                    bits=few,
                    weight_bytes=after.weight_bytes,
                    closeness_db=after.closeness_db,
                    lost_db=before.closeness_db - after.closeness_db,
                    accuracy=bench.accuracy(reached),
                )
            )
        first, last = bench.measured({}), bench.measured(self.state)
        return Assignment(
            weight_bits=self.state,
            bytes_before=first.weight_bytes,
            bytes_after=last.weight_bytes,
            closeness_db_before=first.closeness_db,
            closeness_db_after=last.closeness_db,
            accuracy_before=bench.accuracy({}),
            accuracy_after=decisions[-1].accuracy if decisions else bench.accuracy({}),
            decisions=tuple(decisions),
            returned=tuple(nodes for nodes in self.returned if nodes[0] not in self.state),
        )
