"""A task learnt in a second: windows ``(16, 3)`` of waves, faster and higher up from class to class, and nets for it."""

from __future__ import annotations

import numpy as np

from marram.compress import Material
from marram.core import operators as ops
from marram.core.graph import Graph
from marram.model import zoo
from marram.model.torch_import import read
from marram.model.training import ArrayExamples


def windows(count: int, seed: int, *, speeds: tuple[float, ...] = (0.3, 0.8, 1.5)) -> ArrayExamples:
    random = np.random.default_rng(seed)
    targets = np.arange(count) % len(speeds)
    time = np.arange(16)[None, :, None] + random.uniform(0, 40, (count, 1, 3))
    waves = np.sin(time * np.array(speeds)[targets][:, None, None]) + 0.3 * random.standard_normal((count, 16, 3))
    waves[:, :, 0] += 2 * (targets[:, None] / len(speeds) - 0.5)
    return ArrayExamples(np.int16(1000 * waves), targets)


def preprocess(samples):
    return samples.astype(np.float32) / 1000


def material(**changes) -> Material:
    given = {"training": windows(97, 1), "validation": windows(60, 2), "preprocess": preprocess}
    return Material(calibration=np.zeros((1, 16, 3), np.float32), **(given | changes))


def net(*, seed: int = 0, classes: int = 3, width: float = 0.25, shape: tuple[int, int] = (16, 3)):
    return zoo.make("conv1d", input_shape=shape, classes=classes, seed=seed, width=width)


def graph_of(module, shape: tuple[int, ...] = (16, 3)) -> Graph:
    return read(module.eval(), (np.zeros((1, *shape), np.float32),), name="student")


def student(**options) -> Graph:
    return graph_of(net(**options), options.get("shape", (16, 3)))


def dense_net(sketch, *, softmax: float | None = None, norm: bool = True) -> Graph:
    """Windows flattened, a dense layer, a batch norm, three scores, a softmax of that beta or none."""
    x = sketch.input(1, 16, 3)
    y = sketch(ops.Dense(), sketch(ops.Reshape(shape=(1, 48)), x), sketch.normal(8, 48) / 7, sketch.normal(8))
    if norm:
        y = sketch(ops.BatchNorm(), y, np.ones(8), np.zeros(8), sketch.normal(8), np.ones(8))
    y = sketch(ops.Dense(), sketch(ops.Relu(), y), sketch.normal(3, 8) / 3, np.zeros(3))
    if softmax is not None:
        y = sketch(ops.Softmax(beta=softmax), sketch(ops.Reshape(shape=(1, 1, 1, 3)), y))
        y = sketch(ops.Reshape(shape=(1, 3)), y)
    return sketch.graph(y)


def accuracy(graph: Graph, examples: ArrayExamples) -> float:
    from marram.model.reference import interpret

    ((samples, targets),) = examples.batches(len(examples))
    (scores,) = interpret(graph, preprocess(samples))
    return float((scores.reshape(len(targets), -1).argmax(axis=1) == targets).mean())
