"""The nets that predictors are fitted to: random chains of layers, seeded, over the operators of every kernel.

No family of the zoo is among them, so that zoo nets test what was fitted. Weights are drawn such that outputs seldom saturate,
as in trained nets; the integer graph is made by the ordinary quantisation on random inputs.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from marram.compress.integers.quantisation import quantise
from marram.core import operators as ops
from marram.core.graph import Graph
from marram.measure.prediction.drafts import (
    Draft,
    attention,
    concatenated,
    conv,
    dense,
    depthwise,
    elementwise,
    gated,
    grown,
    padded,
    pointwise,
    pool,
    residual,
    shifted,
    transposed,
)

_CALIBRATION = 4
USUAL, RARE = 140, 24
"""Samples from seed 0 on are of all kinds; those after them have what is rare among these."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A net to be counted, and the share of the fastest plan's arena that it may have; None where it may have all."""

    graph: Graph
    arena_share: float | None


_IMAGE: tuple[tuple[float, Callable[[Draft], None]], ...] = (
    (0.26, conv),
    (0.20, pointwise),
    (0.26, depthwise),
    (0.10, residual),
    (0.05, pool),
    (0.03, elementwise),
    (0.03, concatenated),
    (0.02, gated),
    (0.02, padded),
    (0.03, grown),
)


def _head(draft: Draft) -> None:
    """From an image to scores."""
    _, height, width, channels = draft.shape
    if height * width * channels > 1024 or draft.chance(0.6):
        draft.add(ops.Mean(axes=(1, 2)), draft.at)
    else:
        draft.add(ops.Reshape(shape=(1, height * width * channels)), draft.at)
    for _ in range(int(draft.rng.integers(1, 3))):
        dense(draft, int(draft.rng.integers(2, 40)))
    if draft.chance(0.5):
        draft.add(ops.Softmax(), draft.at)


def _image_net(seed: int) -> Draft:
    rng = np.random.default_rng([seed, 21])
    height, width = (int(size) for size in rng.integers(6, 40, 2))
    if rng.random() < 0.25:
        height, width = 1, int(rng.integers(20, 200))
    draft = Draft(seed, (1, height, width, int(rng.choice([1, 1, 3, 3, 6, 9, 10, 8, 16]))))
    chances = np.array([share for share, _ in _IMAGE])
    for _ in range(int(draft.rng.integers(6, 15))):
        if min(draft.shape[2], max(draft.shape[1], 3)) < 3:
            break
        _, grow = _IMAGE[int(draft.rng.choice(len(_IMAGE), p=chances / chances.sum()))]
        grow(draft)
    _head(draft)
    return draft


def _vector_net(seed: int) -> Draft:
    rng = np.random.default_rng([seed, 22])
    draft = Draft(seed, (1, int(rng.integers(3, 700))))
    for _ in range(int(draft.rng.integers(4, 10))):
        drawn = [int(draft.rng.integers(1, 20)), 8, 16, 64, 128, int(draft.rng.integers(20, 200))]
        dense(draft, int(draft.rng.choice(drawn)))
    return draft


def _token_net(seed: int) -> Draft:
    rng = np.random.default_rng([seed, 23])
    heads = int(rng.choice([1, 2, 4]))
    draft = Draft(seed, (1, int(rng.integers(6, 40)), heads * int(rng.integers(3, 12))))
    for _ in range(int(draft.rng.integers(1, 3))):
        width = draft.shape[-1]
        gamma = draft.constant(draft.rng.uniform(0.5, 1.5, width))
        draft.add(ops.LayerNorm(), draft.at, gamma, draft.constant(draft.rng.normal(size=width) * 0.1))
        attention(draft, heads)
        dense(draft, int(draft.rng.integers(8, 80)))
        draft.add(ops.Gelu(), draft.at)
        dense(draft, width)
    if draft.chance(0.7):
        draft.add(ops.Mean(axes=(1,)), draft.at)
        dense(draft, int(draft.rng.integers(2, 20)))
    return draft


def _rare_net(seed: int) -> Draft:
    """Layers that the other nets seldom have."""
    rng = np.random.default_rng([seed, 25])
    height, width = (int(size) for size in rng.integers(4, 9, 2))
    if rng.random() < 0.35:
        height, width = 1, int(rng.integers(8, 24))
    draft = Draft(seed, (1, height, width, int(rng.choice([2, 4, 6, 8, 12, 16]))))
    for _ in range(int(draft.rng.integers(5, 9))):
        if draft.shape[1] * draft.shape[2] > 700:
            pool(draft)
        else:
            draft.one_of(transposed, transposed, shifted, shifted, pool, elementwise, padded, concatenated)(draft)
    return draft


def sample(seed: int) -> Sample:
    """The net of a seed, quantised; equal seeds give equal nets."""
    kind = seed % 8
    usual = _vector_net if kind == 6 else _token_net if kind == 7 else _image_net
    draft = (usual if seed < USUAL else _rare_net)(seed)
    rng = np.random.default_rng([seed, 24])
    inputs = rng.normal(size=(_CALIBRATION, *draft.tensors["x"].shape[1:])).astype(np.float32)
    share = float(rng.choice([0.5, 0.7, 0.85])) if rng.random() < 0.35 else None
    return Sample(graph=quantise(draft.graph(f"s{seed}"), inputs), arena_share=share)
