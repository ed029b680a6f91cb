"""Family ``host``: the reference's bytes for layers of any shape, in the vectors of this machine and in plain C."""

from __future__ import annotations

import platform
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compile.c.arrangements import between, extremes, tensor
from tests.compile.c.hosting import SANITISED, Host, differing, generate_apart
from tests.model.graphs import affine

from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import Generated, generate
from marram.compile.c.kernels.host.flags import compiler_flags
from marram.compile.c.kernels.host.scaling import float_scaling, rounded
from marram.compile.c.requantisation import Requantisation
from marram.core.errors import UserError
from marram.core.graph import Array, Graph, Quantisation
from marram.core.operators import Add, AveragePool2D, Conv2D, Dense, DepthwiseConv2D, Sub
from marram.model.reference.arithmetic import Multiplier, multiply

ACTIVATIONS = ("relu", "none", "relu6", "relu_n1_to_1")
GENERIC = {"x86_64": "-march=x86-64", "aarch64": "-march=armv8-a"}


def machines() -> list[tuple[str, ...]]:
    """Compiler flags: each instruction set that this machine has, and none of them, with sanitisers."""
    generic = (*SANITISED, *[GENERIC[name] for name in (platform.machine(),) if name in GENERIC])
    flags = [generic, ("-O2", "-march=native")]
    described = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    flags += [("-O2", "-march=x86-64-v3")] if " avx2 " in described else []
    flags += [("-O2", "-march=x86-64-v3", "-mavxvnni")] if " avx_vnni " in described else []
    return flags


def weighted(
    rng: random.Random, op: Conv2D | DepthwiseConv2D | Dense, shape: tuple[int, ...], weights: Array, axis: int
) -> Graph:
    """A layer with weights at their ends in part, one scale for each channel, some channels dead."""
    draw = np.random.default_rng(rng.randrange(2**32))
    channels = weights.shape[axis]
    scales = np.float32(0.01 * 2 ** draw.uniform(-2, 2, channels))
    bias = draw.integers(-4000, 4001, channels).astype(np.int32)
    if rng.random() < 0.3:
        dead = rng.randrange(channels)
        np.moveaxis(weights, axis, 0)[dead] = 0
        bias[dead] = rng.choice([2**30, -(2**30), 2**30 + 64])
        scales[dead] *= np.float32(2.0**-15)
    zeros = (0,) * channels
    by_channel = Quantisation(scales=tuple(scales.tolist()), zero_points=zeros, axis=axis)
    bias_scales = Quantisation(scales=tuple((np.float32(0.05) * scales).tolist()), zero_points=zeros, axis=0)
    constants = {
        "w": (tensor("w", weights.shape, by_channel), weights),
        "b": (tensor("b", bias.shape, bias_scales, "int32"), bias),
    }
    x = affine(0.05, rng.choice([-128, 127, 5]))
    out = affine(0.05 * 0.01 * 2.0 ** rng.randint(2, 12), rng.choice([-128, -128, 0, 13]))
    return between(op, [tensor("v0", shape, x)], constants, out)


def window(rng: random.Random, kind: type) -> Graph:
    """A convolution of any geometry."""
    kernel = rng.choice([(1, 1), (1, 1), (3, 3), (3, 3), (2, 5), (10, 4), (1, 3)])
    stride = rng.choice([(1, 1), (1, 1), (2, 2), (1, 2), (3, 1)])
    dilation = rng.choice([(1, 1), (1, 1), (2, 1), (1, 2), (2, 2)]) if stride == (1, 1) else (1, 1)
    padding = tuple(rng.randint(0, k - 1) for k in (kernel[0], kernel[0], kernel[1], kernel[1]))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    height = max(reach[0] - padding[0] - padding[1], 1) + rng.randint(0, 6)
    width = max(reach[1] - padding[2] - padding[3], 1) + rng.randint(0, 20)
    draw = np.random.default_rng(rng.randrange(2**32))
    op = kind(stride=stride, dilation=dilation, padding=padding, activation=rng.choice(ACTIVATIONS))
    if kind is DepthwiseConv2D:
        channels = rng.choice([1, 3, 8, 16, 24, 32, 64, 65, 96, 128])
        weights = draw.integers(-128, 128, (1, *kernel, channels)).astype(np.int8)
        return weighted(rng, op, (1, height, width, channels), weights, 3)
    channels, outputs = rng.choice([1, 2, 3, 4, 7, 16, 40]), rng.choice([1, 3, 8, 12, 16, 17, 32, 33, 48, 64, 80, 130])
    weights = draw.integers(-128, 128, (outputs, *kernel, channels)).astype(np.int8)
    return weighted(rng, op, (1, height, width, channels), weights, 0)


def dense(rng: random.Random) -> Graph:
    rows, depth = rng.choice([1, 1, 1, 5]), rng.choice([1, 3, 8, 17, 64, 130])
    outputs = rng.choice([1, 2, 10, 16, 31, 64, 100, 128, 200])
    weights = np.random.default_rng(rng.randrange(2**32)).integers(-128, 128, (outputs, depth)).astype(np.int8)
    return weighted(rng, Dense(activation=rng.choice(ACTIVATIONS)), (rows, depth), weights, 0)


def pooled(rng: random.Random) -> Graph:
    kernel = rng.choice([(2, 2), (3, 3), (5, 4), (1, 1)])
    padding = tuple(rng.randint(0, k - 1) for k in (kernel[0], kernel[0], kernel[1], kernel[1]))
    op = AveragePool2D(kernel=kernel, stride=rng.choice([(1, 1), (2, 2)]), padding=padding, activation=rng.choice(ACTIVATIONS))
    shape = (1, kernel[0] + rng.randint(0, 4), kernel[1] + rng.randint(0, 4), rng.choice([1, 16, 20, 64, 70, 130]))
    x = affine(0.05, rng.choice([-128, 0, 7]))
    return between(op, [tensor("v0", shape, x)], {}, x)


