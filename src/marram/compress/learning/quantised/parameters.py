"""All that is learnt of an integer Graph, and the integers and scales that it stands for now. Importing it imports torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from marram.compress.integers.grid import bias_scales
from marram.compress.learning.quantised.legality import legal, rules
from marram.compress.learning.quantised.moment import Layer, Moment
from marram.compress.learning.quantised.straight import gradient_scale
from marram.compress.learning.quantised.ties import groups
from marram.compress.learning.quantised.weights import Bias, Constant, StepSizes, Weights
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Array, Graph, Node, Quantisation, with_nodes
from marram.model.reference.site import Kernel
from marram.model.spec import RULES

_STATISTICS = {ops.BatchNorm: (3, 4)}


class Parameters(nn.Module):
    """Reals behind weights and biases, step sizes, constants of float islands; ``moment`` and ``graph`` say what they make.

    Args:
        integer: where training begins.
        exact: the float Graph that it was quantised from, with the same node names; None: unknown.
        learn_scales: whether step sizes are learnt.
        given: inputs whose quantisation stays.
        weight_bits: of nodes' weights.

    Raises:
        UserError: weights that do not fit their bits or the float Graph.
    """

    def __init__(
        self,
        integer: Graph,
        exact: Graph | None,
        *,
        learn_scales: bool,
        given: Collection[str],
        weight_bits: Mapping[str, int],
    ) -> None:
        super().__init__()
        self.integer = integer
        self._kernels: dict[object, Kernel] = {}
        self._groups = groups(integer, given=given)
        self._rules = rules(integer, self._groups)
        self._learnt = np.array([group.learnt and learn_scales for group in self._groups])
        starts = np.array([group.quantisation.scale for group in self._groups])
        tame = np.array([gradient_scale(group.size, group.greatest) for group in self._groups])
        self.steps = StepSizes(starts, tame, self._learnt)
        # torch takes no dots in names
        self._keys = {name: f"{i}_{name.replace('.', '_')}" for i, name in enumerate(integer.constants)}
        self.weights, self.biases, self.constants = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        self.floats = nn.ParameterDict()
        reals = {} if exact is None else _reals(exact, integer)
        for node in integer.nodes:
            if is_layer(integer, node):
                self._add_layer(node, reals, weight_bits.get(node.name), learn=learn_scales)
            elif integer.tensors[node.outputs[0]].dtype == "float32":
                self._add_floats(node)
        for name in self._by_tensor():
            if name in integer.constants:
                self.constants[self._keys[name]] = Constant(integer.constants[name], _quantisation(integer, name))

    def _add_layer(self, node: Node, reals: Mapping[str, Array], bits: int | None, *, learn: bool) -> None:
        weights, bias = node.inputs[1], bias_of(node)
        if self._keys[weights] not in self.weights:
            codes, quantisation = self.integer.constants[weights], _quantisation(self.integer, weights)
            self.weights[self._keys[weights]] = Weights(codes, quantisation, reals.get(weights), bits=bits, learn=learn)
        if bias and self._keys[bias] not in self.biases:
            scale = _quantisation(self.integer, node.inputs[0]).scale * self.of_weights(weights).steps().detach().double()
            self.biases[self._keys[bias]] = Bias(self.integer.constants[bias], scale)

    def _add_floats(self, node: Node) -> None:
        """Parameters of a float island; statistics of batch norms and constants of arithmetic stay."""
        statistics = _STATISTICS.get(type(node.op), ())
        for position, name in enumerate(node.inputs):
            if name in self.integer.constants and self._keys[name] not in self.floats:
                value = torch.from_numpy(np.array(self.integer.constants[name]))
                learnt = position in RULES[type(node.op)].constants and position not in statistics
                self.floats[self._keys[name]] = nn.Parameter(value, requires_grad=learnt)

    def of_weights(self, name: str) -> Weights:
        """The reals behind a tensor of weights."""
        found = self.weights[self._keys[name]]
        assert isinstance(found, Weights)
        return found

    def of_floats(self, name: str) -> Tensor | None:
        """A constant of a float island; None where the name is none's."""
        key = self._keys.get(name)
        return self.floats[key] if key is not None and key in self.floats else None

    def integer_constants(self) -> dict[str, Constant]:
        """Constants that stand among integer activations, by name."""
        found = {name: self.constants[key] for name, key in self._keys.items() if key in self.constants}
        return {name: constant for name, constant in found.items() if isinstance(constant, Constant)}

    def _layers(self) -> list[Node]:
        return [node for node in self.integer.nodes if is_layer(self.integer, node)]

    def _by_tensor(self) -> dict[str, float]:
        """The scale of every activation."""
        values = self.steps.values()
        return {name: float(value) for group, value in zip(self._groups, values, strict=True) for name in group.tensors}

    def make_legal(self) -> None:
        """Move learnt step sizes to the nearest that kernels can follow; does nothing where they are so."""
        if not self.steps.logarithms.requires_grad and not any(
            weights.steps.logarithms.requires_grad for weights in self.weights.children() if isinstance(weights, Weights)
        ):
            return
        names = dict.fromkeys(node.inputs[1] for node in self._layers())
        before = self.steps.values()
        layers = {name: self.of_weights(name).steps.values() for name in names}
        after, moved = legal(self._rules, before, layers, learnt=self._learnt.tolist())
        if not np.array_equal(after, before):
            self.steps.move(after)
        for name in names:
            if moved[name] is not layers[name]:
                self.of_weights(name).steps.move(moved[name])

    def moment(self) -> Moment:
        """All integers and scales, with gradients."""
        self.make_legal()
        unbound = self.steps().unbind()
        scales = {name: scale for group, scale in zip(self._groups, unbound, strict=True) for name in group.tensors}
        layers = {}
        for node in self._layers():
            weights, bias = self.of_weights(node.inputs[1]), bias_of(node)
            steps = weights.steps()
            product = scales[node.inputs[0]].double() * steps.double()
            shift = self.biases[self._keys[bias]](product) if bias else None
            layers[node.name] = Layer(codes=weights(steps), scales=steps, bias=shift)
        quantisations = self._quantisations()
        tensors = {
            name: msgspec.structs.replace(tensor, quantisation=quantisations.get(name))
            for name, tensor in self.integer.tensors.items()
        }
        return Moment(tensors=tensors, scales=scales, layers=layers, kernels=self._kernels)

    def _quantisations(self) -> dict[str, Quantisation]:
        """The quantisation of every integer tensor."""
        found = {}
        for name, scale in self._by_tensor().items():
            found[name] = msgspec.structs.replace(_quantisation(self.integer, name), scales=(scale,))
        for node in self._layers():
            weights, bias = node.inputs[1], bias_of(node)
            scales = tuple(self.of_weights(weights).steps.values().tolist())
            found[weights] = msgspec.structs.replace(_quantisation(self.integer, weights), scales=scales)
            if bias:
                found[bias] = bias_scales(found[node.inputs[0]].scale, found[weights])
        return found

    def graph(self) -> Graph:
        """The integer Graph with the integers and scales as they are."""
        with torch.no_grad():
            now = self.moment()
            constants: dict[str, Array] = {}
            for node in self._layers():
                layer, bias = now.layers[node.name], bias_of(node)
                constants[node.inputs[1]] = layer.codes.numpy().astype(np.int8)
                if bias:
                    assert layer.bias is not None
                    constants[bias] = layer.bias.numpy().astype(self.integer.constants[bias].dtype)
            for name, constant in self.integer_constants().items():
                codes = constant(now.scales[name]).numpy() + now.zero_point(name)
                constants[name] = codes.astype(self.integer.constants[name].dtype)
            for name in self.integer.constants:
                value = self.of_floats(name)
                if value is not None:
                    constants[name] = value.numpy().copy()
        return with_nodes(self.integer, self.integer.nodes, tensors=now.tensors, constants=constants)


def is_layer(graph: Graph, node: Node) -> bool:
    """Whether a node has integer weights."""
    return RULES[type(node.op)].weights is not None and graph.tensors[node.outputs[0]].dtype != "float32"


def bias_of(node: Node) -> str:
    """The name of a layer's bias, empty without one."""
    return node.inputs[2] if len(node.inputs) > 2 else ""


def _quantisation(graph: Graph, name: str) -> Quantisation:
    found = graph.tensors[name].quantisation
    assert found is not None
    return found


def _reals(exact: Graph, integer: Graph) -> dict[str, Array]:
    """The float weights by the names of the integer ones, where both graphs have the node."""
    nodes = {node.name: node for node in exact.nodes}
    found: dict[str, Array] = {}
    for node in integer.nodes:
        if not is_layer(integer, node) or node.name not in nodes:
            continue
        value = exact.constants[nodes[node.name].inputs[1]]
        shape = integer.constants[node.inputs[1]].shape
        if value.shape != shape:
            raise UserError(
                f"has weights of shape {value.shape} in the float graph and of {shape} in the integer one",
                where=f"node {node.name}",
                hint="Give the float graph that was quantised.",
            )
        found.setdefault(node.inputs[1], value)
    return found
