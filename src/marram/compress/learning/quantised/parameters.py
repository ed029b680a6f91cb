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
from marram.core.graph import Tensor as GraphTensor
from marram.model.reference.site import Kernel
from marram.model.spec import RULES

_STATISTICS: dict[type, tuple[int, ...]] = {ops.BatchNorm: (3, 4)}


class _Scales(msgspec.Struct, frozen=True, kw_only=True):
    """Step sizes with gradients: of the groups ``(n,)``, of the weights by tensor ``(C,)`` or ``(1,)``."""

    groups: Tensor
    weights: dict[str, Tensor]


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
        self._learn_scales = learn_scales
        self._kernels: dict[object, Kernel] = {}
        self._layers = [node for node in integer.nodes if is_layer(integer, node)]
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
        for name in self._by_tensor(starts):
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

    def _by_tensor(self, values: Array) -> dict[str, float]:
        """The scale of every activation, from those of the groups."""
        found = zip(self._groups, values.tolist(), strict=True)
        return {name: scale for group, scale in found for name in group.tensors}

    def _scales(self) -> _Scales:
        """The step sizes with gradients; first those are moved that no kernel could follow."""
        scales = self._scales_as_they_are()
        if not self._learn_scales:
            return scales
        before = _numbers(scales.groups)
        layers = {name: _numbers(steps) for name, steps in scales.weights.items()}
        after, moved = legal(self._rules, before, layers, learnt=self._learnt.tolist())
        changed = [name for name in layers if moved[name] is not layers[name]]
        if not changed and np.array_equal(after, before):
            return scales
        self.steps.move(after)
        for name in changed:
            self.of_weights(name).steps.move(moved[name])
        return self._scales_as_they_are()

    def _scales_as_they_are(self) -> _Scales:
        names = dict.fromkeys(node.inputs[1] for node in self._layers)
        return _Scales(groups=self.steps(), weights={name: self.of_weights(name).steps() for name in names})

    def moment(self) -> Moment:
        """All integers and scales, with gradients."""
        found = self._scales()
        unbound = found.groups.unbind()
        scales = {name: scale for group, scale in zip(self._groups, unbound, strict=True) for name in group.tensors}
        layers = {}
        for node in self._layers:
            name, bias = node.inputs[1], bias_of(node)
            steps = found.weights[name]
            shift = self.biases[self._keys[bias]](scales[node.inputs[0]].double() * steps.double()) if bias else None
            layers[node.name] = Layer(codes=self.of_weights(name)(steps), scales=steps, bias=shift)
        return Moment(tensors=self._tensors(found), scales=scales, layers=layers, kernels=self._kernels)

    def _tensors(self, found: _Scales) -> dict[str, GraphTensor]:
        """The Graph's tensors, activations and weights with these scales."""
        scales = {name: (scale,) for name, scale in self._by_tensor(_numbers(found.groups)).items()}
        weights = {name: tuple(_numbers(steps).tolist()) for name, steps in found.weights.items()}
        tensors = dict(self.integer.tensors)
        for name, given in {**scales, **weights}.items():
            quantisation = msgspec.structs.replace(_quantisation(self.integer, name), scales=given)
            tensors[name] = msgspec.structs.replace(tensors[name], quantisation=quantisation)
        return tensors

    def graph(self) -> Graph:
        """The integer Graph with the integers and scales as they are."""
        with torch.no_grad():
            now = self.moment()
            tensors, constants = dict(now.tensors), dict[str, Array]()
            for node in self._layers:
                layer, bias = now.layers[node.name], bias_of(node)
                constants[node.inputs[1]] = layer.codes.numpy().astype(np.int8)
                if bias:
                    assert layer.bias is not None
                    constants[bias] = layer.bias.numpy().astype(self.integer.constants[bias].dtype)
                    scales = bias_scales(now.quantisation(node.inputs[0]).scale, now.quantisation(node.inputs[1]))
                    tensors[bias] = msgspec.structs.replace(tensors[bias], quantisation=scales)
            for name, constant in self.integer_constants().items():
                codes = constant(now.scales[name]).numpy() + now.zero_point(name)
                constants[name] = codes.astype(self.integer.constants[name].dtype)
            for name in self.integer.constants:
                value = self.of_floats(name)
                if value is not None:
                    constants[name] = value.numpy().copy()
        return with_nodes(self.integer, self.integer.nodes, tensors=tensors, constants=constants)


def _numbers(values: Tensor) -> Array:
    """The values as float64."""
    return np.asarray(values.detach().numpy(), np.float64)


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