def summed(rng: random.Random) -> Graph:
    kind = rng.choice([Add, Add, Sub])
    shape = (1, rng.randint(1, 5), rng.randint(1, 9), rng.choice([1, 5, 16, 64]))
    a, b = (
        tensor(f"v{i}", shape, affine(rng.choice([0.05, 0.0437, 0.1, 0.002]), rng.choice([-128, 3, 127]))) for i in range(2)
    )
    return between(kind(activation=rng.choice(ACTIVATIONS)), [a, b], {}, affine(rng.choice([0.05, 0.073, 0.11]), -7))


def drawn(rng: random.Random) -> Graph:
    make = rng.choice(
        [lambda r: window(r, Conv2D)] * 3 + [lambda r: window(r, DepthwiseConv2D)] * 3 + [dense, dense, pooled, summed]
    )
    return make(rng)


def lined_up(made: Generated, seed: int) -> list[Array]:
    """Inputs at the ends of their ranges, for graphs whose first axis may be longer than 1."""
    return [np.repeat(x, made.graph.input_tensors[0].shape[0], axis=0) for x in extremes(made.graph, seed=seed)]


def check(found: list[Generated], folder: Path, flags: tuple[str, ...]) -> None:
    inputs = [lined_up(one, index) for index, one in enumerate(found)]
    outputs = Host(found, folder, flags=flags).run(inputs)
    problems = [differing(one, given, got) for one, given, got in zip(found, inputs, outputs, strict=True)]
    assert not [problem for problem in problems if problem]


def run(count: int, start: int, folder: Path, flags: tuple[str, ...]) -> None:
    rng = random.Random(start)
    found = [generate_apart(drawn(rng), "host", name=f"c{index}") for index in range(count)]
    served = sum("marram_host_" in one.files[f"{one.name}.c"] for one in found)
    assert served > 0.8 * count
    check(found, folder, flags)


@pytest.mark.parametrize("flags", machines(), ids=" ".join)
def test_layers(flags: tuple[str, ...], tmp_path: Path) -> None:
    run(5, 1, tmp_path, flags)


@pytest.mark.soak
@pytest.mark.parametrize("start", range(2, 12))
@pytest.mark.parametrize("flags", machines(), ids=" ".join)
def test_layers_at_length(flags: tuple[str, ...], start: int, tmp_path: Path) -> None:
    run(40, start, tmp_path, flags)


@st.composite
def requantisations(draw: st.DrawFn) -> tuple[Requantisation, Array, Array]:
    """Factors of any size below one, accumulators of any range, both forms of clamp."""
    seed = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, deepest = draw(st.integers(1, 6)), draw(st.integers(0, 14))
    zero = draw(st.sampled_from([-128, 0, 5, 127]))
    low = draw(st.sampled_from([-128, max(zero, -128)]))
    ends = np.sort(seed.integers(-(2**27), 2**27, (2, count)) >> seed.integers(0, 26, count), axis=0)
    multipliers = np.where(seed.integers(0, 4, count) == 0, 2**30, seed.integers(2**30, 2**31, count))
    by = Requantisation(
        bias=np.zeros(count, np.int64),
        multiplier=multipliers,
        shift=-seed.integers(0, deepest + 1, count),
        zero_point=zero,
        low=low,
        high=127,
        reach=np.abs(ends).max(axis=0),
    )
    return by, ends[0], ends[1]


@given(requantisations(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_float_scaling_is_the_integer_one(case: tuple[Requantisation, Array, Array], seed: int) -> None:
    """Where there is a float form, it gives the integer form's outputs for accumulators at the steps, the ends and anywhere."""
    by, least, greatest = case
    found = float_scaling(by, least, greatest)
    if found is None:
        return
    rng = np.random.default_rng(seed)
    for channel in range(len(least)):
        factor = by.multiplier[channel] * 2.0 ** (by.shift[channel] - 31)
        steps = np.round((np.arange(-256, 257) - 0.5) / factor).astype(np.int64)[:, None] + np.arange(-3, 4)
        values = np.concatenate([steps.ravel(), rng.integers(least[channel], greatest[channel] + 1, 2000)])
        values = np.clip(values, least[channel], greatest[channel])
        one = Multiplier(values=by.multiplier[channel], shifts=by.shift[channel])
        wanted = np.clip(multiply(values, one) + by.zero_point, by.low, by.high)
        got = rounded(values, found.factor[channel], found.addend[channel], one_sided=found.one_sided).astype(np.int64)
        for place, correction in zip(found.exceptions[:, channel], found.corrections[:, channel], strict=True):
            got += np.where(values == place, correction, 0)
        got = np.clip(got + (0 if found.one_sided else by.zero_point), by.low, by.high)
        assert (got == wanted).all()


def test_most_layers_have_the_float_form() -> None:
    """It is what makes the family fast: ordinary layers must not fall to the integer form."""
    rng = random.Random(5)
    texts = [generate(window(rng, Conv2D), FAMILIES["host"], name="one").files["one.c"] for _ in range(12)]
    assert sum(".form = -1" in text for text in texts) <= 2


def test_flags_know_two_kinds_of_machine() -> None:
    assert compiler_flags() == ("-O3", "-march=native")
    assert compiler_flags("x86_64") == ("-O3", "-march=x86-64-v3")
    with pytest.raises(UserError, match="riscv64"):
        compiler_flags("riscv64")
