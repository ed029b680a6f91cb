"""``QuantisedGraph``: an integer Graph as a torch module whose values are the reference's. Importing it imports torch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import torch
from torch import Tensor, nn

from marram.compress.learning.logits import final_softmax
from marram.compress.learning.quantised import kernels
from marram.compress.learning.quantised.moment import Moment
from marram.compress.learning.quantised.parameters import Parameters
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.model.batching import keeps_samples_apart
from marram.model.spec import verify
from marram.model.torch_graph import AfterNode
from marram.model.torch_graph.site import Site

_KNOWN = {"int8", "int16", "int32", "int64", "float32"}


class QuantisedGraph(nn.Module):
    """An integer Graph as a torch module: float32 samples in, dequantised outputs out, all integers between the reference's.

    Args:
        integer: legal at the integer stage; where training begins.
        exact: the float Graph that it was quantised from, with the same node names; None: unknown.
        learn_scales: whether step sizes are learnt.
        given: inputs whose quantisation stays.
        weight_bits: of nodes' weights; where a node is not named, channels keep to the bits that hold what they begin with.
        classes: the output is scores of classes: it gets two axes, and while training it is the logits before a final softmax.
        after_node: told the names and real values of inputs and computed tensors; what it gives is not used.

    Raises:
        UserError: the Graph is not legal, or weights that do not fit their bits or the float Graph.
    """

    def __init__(
        self,
        integer: Graph,
        exact: Graph | None = None,
        *,
        learn_scales: bool = True,
        given: Collection[str] = (),
        weight_bits: Mapping[str, int] | None = None,
        classes: bool = False,
        after_node: AfterNode | None = None,
    ) -> None:
        super().__init__()
        verify(integer, "integer")
        for tensor in integer.tensors.values():
            if tensor.dtype not in _KNOWN:
                raise UserError(f"tensor {tensor.name} is {tensor.dtype}; int8 and int16 can be trained through")
        self.parts = Parameters(integer, exact, learn_scales=learn_scales, given=given, weight_bits=weight_bits or {})
        self.after_node = after_node
        self._integer = integer
        self._classes = classes
        self._softmax = final_softmax(integer) if classes else None
        self._together = keeps_samples_apart(integer)
        self._sites = [Site.of(integer, node) for node in integer.nodes]

    def graph(self) -> Graph:
        """The integer Graph as it is now; ``interpret`` of it gives this module's integers."""
        return self.parts.graph()

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The dequantised outputs for ``N`` samples stacked on the leading axis; a tuple if the Graph has several.

        Raises:
            UserError: the inputs do not have the Graph's shapes.
        """
        with torch.autocast("cpu", enabled=False):  # bfloat16 does not hold the integers
            now = self.parts.moment()
            parts = [self._outputs(now, self.values(now, single)) for single in self._parted(inputs)]
        outputs = parts[0] if len(parts) == 1 else tuple(torch.cat(values) for values in zip(*parts, strict=True))
        return outputs[0] if len(outputs) == 1 else outputs

    def values(self, now: Moment, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Every tensor for float32 inputs: integers less their zero point as float32, or reals."""
        values = {name: constant(now.scales[name]) for name, constant in self.parts.integer_constants().items()}
        for name, value in zip(self._integer.inputs, inputs, strict=True):
            values[name] = kernels.entered(value, now, name) if name in now.scales else value
            self._told(now, name, values)
        for site in self._sites:
            for name, value in zip(site.node.outputs, self._results(now, site, values), strict=False):
                values[name] = value
                self._told(now, name, values)
        return values

    def _results(self, now: Moment, site: Site, values: Mapping[str, Tensor]) -> Iterator[Tensor]:
        """What one node gives."""
        node = site.node
        if isinstance(node.op, ops.Dequantise) or self._integer.tensors[node.outputs[0]].dtype != "float32":
            kernel = kernels.INTEGER_KERNELS.get(type(node.op), kernels.by_reference)
            read = node.inputs[:1] if node.name in now.layers else node.inputs
            yield from kernel(site, now, *(values[name] for name in read))
        else:
            yield from self._floats(now, site, values)

    def _floats(self, now: Moment, site: Site, values: Mapping[str, Tensor]) -> Iterator[Tensor]:
        own = {name: self.parts.of_floats(name) for name in site.node.inputs}
        given = [values.get(name) if own[name] is None else own[name] for name in site.node.inputs]
        constants = {name: value.detach().numpy() for name, value in own.items() if value is not None}
        yield from kernels.of_floats(site, now, *given, constants=constants)

    def _outputs(self, now: Moment, values: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        if not self._classes:
            return tuple(_real(now, name, values) for name in self._integer.outputs)
        scores = _real(now, self._integer.outputs[0], values)
        if self._softmax is not None and self.training:
            assert isinstance(self._softmax.op, ops.Softmax)
            scores = self._softmax.op.beta * _real(now, self._softmax.inputs[0], values)
        return (scores.reshape(-1, scores.shape[-1]),)

    def _told(self, now: Moment, name: str, values: Mapping[str, Tensor]) -> None:
        if self.after_node is not None:
            self.after_node(name, _real(now, name, values))

    def _parted(self, inputs: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
        """All samples at once where the Graph keeps them apart, else one by one."""
        declared = [tensor.shape for tensor in self._integer.input_tensors]
        given = [tuple(value.shape) for value in inputs]
        fits = len(given) == len(declared) and all(
            len(a) == len(b) and a[1:] == b[1:] and a[0] % b[0] == 0 for a, b in zip(given, declared, strict=True)
        )
        counts = {a[0] // b[0] for a, b in zip(given, declared, strict=True)} if fits else set()
        if len(counts) != 1 or counts == {0}:
            raise UserError(f"inputs of shapes {given} do not fit {declared}", where=f"graph {self._integer.name}")
        if self._together:
            return [inputs]
        return list(zip(*(value.chunk(counts.pop()) for value in inputs), strict=True))


def _real(now: Moment, name: str, values: Mapping[str, Tensor]) -> Tensor:
    return values[name] * now.scales[name] if name in now.scales else values[name]
