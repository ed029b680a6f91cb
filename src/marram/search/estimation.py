"""Estimation: how good a part of a trained supernet is, without training it.

Its weights are cut out, its batch norms are measured anew, and it answers the validation samples in float. What an
estimate is worth as a ranking is measured in ``benchmarks/supernet_ranking.py``, beside the number of parameters and of MACs.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from marram.core.graph import Array, Graph
from marram.core.recipe import Decision
from marram.search.space import Cutter

_BATCH = 256


class Judge(msgspec.Struct, frozen=True, kw_only=True):
    """What sub-architectures are estimated with.

    Args:
        graph: the trained whole Graph, batch norms not folded.
        calibration: ``(M, ...)`` float32 inputs, which the batch norms are measured on.
        samples: ``(N, ...)`` float32 inputs to answer; never of the test part.
        targets: class indices ``(N,)``; None for models that learn their own input.
    """

    graph: Graph
    calibration: Array
    samples: Array
    targets: Array | None


def part_of(judge: Judge, decisions: Sequence[Decision], cutter: Cutter) -> Graph:
    """The sub-architecture as a float Graph with its part of the weights and batch norms of its own.

    Args:
        judge: the supernet and the samples.
        decisions: of its space.
        cutter: of the judge's Graph.
    """
    from marram.model.training.loop import deterministic
    from marram.search.supernet import recalibrated

    with deterministic(threads=1):
        return recalibrated(cutter.cut(decisions).graph, judge.calibration)


def error_of(judge: Judge, graph: Graph) -> float:
    """The share of samples that a float Graph answers wrongly, or its mean squared error where there are no classes."""
    from marram.model.torch_graph import TorchGraph
    from marram.model.training import predict

    answers = predict(TorchGraph(graph), judge.samples, batch_size=_BATCH, threads=1)
    if judge.targets is None:
        return float(np.square(answers - judge.samples).mean())
    return float((answers.argmax(axis=-1) != judge.targets).mean())
