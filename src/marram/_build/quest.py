"""What all steps of a search share, and what it has in the end."""

from __future__ import annotations

import msgspec

from marram._build.gathering import Gathered
from marram._build.order import Order
from marram.core.contract import SearchSection
from marram.core.graph import Graph
from marram.core.recipe import Tuning
from marram.search.choosing import Assessed
from marram.search.finishing import Finished
from marram.search.front import pareto_front
from marram.search.infeasibility import Infeasible
from marram.search.pricing import Device


class Quest(msgspec.Struct, frozen=True, kw_only=True):
    """What all steps of one search share."""

    order: Order
    gathered: Gathered
    section: SearchSection
    devices: tuple[Device, ...]

    def tuning(self, epochs: int, share: float = 1.0) -> Tuning:
        """Training inside the search: as the contract trains, for so many epochs, at a share of the learning rate."""
        training, section = self.order.contract.training, self.section
        return Tuning(
            epochs=epochs,
            batch_size=training.batch_size,
            learning_rate=share * (section.learning_rate or training.learning_rate),
            weight_decay=training.weight_decay,
            label_smoothing=training.label_smoothing,
            augmentation=training.augmentation,
            precision=training.precision,
            threads=training.threads,
            seed=section.seed,
        )


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
        points = [(self.assessed[number].prices[target][cost], self.finished[number].integer_error) for number in known]
        return tuple(known[place] for place in sorted(pareto_front(points), key=points.__getitem__, reverse=True))

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
