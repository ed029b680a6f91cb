"""Small nets and samples that searches are tried on."""

from __future__ import annotations

import numpy as np

from marram.core.graph import Graph
from marram.model import load, zoo
from marram.model.training import ArrayExamples

CLASSES = 3
SHAPE = (24, 3)


def net(name: str = "conv1d", **options) -> Graph:
    shape = {"conv1d": SHAPE, "resnet8": (12, 12, 3)}[name]
    module = zoo.make(name, input_shape=shape, classes=CLASSES, seed=0, **options)
    return load(module, example=np.zeros((1, *shape), np.float32), name=name)


def samples(count: int, seed: int = 0, shape: tuple[int, ...] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """Noise on a wave whose frequency is the class: easy for a net that looks along time."""
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, CLASSES, count)
    time = np.arange(shape[0])[None, :, None]
    waves = np.sin(time * (0.4 + 0.8 * targets[:, None, None]) + generator.uniform(0, 6, (count, 1, shape[1])))
    return (waves + 0.3 * generator.standard_normal((count, *shape))).astype(np.float32), targets


def examples(count: int, seed: int = 0) -> ArrayExamples:
    return ArrayExamples(*samples(count, seed))
