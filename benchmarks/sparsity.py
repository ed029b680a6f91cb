"""What are zeros among the weights worth? Instructions on an emulated Cortex-M4, latency of ONNX Runtime here, compressed size.

    python benchmarks/sparsity.py --data ../shared/data [--calls 1000]

The net is MLPerf Tiny's published int8 ResNet-8 with its trained weights. Of every layer's weights the smallest 0, 50 and 75 %
are set to zero, or two of every four along the input channels; accuracy is not looked at. Each form becomes C for a
Cortex-M4 (instructions of one inference are exact, and the same each time), an ONNX file in QDQ form and in float32 for ONNX
Runtime on one thread (medians of interleaved calls), and bytes: the int8 weights as they are and under zstd 19.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import zstandard

from marram.compile import build, device
from marram.compile.c.families import family_of
from marram.compile.c.generation import generate
from marram.compress.structure.sparsity import sparsify, sparsify_blocks, zero_share
from marram.core.graph import Graph
from marram.core.program import Program
from marram.measure import Subject, latency_figures, time_calls
from marram.measure.microcontroller import on_core
from marram.model import load
from marram.runtime.backends import runner

NETS = {"int8": "pretrainedResnet_quant.tflite", "float32": "pretrainedResnet.tflite"}


def forms(graph: Graph) -> dict[str, Graph]:
    return {
        "dense": graph,
        "50 %": sparsify(graph, 0.5),
        "75 %": sparsify(graph, 0.75),
        "2 of 4": sparsify_blocks(graph),
    }


def instructions(graph: Graph) -> int:
    target = device("cortex-m4")
    generated = generate(graph, family_of(target), name="net")
    with tempfile.TemporaryDirectory(prefix="marram-sparsity-") as folder:
        return on_core(generated, target, Path(folder)).instructions


def medians(programs: list[Program], calls: int) -> list[tuple[float, float, float]]:
    """Median call in microseconds with its bootstrap interval, all programs against each other."""
    random = np.random.default_rng(0)
    sessions = [runner(program.runtime).open(program, threads=1) for program in programs]
    subjects = []
    for session, program in zip(sessions, programs, strict=True):
        (source,) = program.inputs
        values = (
            random.integers(-128, 128, (8, *source.shape)) if source.dtype == "int8" else random.normal(size=(8, *source.shape))
        )
        subjects.append(Subject(session=session, inputs=tuple((value.astype(source.dtype),) for value in values)))
    try:
        latencies = time_calls(subjects, seed=0, calls=calls, time_limit_s=120)
    finally:
        for session in sessions:
            session.close()
    figures = [latency_figures(latency, seed=0)[0] for latency in latencies]
    return [(float(figure.value or 0), float(figure.low or 0), float(figure.high or 0)) for figure in figures]


def sizes(graph: Graph) -> tuple[int, int]:
    """Bytes of all constants, as they are and compressed."""
    blob = b"".join(np.ascontiguousarray(value).tobytes() for value in graph.constants.values())
    return len(blob), len(zstandard.ZstdCompressor(level=19).compress(blob))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with mlperf_tiny")
    parser.add_argument("--calls", type=int, default=1000)
    arguments = parser.parse_args()
    nets = {}
    for precision, file in NETS.items():
        graph = load(arguments.data / "mlperf_tiny" / file)
        assert isinstance(graph, Graph)
        nets[precision] = forms(graph)
    host = device("host")
    programs = [
        build(graph, host, runtime="onnxruntime", precision=precision)
        for precision, made in nets.items()
        for graph in made.values()
    ]
    timed = iter(medians(programs, arguments.calls))
    times = {(precision, name): next(timed) for precision, made in nets.items() for name in made}
    heads = f"{'ORT int8, us':>24} {'ORT float32, us':>24} {'bytes':>8} {'zstd':>8}"
    print(f"{'weights':8} {'zeros':>6} {'M4 instructions':>16} {heads}")
    for name, graph in nets["int8"].items():
        spans = [times[precision, name] for precision in ("int8", "float32")]
        shown = " ".join(f"{f'{p50:.1f} [{low:.1f}, {high:.1f}]':>24}" for p50, low, high in spans)
        plain, packed = sizes(graph)
        part = 100 * zero_share(graph)
        print(f"{name:8} {part:5.1f}% {instructions(graph):16,} {shown} {plain:8,} {packed:8,}", flush=True)


if __name__ == "__main__":
    main()
