"""A small integer net, and its C for a family: a convolution, a depthwise one, a mean and two answers."""

from __future__ import annotations

from functools import cache

import numpy as np

from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import Generated, generate
from marram.core.graph import Graph, Node, Quantisation, Tensor
from marram.core.operators import Add, Conv2D, Dense, DepthwiseConv2D, Reshape

FAMILY_OF = {
    "cortex-m0": "armv6m",
    "cortex-m3": "armv7m",
    "cortex-m4": "dsp",
    "cortex-m7": "dsp",
    "cortex-m33": "dsp",
    "cortex-m55": "mve",
}


def scaled(scale: float, zero_point: int = 0) -> Quantisation:
    return Quantisation(scales=(float(np.float32(scale)),), zero_points=(zero_point,))


def net(*, side: int = 6, channels: int = 4) -> Graph:
    random = np.random.default_rng(3)
    tensors: dict[str, Tensor] = {}
    constants: dict[str, np.ndarray] = {}

    def value(name, shape, scale, zero_point):
        tensors[name] = Tensor(name=name, shape=shape, dtype="int8", quantisation=scaled(scale, zero_point))

    def weights(name, shape, outputs, x_scale):
        constants[f"{name}_w"] = random.integers(-127, 128, shape).astype(np.int8)
        constants[f"{name}_b"] = random.integers(-500, 500, outputs).astype(np.int32)
        tensors[f"{name}_w"] = Tensor(name=f"{name}_w", shape=shape, dtype="int8", quantisation=scaled(0.01))
        tensors[f"{name}_b"] = Tensor(name=f"{name}_b", shape=(outputs,), dtype="int32", quantisation=scaled(x_scale * 0.01))

    value("x", (1, side, side, 3), 0.05, -3)
    weights("conv", (channels, 3, 3, 3), channels, 0.05)
    value("a", (1, side, side, channels), 0.2, 5)
    weights("depthwise", (1, 3, 3, channels), channels, 0.2)
    value("b", (1, side, side, channels), 0.3, -7)
    value("c", (1, side, side, channels), 0.4, 1)
    value("flat", (1, side * side * channels), 0.4, 1)
    weights("dense", (5, side * side * channels), 5, 0.4)
    value("y", (1, 5), 0.9, 11)
    same = {"padding": (1, 1, 1, 1)}
    return Graph(
        name="net",
        inputs=("x",),
        outputs=("y",),
        tensors=tensors,
        constants=constants,
        nodes=(
            Node(name="conv", op=Conv2D(**same, activation="relu"), inputs=("x", "conv_w", "conv_b"), outputs=("a",)),
            Node(name="depthwise", op=DepthwiseConv2D(**same), inputs=("a", "depthwise_w", "depthwise_b"), outputs=("b",)),
            Node(name="add", op=Add(), inputs=("a", "b"), outputs=("c",)),
            Node(name="reshape", op=Reshape(shape=(1, side * side * channels)), inputs=("c",), outputs=("flat",)),
            Node(name="dense", op=Dense(), inputs=("flat", "dense_w", "dense_b"), outputs=("y",)),
        ),
    )


@cache
def generated_for(core: str, side: int = 6) -> Generated:
    return generate(net(side=side), FAMILIES[FAMILY_OF[core]], name="net")


@cache
def plain(side: int = 6) -> Generated:
    """In portable C, which is quick to compile."""
    return generate(net(side=side), FAMILIES["portable"], name="net")


def spoilt(generated: Generated, statements: str) -> Generated:
    """The same model with statements at the beginning of its invoke."""
    import msgspec

    name = f"{generated.name}.c"
    head = f"marram_status {generated.name}_invoke(void *arena, size_t arena_bytes)\n{{"
    assert head in generated.files[name]
    text = generated.files[name].replace(head, f"{head}\n{statements}")
    return msgspec.structs.replace(generated, files={**generated.files, name: text})
