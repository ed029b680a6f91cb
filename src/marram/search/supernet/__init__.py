"""A supernet: one set of weights that serves all sub-architectures of a space, so that candidates need no training.

``train_supernet`` gives the whole Graph with such weights; ``estimate`` says how good a sub-architecture is with its part.
"""

from __future__ import annotations

from pathlib import Path

from marram.core.graph import Array, Graph
from marram.core.ports import Progress
from marram.core.recipe import Tuning
from marram.model.training import Examples, Preprocessing
from marram.search.space import Space

__all__ = ["recalibrated", "train_supernet"]


def train_supernet(
    space: Space,
    training: Examples,
    validation: Examples | None,
    tuning: Tuning,
    *,
    classes: bool = True,
    preprocess: Preprocessing | None = None,
    checkpoint: Path | None = None,
    progress: Progress = lambda _what, _part: None,
) -> Graph:
    """Train the whole Graph and, in the same steps, parts of it.

    In each step the whole net learns from the targets; the least one and random ones learn from the whole net's answers.
    Sources: Yu and Huang, Universally Slimmable Networks, ICCV 2019 (sandwich rule, inplace distillation); Cai et al.,
    Once-for-All, ICLR 2020.

    Args:
        space: of a float Graph whose weights are where training begins.
        training: what is learnt from.
        validation: what chooses the best epoch, by the whole net's metric; None: the last.
        tuning: how.
        classes: whether targets are classes; False for models that learn their own input.
        preprocess: stored samples to float32 inputs.
        checkpoint: as for ``model.training.train``.
        progress: told what is being done.

    Returns:
        The space's Graph with other weights. Statistics of its batch norms are the whole net's.
    """
    from marram.search.supernet import sandwich

    return sandwich.train_whole(
        space, training, validation, tuning, classes=classes, preprocess=preprocess, checkpoint=checkpoint, progress=progress
    )


def recalibrated(graph: Graph, inputs: Array) -> Graph:
    """A float Graph whose batch norms have the statistics of these inputs, as ``supernet.statistics`` takes them."""
    from marram.search.supernet import statistics

    return statistics.recalibrated(graph, inputs)
