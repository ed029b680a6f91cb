"""The supernets of a search: what they begin as, how they are trained, and the samples that their parts are estimated on."""

from __future__ import annotations

import numpy as np

from marram._build.accounting import validation_samples
from marram._build.gathering import Gathered
from marram._build.modelling import ZOO
from marram._build.order import Order
from marram._build.quest import Quest
from marram._build.replaying import material_digest, material_of
from marram.compress.structure.groups import groups
from marram.compress.structure.importance import importance
from marram.compress.structure.ordering import reordered
from marram.core.codec import digest
from marram.core.contract import SearchSection
from marram.core.graph import Graph
from marram.model.files import load
from marram.search.estimation import Judge
from marram.search.space import Space
from marram.search.supernet import train_supernet
from marram.sense import apply, output_shape

_STATISTICS_SAMPLES = 512


def starts(order: Order, gathered: Gathered, section: SearchSection, graph: Graph) -> list[tuple[str, Graph]]:
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


def supernet_of(quest: Quest, name: str, space: Space) -> Graph:
    """A supernet trained: the start's Graph with weights that serve its parts."""
    order, gathered, tuning = quest.order, quest.gathered, quest.tuning(quest.section.epochs)
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


def judge_of(graph: Graph, gathered: Gathered) -> Judge:
    """The samples that parts are estimated on: statistics of the training part, errors of the labelled validation part."""
    count = min(_STATISTICS_SAMPLES, len(gathered.training))
    places = np.linspace(0, len(gathered.training) - 1, count).astype(np.int64)
    ((samples, _),) = gathered.training.subset(places).batches(count)
    validation, targets = validation_samples(gathered, limit=None)
    known = targets >= 0
    return Judge(
        graph=graph, calibration=apply(gathered.preprocess, samples), samples=validation[known], targets=targets[known]
    )
