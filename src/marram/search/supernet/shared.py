"""Shared weights: a torch module of the whole Graph, of which any sub-architecture can be run with its part of the weights."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import torch
from torch import Tensor, nn
from torch.func import functional_call

from marram.compress.learning.logits import training_form
from marram.core.codec import encode
from marram.core.recipe import Decision
from marram.model.torch_graph import TorchGraph
from marram.search.space import Cutter

_REMEMBERED = 512


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part ready to run: its module, and for each of its weights the whole one's name and what is taken of it."""

    module: TorchGraph
    taken: tuple[tuple[str, str, tuple[tuple[int, Tensor], ...]], ...]


class SharedWeights(nn.Module):
    """The whole Graph of a space as a module; ``run`` executes a part of it with gradients into the shared weights."""

    def __init__(self, cutter: Cutter, *, classes: bool) -> None:
        super().__init__()
        self.cutter, self.classes = cutter, classes
        self.whole = TorchGraph(training_form(cutter.graph, classes=classes))
        self._parts: dict[bytes, _Part] = {}

    def forward(self, batch: Tensor) -> Tensor:
        """The whole net's output."""
        output: Tensor = self.whole(batch)
        return output

    def run(self, decisions: Sequence[Decision], batch: Tensor) -> Tensor:
        """The output of the part that decisions of the space make, in the mode (training or not) that this is in."""
        part = self._part(decisions)
        part.module.train(self.training)
        shared = self.whole.weights()
        weights = {}
        for attribute, name, cut in part.taken:
            value = shared[name]
            for axis, indices in cut:
                value = value.index_select(axis, indices)
            weights[attribute] = value
        output: Tensor = functional_call(part.module, weights, (batch,))
        return output

    def _part(self, decisions: Sequence[Decision]) -> _Part:
        key = encode(list(decisions))
        if key not in self._parts:
            if len(self._parts) >= _REMEMBERED:
                self._parts.clear()
            self._parts[key] = self._made(decisions)
        return self._parts[key]

    def _made(self, decisions: Sequence[Decision]) -> _Part:
        found = self.cutter.cut(decisions)
        module = TorchGraph(training_form(found.graph, classes=self.classes))
        for parameter in module.parameters():
            parameter.requires_grad_(False)  # never used: the shared weights stand in its place
        cuts = {name: tuple((axis, torch.from_numpy(indices)) for axis, indices in cut) for name, cut in found.cuts.items()}
        attributes = module.attributes()
        taken = tuple(
            (attribute, name, cuts.get(name, ()))
            for name, attribute in attributes.items()
            if name in self.cutter.graph.constants
        )
        return _Part(module=module, taken=taken)
