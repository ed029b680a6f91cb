"""Pruning: channels and heads go, the least important for what they cost first, until a share of a resource is left.

Each step cuts to a share between, by the importance that channels have then, and trains on. Within a step what a channel saves
is measured anew several times, for it depends on how many of its neighbours are left. Kept counts are rounded up to multiples
of four: kernels of cores with SIMD work on channels by fours and more (the dual 16-bit multiplies of Armv7E-M, unrolled
twice; lanes of Helium), and the rest of a row costs about what four channels do. The share is met all the same: further
channels go elsewhere. Importance is weighed against the root of what a channel saves, which is a compromise: against the saving
itself the few channels of early, costly layers go first, against nothing very many of the late, cheap ones, and which of the
two does less harm differs from net to net. No step takes more than half of a group where the share can be met without:
importance was measured with the others there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import numpy as np

from marram.compress.material import Material
from marram.compress.structure.cutting import narrowed
from marram.compress.structure.groups import Group, groups
from marram.compress.structure.importance import importance, most_important
from marram.core.errors import UserError
from marram.core.graph import Array, Graph
from marram.core.recipe import Prune
from marram.model.counts import counts

_MULTIPLE = 4
_LEAST_PART = 8
"""A group keeps at least an eighth of its channels: a layer of fewer starves what is behind it."""
_ROUNDS = 4
_POWER = 0.5

_Alive = Mapping[str, Array]
"""By group the channels that are left, rising."""


class _Cut(msgspec.Struct, frozen=True, kw_only=True):
    """A Graph that channels are taken out of.

    ``scores`` by group, ``of_loss`` whether they are in units of loss; ``least`` channels of a group stay; what a Graph costs.
    """

    graph: Graph
    found: tuple[Group, ...]
    scores: dict[str, Array]
    of_loss: bool
    least: dict[str, int]
    price: Callable[[Graph], float]

    def made(self, alive: _Alive) -> Graph:
        return narrowed(self.graph, alive, found=self.found)

    def cost(self, alive: _Alive) -> float:
        return self.price(self.made(alive))


class _Job(msgspec.Struct, frozen=True, kw_only=True):
    """What stays the same from step to step: what the whole Graph cost, and how many channels groups keep at least."""

    decision: Prune
    material: Material
    price: Callable[[Graph], float]
    whole: float
    least: dict[str, int]


def prune(graph: Graph, decision: Prune, material: Material, *, retrain: Callable[[Graph], Graph]) -> Graph:
    """A narrower Graph of the same architecture that needs at most ``decision.share`` of a resource.

    Args:
        graph: a float Graph; its batch norms had best not be folded yet.
        decision: the share, of which resource, in how many steps, by which importance.
        material: the cost port for resources other than ``macs``; training examples for importance by ``taylor``.
        retrain: trains a narrowed Graph on; called after each step's cut.

    Raises:
        UserError: the share cannot be reached with an eighth of each group left (says which can), no cost port for the
            resource, a number of steps below 1, or what ``importance`` raises.
    """
    if decision.steps < 1:
        raise UserError(f"steps is {decision.steps}, not 1 or more", where="pruning")
    price = _price(decision, material)
    least = {group.name: _least(group) for group in groups(graph)}
    job = _Job(decision=decision, material=material, price=price, whole=price(graph), least=least)
    for step in range(1, decision.steps + 1):
        material.progress(f"pruning, step {step} of {decision.steps}", (step - 1) / decision.steps)
        goal = job.whole * decision.share ** (step / decision.steps)
        graph = retrain(_cut(graph, goal, job))
    return graph


def _price(decision: Prune, material: Material) -> Callable[[Graph], float]:
    if decision.resource == "macs":
        return lambda graph: float(counts(graph).macs)
    if material.cost is None:
        raise UserError(f"what {decision.resource} costs is not known", where="pruning", hint="Give a target, or prune macs.")
    cost, resource = material.cost, decision.resource
    return lambda graph: float(cost(graph)[resource])


def _multiple(group: Group, count: int) -> int:
    """A count as the kernels like it; heads and the like are taken one by one."""
    return min(group.size, count if group.unit > 1 else -(-count // _MULTIPLE) * _MULTIPLE)


def _least(group: Group) -> int:
    """How many channels stay at least. Of heads and the like two: the axis of one is none, and what it was tied to is free."""
    return min(group.size, 2) if group.unit > 1 else _multiple(group, -(-group.size // _LEAST_PART))


def _cut(graph: Graph, goal: float, job: _Job) -> Graph:
    """The graph with just so many channels less that it costs at most ``goal``."""
    start = job.price(graph)
    if start <= goal:
        return graph
    found = groups(graph)
    scores = importance(graph, found, job.decision.importance, job.material)
    of_loss = job.decision.importance == "taylor"
    cut = _Cut(graph=graph, found=found, scores=scores, of_loss=of_loss, least=job.least, price=job.price)
    alive: _Alive = {group.name: np.arange(group.size) for group in found}
    half = {group.name: max(job.least.get(group.name, 1), _multiple(group, -(-group.size // 2))) for group in found}
    if _narrowest(msgspec.structs.replace(cut, least=half), alive) <= goal:
        cut = msgspec.structs.replace(cut, least=half)
    elif (narrowest := _narrowest(cut, alive)) > goal:
        raise UserError(
            f"a share of {goal / job.whole:.3f} of its {job.decision.resource} cannot be reached",
            where="pruning",
            hint=f"The least that channels alone can make of it is {narrowest / job.whole:.3f}.",
        )
    for part in range(1, _ROUNDS + 1):
        alive = _round(cut, alive, start * (goal / start) ** (part / _ROUNDS))
    return cut.made(_given_back(cut, alive, goal))


def _narrowest(cut: _Cut, alive: _Alive) -> float:
    """The least that a cut can come to."""
    return cut.cost(_kept(cut, alive, [(name, channel) for name, channels in alive.items() for channel in channels.tolist()]))


def _weighed(cut: _Cut, name: str, channels: Array) -> Array:
    """Scores that compare between groups: (channels,). Of others than Taylor's: each channel's part of its group's.

    Norms differ from layer to layer, and a channel of few is worth more than one of many.
    """
    scores = cut.scores[name][channels]
    return scores if cut.of_loss else scores / max(float(scores.sum()), 1e-30)


def _round(cut: _Cut, alive: _Alive, goal: float) -> _Alive:
    """The fewest channels less, in the order of their ranking, that meet a goal."""
    order = _ranking(cut, alive)
    enough, short = len(order), -1
    while enough - short > 1:
        middle = (enough + short) // 2
        if cut.cost(_kept(cut, alive, order[:middle])) <= goal:
            enough = middle
        else:
            short = middle
    return _kept(cut, alive, order[:enough])


def _given_back(cut: _Cut, alive: _Alive, goal: float) -> _Alive:
    """Channels that the goal still has room for come back, first those that matter most for what they cost."""
    while True:
        now, rows = cut.cost(alive), []
        for group in cut.found:
            more = _more(cut, group, alive[group.name])
            if len(more) > len(alive[group.name]):
                cost = cut.cost({**alive, group.name: more})
                score = float(_weighed(cut, group.name, more)[~np.isin(more, alive[group.name])].sum())
                if cost <= goal:
                    rows.append((score / max(cost - now, 1e-12) ** _POWER, group.name, more))
        if not rows:
            return alive
        _, name, more = max(rows, key=lambda row: row[:2])
        alive = {**alive, name: more}


def _more(cut: _Cut, group: Group, channels: Array) -> Array:
    """A kernel's step more channels of a group, or one head: the most important of those that are gone."""
    scores = cut.scores[group.name].copy()
    scores[channels] = np.inf
    return most_important(scores, _multiple(group, len(channels) + 1))


