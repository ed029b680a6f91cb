"""Generated C as a library of this machine beside LiteRT, ONNX Runtime and OpenVINO: the same int8 nets, one thread each.

    python benchmarks/host_library.py ../shared/data/mlperf_tiny/*_int8.tflite

All are called from one process, in an order shuffled anew each round, in two ways: *bare* (the input stands ready, the output
is left where it is) and *whole* (arrays in, arrays out). Printed are the median and the least of all calls in microseconds, and
the ratio of the medians to the best peer's. LiteRT gets the file itself, the others the ONNX file that marram writes of it.
A peer that is not installed is left out. Our outputs are compared with the reference in the same run; 0 bytes may differ.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import Generated, generate
from marram.compile.toolchain.native import build_library
from marram.core.graph import Array, Graph
from marram.measure.native import NativeSession
from marram.model import interpret
from marram.model.onnx import write
from marram.model.tflite import read

Call = Callable[[], object]
Ways = tuple[Call, Call]
"""A bare call and a whole one; both answer the output, or None where it is left in place."""

OURS = "marram"
_ALIGN = 64


def ours(generated: Generated, library: Path, session: NativeSession, x: Array) -> Ways:
    """The library, called through ctypes: bare on an arena of the benchmark's own, whole as a session."""
    loaded, size = ctypes.CDLL(str(library)), generated.plan.arena_bytes
    kept = np.zeros(size + _ALIGN, np.uint8)
    arena = ctypes.c_void_p(kept.ctypes.data + -kept.ctypes.data % _ALIGN)
    place = getattr(loaded, f"{generated.name}_input")
    place.restype = ctypes.c_void_p
    ctypes.memmove(place(arena, 0), x.ctypes.data, x.nbytes)
    invoke, length = getattr(loaded, f"{generated.name}_invoke"), ctypes.c_size_t(size)
    if invoke(arena, length):
        raise SystemExit(f"{library} does not run")

    def bare(_kept: Array = kept) -> int:
        """Keeps the arena's memory alive."""
        status: int = invoke(arena, length)
        return status

    return bare, lambda: session.run((x,))


def litert(path: Path, _graph: Graph, x: Array) -> Ways:
    """LiteRT with its default kernels, XNNPACK where they apply."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    interpreter.set_tensor(source, x)

    def whole() -> Array:
        interpreter.set_tensor(source, x)
        interpreter.invoke()
        found: Array = interpreter.get_tensor(target)
        return found

    return interpreter.invoke, whole


def onnxruntime(_path: Path, graph: Graph, x: Array) -> Ways:
    """ONNX Runtime, CPU provider, all optimisations; bare calls through I/O binding."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(write(graph), options, providers=["CPUExecutionProvider"])
    (source,), (target,) = session.get_inputs(), session.get_outputs()
    binding = session.io_binding()
    binding.bind_cpu_input(source.name, x)
    binding.bind_output(target.name, "cpu")
    return lambda: session.run_with_iobinding(binding), lambda: session.run(None, {source.name: x})[0]


def openvino(_path: Path, graph: Graph, x: Array) -> Ways:
    """OpenVINO, one stream of one thread."""
    import openvino as ov

    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
    core = ov.Core()
    request = core.compile_model(core.read_model(write(graph)), "CPU", settings).create_infer_request()
    request.set_input_tensor(ov.Tensor(x, shared_memory=True))

    def whole() -> Array:
        request.infer({0: x}, share_inputs=True, share_outputs=True)
        return np.array(request.get_output_tensor(0).data)

    whole()
    return lambda: request.infer(share_outputs=True), whole


PEERS: dict[str, tuple[str, Callable[[Path, Graph, Array], Ways]]] = {
    "LiteRT": ("ai_edge_litert", litert),
    "ONNX Runtime": ("onnxruntime", onnxruntime),
    "OpenVINO": ("openvino", openvino),
}


def timed(calls: dict[str, Call], rounds: int, *, seed: int) -> dict[str, list[float]]:
    """Microseconds of each call, the rounds shuffled; each call is made once untimed before."""
    rng, names = np.random.default_rng(seed), list(calls)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for index in range(rounds + rounds // 10):
        for place in rng.permutation(len(names)):
            call = calls[names[place]]
            start = time.perf_counter_ns()
            call()
            end = time.perf_counter_ns()
            if index >= rounds // 10:
                taken[names[place]].append((end - start) / 1e3)
    return taken


def differing_bytes(session: NativeSession, graph: Graph, *, samples: int, seed: int) -> int:
    """Outputs that are not the reference's, over random inputs and the extreme ones."""
    tensor = graph.input_tensors[0]
    x = np.random.default_rng(seed).integers(-128, 128, (samples, *tensor.shape[1:])).astype(np.int8)
    x[0], x[1] = -128, 127
    wanted = interpret(graph, [x])[0]
    return sum(int((session.run((one[None],))[0] != goal).sum()) for one, goal in zip(x, wanted, strict=True))


def report(path: Path, *, rounds: int, compiler: str, flags: list[str]) -> None:
    """One net: the check and both tables."""
    generated = generate(read(path, name=path.stem), FAMILIES["host"])
    with tempfile.TemporaryDirectory() as folder:
        library = build_library(generated, Path(folder), compiler=compiler, flags=flags)
        session = NativeSession(generated, library)
        wrong = differing_bytes(session, generated.graph, samples=100, seed=1)
        tensor = generated.graph.input_tensors[0]
        x = np.random.default_rng(0).integers(-128, 128, tensor.shape).astype(np.int8)
        ways: dict[str, Any] = {OURS: ours(generated, library, session, x)}
        for name, (package, peer) in PEERS.items():
            if importlib.util.find_spec(package) is not None:
                ways[name] = peer(path, generated.graph, x)
        print(f"{path.stem}: {wrong} differing bytes, library of {library.stat().st_size / 1000:.0f} kB")
        for index, way in enumerate(("bare", "whole")):
            taken = timed({name: pair[index] for name, pair in ways.items()}, rounds, seed=index)
            medians = {name: statistics.median(values) for name, values in taken.items()}
            best = min((value for name, value in medians.items() if name != OURS), default=float("nan"))
            for name, values in taken.items():
                ratio, least = medians[name] / best, min(values)
                print(f"  {way:5} {name:12} median {medians[name]:8.1f} us  least {least:8.1f} us  {ratio:.2f} x best peer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="+", help="int8 .tflite files with one input and one output")
    parser.add_argument("--rounds", type=int, default=3000)
    parser.add_argument("--compiler", default="gcc")
    parser.add_argument("--flags", default="-O3 -march=native")
    chosen = parser.parse_args()
    for path in chosen.model:
        report(path, rounds=chosen.rounds, compiler=chosen.compiler, flags=chosen.flags.split())


if __name__ == "__main__":
    main()
