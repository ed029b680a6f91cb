"""What do a smaller arena and feeding data as it comes cost and save? Instructions on an emulated Cortex-M4.

    python benchmarks/less_memory.py --data ../shared/data [--core cortex-m4] [--vectors 20]

First the arenas of models of images: the default plan, the smallest that layers made row by row reach, and what bands of
columns reach below that, with the share of multiply-accumulates that are made again. Then streams: one push of new rows
beside one whole window of the same model, with state and arena. Every output byte is held against the integer reference
on the core (``--vectors`` inputs or pushes). For MLPerf Tiny's nets the arena of TensorFlow Lite Micro stands beside
ours: quoted, as ``microcontrollers.py`` says. Instructions are not cycles.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import torch
from microcontrollers import QUOTED_ARENA

from marram.compile import device
from marram.compile.c.families import family_of
from marram.compile.c.generation import Generated, generate
from marram.compile.c.streams.generation import generate_stream
from marram.compress import fold, quantise
from marram.core.evidence import Parity
from marram.core.graph import Graph
from marram.core.target import Target
from marram.measure.certificate import certify, reference_answers
from marram.measure.extremes import golden_vectors
from marram.measure.microcontroller import on_core
from marram.measure.streams import certify_stream, flowing
from marram.model import load, zoo

NETS = {"kws": "kws_ref_model", "vww": "vww_96_int8", "ic": "pretrainedResnet_quant"}
# Of the smallest arena without bands, what is then asked for.
SHARES = (0.97, 0.9, 0.75, 0.5)


def published(data: Path, net: str) -> Graph:
    graph = load(data / "mlperf_tiny" / f"{NETS[net]}.tflite")
    assert isinstance(graph, Graph)
    return graph


def untrained(name: str, shape: tuple[int, ...], **options: object) -> Graph:
    """A zoo model of random weights: its cost is that of a trained one."""
    module = zoo.make(name, input_shape=shape, classes=10, seed=1, **options)
    samples = np.random.default_rng(0).standard_normal((32, *shape)).astype(np.float32)
    with torch.no_grad():  # batch norms that have seen data
        for _ in range(5):
            module(torch.from_numpy(samples))
    return quantise(fold(load(module.eval(), example=samples[:1])), samples)


def images(data: Path) -> Iterator[tuple[str, Graph, int | None]]:
    """Models, and the bytes of TensorFlow Lite Micro's arena where they are known."""
    for net in NETS:
        yield net, published(data, net), QUOTED_ARENA[net]
    for size in (64, 96):
        yield f"mobilenet_v2 0.35, {size}x{size}x1", untrained("mobilenet_v2", (size, size, 1), width=0.35), None
    yield "mobilenet_v2 0.35, 96x96x3", untrained("mobilenet_v2", (96, 96, 3), width=0.35), None


def streams(data: Path) -> Iterator[tuple[str, Graph, int]]:
    """Models of windows, and how many rows are new each time."""
    yield "kws, 49x10", published(data, "kws"), 2
    yield "ds_cnn without padding in time, 49x10", untrained("ds_cnn", (49, 10, 1), pad_time=False), 2
    yield "conv1d, 128x6", untrained("conv1d", (128, 6)), 8
    yield "conv1d without padding in time, 128x6", untrained("conv1d", (128, 6), pad_time=False), 8


def differing(parities: tuple[Parity, ...]) -> str:
    wrong, count = sum(parity.differing for parity in parities), parities[0].vectors
    if wrong:
        sys.exit(f"{wrong} bytes differ")
    return f"{wrong} bytes of {count} differ"


def instructions(generated: Generated, target: Target, inputs: list[np.ndarray] | None = None) -> int:
    with tempfile.TemporaryDirectory(prefix="marram-less-") as folder:
        return on_core(generated, target, Path(folder), inputs=inputs).instructions


def again(generated: Generated) -> str:
    """What the plan says of what is made again."""
    found = [match[1] for text in generated.plan.explanation if (match := re.search(r"([\d.]+ %) of all MACs", text))]
    return f", {found[0]} of all MACs made again" if found else ""


def arenas(name: str, graph: Graph, tflm: int | None, target: Target, vectors: int) -> None:
    family = family_of(target)
    default = generate(graph, family, name="net")
    smallest = default.plan.front[-1][0]
    base = instructions(default, target)
    print(f"{name}" + ("" if tflm is None else f" (TensorFlow Lite Micro, quoted: {tflm:,} B)"))
    seen: set[int] = set()
    for what, limit in (("default", None), ("rows", smallest), *(("bands", int(smallest * share)) for share in SHARES)):
        made = default if limit is None else generate(graph, family, name="net", arena_limit_bytes=limit)
        if made.plan.arena_bytes in seen or (what == "bands" and not again(made)):
            continue
        seen.add(made.plan.arena_bytes)
        count = base if made is default else instructions(made, target)
        parity = certify(
            made,
            reference_answers(made, golden_vectors(made.graph, vectors)),
            cores=(target.core,),
            compilers=(),
            on_core=vectors,
        )
        print(
            f"  {what:8} {made.plan.arena_bytes:8,} B {count:12,} instructions {100 * (count / base - 1):+6.1f} %"
            f"{again(made)}; {differing(parity)}",
            flush=True,
        )


def streamed(name: str, graph: Graph, rows: int, target: Target, vectors: int) -> None:
    family = family_of(target)
    window, stream = generate(graph, family, name="net"), generate_stream(graph, family, hop_rows=rows, name="net")
    whole = instructions(window, target)
    push = instructions(stream.driven, target, flowing(stream.streaming))
    parity = certify_stream(stream, cores=(target.core,), compilers=(), pushes=vectors)
    print(
        f"{name}, {rows} new rows: push {push:,} of {whole:,} instructions ({100 * push / whole:.1f} %); "
        f"state {stream.state_bytes:,} + arena {stream.generated.plan.arena_bytes:,} B, window's arena "
        f"{window.plan.arena_bytes:,} B; {differing(parity)}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--core", default="cortex-m4")
    parser.add_argument("--vectors", type=int, default=20)
    chosen = parser.parse_args()
    target = device(chosen.core)
    for name, graph, tflm in images(chosen.data):
        arenas(name, graph, tflm, target, chosen.vectors)
    for name, graph, rows in streams(chosen.data):
        streamed(name, graph, rows, target, chosen.vectors)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
