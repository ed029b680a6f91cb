"""Who computes what TensorFlow Lite Micro computes? Differing output bytes on the MLPerf Tiny int8 files, all in one run.

    python benchmarks/tflm_parity.py --data ../shared/data [--samples 1000] [--seed 0]

Half of the inputs are uniform random integers, half are smooth signals of many contrasts. The oracle is the interpreter of the
PyPI package tflite-micro; beside marram's integer reference stand LiteRT (built-in kernels with and without XNNPACK) and
ONNX Runtime on marram's export of the same Graph.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from marram.compile import build, device
from marram.core.graph import Array, Graph
from marram.model import interpret, load
from marram.model.tflite import read, write
from marram.runtime import runner

FILES = ("ad01_int8", "kws_ref_model", "pretrainedResnet_quant", "vww_96_int8")


def inputs_for(graph: Graph, count: int, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    shape = (count // 2, *graph.input_tensors[0].shape[1:])
    noise = rng.integers(-128, 128, shape).astype(np.int8)
    size = int(np.prod(shape[1:]))
    phase = rng.uniform(0, 6, (count // 2, 1)) + np.arange(size) * rng.uniform(0.001, 0.4, (count // 2, 1))
    smooth = np.sin(phase) * rng.uniform(5, 127, (count // 2, 1)) + rng.uniform(-40, 40, (count // 2, 1))
    return np.concatenate([noise, np.clip(np.rint(smooth), -128, 127).astype(np.int8).reshape(shape)])


def one_by_one(call: Callable[[Array], Array], inputs: Array) -> Array:
    return np.concatenate([call(inputs[index : index + 1]) for index in range(len(inputs))])


def micro(blob: bytes) -> Callable[[Array], Array]:
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(blob, arena_size=4 << 20)

    def call(sample: Array) -> Array:
        interpreter.set_input(sample, 0)
        interpreter.invoke()
        return np.asarray(interpreter.get_output(0)).copy()

    return call


def litert(blob: bytes, *, xnnpack: bool) -> Callable[[Array], Array]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kernels = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=blob, num_threads=1, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    (entry,), (end,) = interpreter.get_input_details(), interpreter.get_output_details()

    def call(sample: Array) -> Array:
        interpreter.set_tensor(entry["index"], sample)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(end["index"]))

    return call


def onnx_runtime(graph: Graph) -> Callable[[Array], Array]:
    session = runner("onnxruntime").open(build(graph, device("host"), runtime="onnxruntime"))
    return lambda sample: session.run([sample])[0]


def compare(path: Path, count: int, seed: int) -> None:
    graph = load(path)
    inputs = inputs_for(graph, count, seed)
    blob = path.read_bytes()
    oracle = one_by_one(micro(blob), inputs)
    exported = write(graph)
    rows = {
        "marram reference": interpret(graph, inputs)[0],
        "marram, exported to TFLite and read again": interpret(read(exported), inputs)[0],
        "marram's TFLite export in TFLM": one_by_one(micro(exported), inputs),
        "LiteRT, built-in kernels": one_by_one(litert(blob, xnnpack=False), inputs),
        "LiteRT, XNNPACK": one_by_one(litert(blob, xnnpack=True), inputs),
        "ONNX Runtime, marram's export": one_by_one(onnx_runtime(graph), inputs),
    }
    print(f"\n{path.stem}: {len(inputs)} inputs, {oracle.size} output bytes from TFLM")
    for name, outputs in rows.items():
        gap = np.abs(outputs.reshape(oracle.shape).astype(int) - oracle.astype(int))
        print(f"  {name:<44} {int((gap > 0).sum()):>8} differ, largest difference {int(gap.max())}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds mlperf_tiny/")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in FILES:
        compare(options.data / "mlperf_tiny" / f"{name}.tflite", options.samples, options.seed)


if __name__ == "__main__":
    main()
