"""Taylor importance: what the loss would do without a channel, from one pass back over some training examples.

Leaving a channel out takes its share out of every sum that reads it. To first order the loss of a sample moves by activation
times gradient, added up over the channel's places at all those reads; the score is the mean of its absolute value over
samples. Source: Molchanov et al., Pruning Convolutional Neural Networks for Resource Efficient Inference, ICLR 2017.
torch is imported on the first call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from marram.compress.learning.logits import training_form
from marram.compress.material import Material
from marram.compress.structure.groups import Group
from marram.core import operators as ops
from marram.core.graph import Array, Graph, Node, fresh_name, with_nodes
from marram.model.training import TrainingSettings

if TYPE_CHECKING:
    from torch import Tensor

_MOST_SAMPLES = 1024
_BATCH = 64


class _Read(msgspec.Struct, frozen=True):
    """A tensor that a node sums over: its name in the Graph, the name of this read of it, and the axis."""

    tensor: str
    name: str
    axis: int


def taylor(graph: Graph, found: tuple[Group, ...], material: Material) -> dict[str, Array]:
    """Scores as ``importance`` gives them. Batch norms use their running statistics.

    Raises:
        UserError: there are no training examples, or they do not fit the Graph.
    """
    examples = material.to_learn_from("importance by taylor")
    chosen = np.unique(np.linspace(0, len(examples) - 1, min(len(examples), _MOST_SAMPLES)).astype(np.int64))
    form, reads = _with_reads(training_form(graph, classes=material.classes))
    scores = {group.name: np.zeros(group.size) for group in found}
    run = _Backward(form, [read.name for read in reads], classes=material.classes)
    for stored, targets in examples.subset(chosen).batches(_BATCH):
        samples = material.preprocess(stored) if material.preprocess else stored
        products = run.products(np.ascontiguousarray(samples, np.float32), targets)
        for group in found:
            share = np.zeros((len(samples), group.size))
            for read in reads:
                for slot in group.tensors.get(read.tensor, ()):
                    if slot.axis == read.axis and read.name in products:
                        share += _along(products[read.name], read.axis + 1)[:, slot.places].sum(axis=2)
            scores[group.name] += np.abs(share).sum(axis=0)
    return {name: score / len(chosen) for name, score in scores.items()}


def _along(values: Array, axis: int) -> Array:
    """Summed over all axes but the leading one and this: (samples, size) float64."""
    others = tuple(place for place in range(1, values.ndim) if place != axis)
    return np.asarray(values.sum(axis=others, dtype=np.float64))


def _with_reads(graph: Graph) -> tuple[Graph, list[_Read]]:
    """The graph in which everything that is summed over passes a reshape of its own, so that each read has a gradient."""
    nodes: list[Node] = []
    reads: list[_Read] = []
    tensors = dict(graph.tensors)
    for node in graph.nodes:
        source = node.inputs[0] if node.inputs else ""
        axes = _summed(node, len(graph.tensors[source].shape)) if source and source not in graph.constants else ()
        if not axes:
            nodes.append(node)
            continue
        name = fresh_name(tensors, f"{node.name}/read")
        tensors[name] = msgspec.structs.replace(graph.tensors[source], name=name)
        reads += [_Read(source, name, axis) for axis in axes]
        nodes.append(Node(name=name, op=ops.Reshape(shape=graph.tensors[source].shape), inputs=(source,), outputs=(name,)))
        nodes.append(msgspec.structs.replace(node, inputs=(name, *node.inputs[1:])))
    return with_nodes(graph, nodes, tensors=tensors), reads


def _summed(node: Node, rank: int) -> tuple[int, ...]:
    """Axes of its first input that a node sums over. Of a recurrent layer's own state the sums are not looked at."""
    op = node.op
    if isinstance(op, ops.Sum):
        return op.axes
    if isinstance(op, ops.MatMul):
        return (rank - 2 if op.transpose_a else rank - 1,)
    dense = isinstance(op, ops.TransposeConv2D | ops.Dense | ops.Lstm | ops.Gru)
    return (rank - 1,) if dense or (isinstance(op, ops.Conv2D) and op.groups == 1) else ()


class _Backward:
    """The graph in torch, giving activation times gradient of watched tensors for each sample."""

    def __init__(self, graph: Graph, watched: list[str], *, classes: bool) -> None:
        from marram.model.torch_graph import TorchGraph

        self._graph = graph
        self._watched = set(watched)
        self._seen: dict[str, list[Tensor]] = {}
        self._settings = TrainingSettings(task="classification" if classes else "reconstruction")
        self._module = TorchGraph(graph, after_node=self._remember).eval().requires_grad_(requires_grad=False)

    def _remember(self, name: str, value: Tensor) -> Tensor:
        if name not in self._watched:
            return value
        kept = value.clone() if value.requires_grad else value.detach().requires_grad_()
        self._seen.setdefault(name, []).append(kept)
        return kept

    def products(self, samples: Array, targets: Array) -> dict[str, Array]:
        """By watched tensor that the loss depends on: (samples, *its shape) float32."""
        import torch

        from marram.model.training.loop import default_objective, deterministic

        self._seen = {}
        with deterministic(self._settings.threads):
            batch = torch.from_numpy(samples)
            loss = default_objective(self._settings)(self._module, batch, batch, targets) * len(samples)
            flat = [(name, value) for name, values in self._seen.items() for value in values]
            gradients = torch.autograd.grad(loss, [value for _, value in flat], allow_unused=True)
        made: dict[str, list[Array]] = {}
        for (name, value), gradient in zip(flat, gradients, strict=True):
            if gradient is not None:
                made.setdefault(name, []).append((value * gradient).detach().numpy())
        shapes = {name: self._graph.tensors[name].shape for name in made}
        return {name: np.concatenate(parts).reshape(len(samples), *shapes[name]) for name, parts in made.items()}
