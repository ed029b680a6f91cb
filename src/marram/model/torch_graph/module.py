"""``TorchGraph``: the module, its weights under the Graph's names, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import torch
from torch import Tensor, nn

from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Array, Graph, Node, fresh_name, with_nodes
from marram.model.batching import keeps_samples_apart
from marram.model.spec import RULES, verify
from marram.model.torch_graph.site import Site
from marram.model.torch_graph.table import KERNELS

AfterNode = Callable[[str, Tensor], Tensor]
"""Called with a tensor's name and value; what it gives takes the value's place. Fake quantisation goes in here."""

_STATISTICS: dict[type, tuple[int, ...]] = {ops.BatchNorm: (3, 4)}
"""Positions of constants that batches update, not gradients."""


class TorchGraph(nn.Module):
    """A float Graph as a torch module. It takes and gives what the Graph does, channels last, with any number of samples.

    Weights, biases, gammas and betas of the operators are parameters; statistics of batch norms and constants of arithmetic
    are buffers. In training mode a BatchNorm uses the statistics of the batch and moves its running ones (momentum 0.1).

    Args:
        graph: legal at the float stage.
        after_node: applied to the inputs, to every constant that is read and to every computed tensor, by name.
        trainable: further float constants that become parameters, such as a learnt position that an Add reads.

    Raises:
        UserError: the Graph is not legal at the float stage, or a name in ``trainable`` is none of its constants.
    """

    def __init__(self, graph: Graph, *, after_node: AfterNode | None = None, trainable: Collection[str] = ()) -> None:
        super().__init__()
        verify(graph, "float")
        unknown = sorted(set(trainable) - set(graph.constants))
        if unknown:
            raise UserError(f"{unknown[0]!r} is no constant", where=f"graph {graph.name}")
        self.graph = graph
        self.after_node = after_node
        self._together = keeps_samples_apart(graph)
        self._sites = tuple(Site.of(graph, node) for node in graph.nodes)
        self._attributes: dict[str, str] = {}
        parameters = {*_learnt(graph), *trainable}
        for name, value in graph.constants.items():
            # torch takes no dots in the names of parameters, and no names that the module has already
            attribute = fresh_name(dict.fromkeys(dir(self)), name.replace(".", "/"))
            self._attributes[name] = attribute
            tensor = torch.from_numpy(np.array(value))
            if name in parameters and value.dtype == np.float32:
                self.register_parameter(attribute, nn.Parameter(tensor))
            else:
                self.register_buffer(attribute, tensor)

    def weights(self) -> dict[str, Tensor]:
        """The current value of every constant by its name in the Graph; those that are learnt are parameters."""
        return {name: getattr(self, attribute) for name, attribute in self._attributes.items()}

    def attributes(self) -> dict[str, str]:
        """By the name of each constant in the Graph the name of the parameter or buffer that holds it."""
        return dict(self._attributes)

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The Graph's outputs for ``N`` samples stacked on the leading axis; a tuple if the Graph has several.

        Raises:
            UserError: the inputs are not as many as the Graph's or do not have their shapes.
        """
        samples = self._samples(inputs)
        weights = {name: self._passed(name, value) for name, value in self.weights().items()}
        if self._together or samples == 1:
            outputs = self._run(inputs, weights)
        else:
            singles = zip(*(value.chunk(samples) for value in inputs), strict=True)
            parts = [self._run(single, weights) for single in singles]
            outputs = tuple(torch.cat(values) for values in zip(*parts, strict=True))
        return outputs[0] if len(outputs) == 1 else outputs

    def _run(self, inputs: tuple[Tensor, ...], weights: dict[str, Tensor]) -> tuple[Tensor, ...]:
        values: dict[str, Tensor | None] = {"": None, **weights}
        for name, value in zip(self.graph.inputs, inputs, strict=True):
            values[name] = self._passed(name, value)
        for site in self._sites:
            arguments = [values[name] for name in site.node.inputs]
            results = KERNELS[type(site.node.op)](site, *arguments, training=self.training)
            for name, value in zip(site.node.outputs, results, strict=False):
                values[name] = self._passed(name, value)
        outputs = tuple(values[name] for name in self.graph.outputs)
        return tuple(value for value in outputs if value is not None)

    def _passed(self, name: str, value: Tensor) -> Tensor:
        return value if self.after_node is None else self.after_node(name, value)

    def _samples(self, inputs: tuple[Tensor, ...]) -> int:
        """How many samples the inputs hold."""
        declared = [tensor.shape for tensor in self.graph.input_tensors]
        given = [tuple(value.shape) for value in inputs]
        fits = len(given) == len(declared) and all(
            len(a) == len(b) and a[1:] == b[1:] and a[0] % b[0] == 0 for a, b in zip(given, declared, strict=True)
        )
        counts = {a[0] // b[0] for a, b in zip(given, declared, strict=True)} if fits else set()
        if len(counts) != 1 or counts == {0}:
            raise UserError(
                f"inputs of shapes {given} do not fit {declared}",
                where=f"graph {self.graph.name}",
                hint="The leading axis is the batch and may be any multiple.",
            )
        return counts.pop()


def trained_graph(module: TorchGraph) -> Graph:
    """The module's Graph with the constants as they are now."""
    constants: dict[str, Array] = {name: value.detach().cpu().numpy().copy() for name, value in module.weights().items()}
    return with_nodes(module.graph, module.graph.nodes, constants=constants)


def _learnt(graph: Graph) -> set[str]:
    """Constants that stand where operators have their weights."""
    return {name for node in graph.nodes for name in _weights_of(node) if name in graph.constants}


def _weights_of(node: Node) -> list[str]:
    kept = set(RULES[type(node.op)].constants) - set(_STATISTICS.get(type(node.op), ()))
    return [name for position, name in enumerate(node.inputs) if position in kept and name]
