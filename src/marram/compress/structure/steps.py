"""Steps of replay that change a Graph's architecture."""

from __future__ import annotations

import msgspec

from marram.compress.learning.fine_tuning import fine_tune
from marram.compress.material import Material, Standing
from marram.compress.structure.cutting import narrowed
from marram.compress.structure.downsampling import downsampled
from marram.compress.structure.importance import narrowest
from marram.compress.structure.kernels import cropped
from marram.compress.structure.pruning import prune
from marram.compress.structure.skipping import skipped
from marram.core.graph import Graph
from marram.core.recipe import Crop, Downsample, Narrow, Prune, Skip


def narrow(standing: Standing, decision: Narrow, material: Material) -> Standing:
    """The most important channels of each named group stay."""
    keep = narrowest(standing.exact, decision.keep, decision.importance, material)
    return _with(standing, narrowed(standing.exact, keep))


def skip(standing: Standing, decision: Skip, _material: Material) -> Standing:
    """Named spans are left out."""
    return _with(standing, skipped(standing.exact, decision.spans))


def crop(standing: Standing, decision: Crop, _material: Material) -> Standing:
    """Kernels are cut to their middle."""
    return _with(standing, cropped(standing.exact, decision.kernels))


def downsample(standing: Standing, decision: Downsample, _material: Material) -> Standing:
    """The input is averaged first."""
    return _with(standing, downsampled(standing.exact, decision.factor))


def pruned(standing: Standing, decision: Prune, material: Material) -> Standing:
    """Channels go and weights are trained on, in turn."""

    def retrain(graph: Graph) -> Graph:
        return fine_tune(
            graph,
            original=standing.original,
            tuning=decision.tuning,
            distillation=decision.distillation,
            material=material,
        )

    return _with(standing, prune(standing.exact, decision, material, retrain=retrain))


def _with(standing: Standing, graph: Graph) -> Standing:
    return msgspec.structs.replace(standing, exact=graph)