def _kept(cut: _Cut, alive: _Alive, gone: list[tuple[str, int]]) -> _Alive:
    """What is left without some channels, rounded up."""
    fewer = dict.fromkeys(alive, 0)
    for name, _ in gone:
        fewer[name] += 1
    kept = {}
    for group in cut.found:
        channels = alive[group.name]
        count = max(cut.least.get(group.name, 1), _multiple(group, len(channels) - fewer[group.name]))
        kept[group.name] = channels[most_important(cut.scores[group.name][channels], count)]
    return kept


def _ranking(cut: _Cut, alive: _Alive) -> list[tuple[str, int]]:
    """All channels that are left, first those that matter least for what they cost; last those that cost nothing."""
    now = cut.cost(alive)
    rows = []
    for name, channels in alive.items():
        saved = _saved(cut, alive, name, now)
        for channel, score in zip(channels.tolist(), _weighed(cut, name, channels).tolist(), strict=True):
            rows.append((saved <= 0, score / saved**_POWER if saved > 0 else score, name, channel))
    return [(name, channel) for *_, name, channel in sorted(rows)]


def _saved(cut: _Cut, alive: _Alive, name: str, now: float) -> float:
    """What one channel of a group costs: a quarter of the group is taken out, at least so many as a kernel's step."""
    channels = alive[name]
    fewer = min(max(len(channels) // 4, _MULTIPLE), len(channels) - 1)
    if fewer < 1:
        return 0.0
    return (now - cut.cost({**alive, name: channels[: len(channels) - fewer]})) / fewer
