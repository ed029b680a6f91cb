"""Images per second of the integer reference beside TensorFlow Lite Micro and LiteRT, on one .tflite file.

    python benchmarks/reference_speed.py ../shared/data/mlperf_tiny/pretrainedResnet_quant.tflite

The three take turns, each turn on the same random samples; printed are the median and the range over the turns. All run on
one thread (numpy's BLAS is told so before it is loaded).
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from marram.core.graph import Array
from marram.model.reference import prepare, run
from marram.model.tflite import read

Runner = Callable[[Array], Array]


def reference(path: Path) -> Runner:
    prepared = prepare(read(path, name=path.stem))
    return lambda x: run(prepared, x)[0]


def micro(path: Path) -> Runner:
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_file(str(path), arena_size=4 << 20)

    def work(x: Array) -> Array:
        outputs = []
        for sample in x:
            interpreter.set_input(sample[None], 0)
            interpreter.invoke()
            outputs.append(interpreter.get_output(0).copy())
        return np.concatenate(outputs)

    return work


def litert(path: Path) -> Runner:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()

    def work(x: Array) -> Array:
        outputs = []
        for sample in x:
            interpreter.set_tensor(source["index"], sample[None])
            interpreter.invoke()
            outputs.append(interpreter.get_tensor(target["index"]))
        return np.concatenate(outputs)

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    (tensor,) = read(arguments.model, name="model").input_tensors
    rng = np.random.default_rng(arguments.seed)
    x: Array = rng.integers(-128, 128, (arguments.samples, *tensor.shape[1:])).astype(np.int8)
    runners = {"marram reference": reference, "tflite-micro": micro, "LiteRT": litert}
    ready: dict[str, Any] = {name: make(arguments.model) for name, make in runners.items()}
    speeds: dict[str, list[float]] = {name: [] for name in ready}
    outputs = {name: work(x) for name, work in ready.items()}
    for _ in range(arguments.turns):
        for name, work in ready.items():
            start = time.perf_counter()
            work(x)
            speeds[name].append(len(x) / (time.perf_counter() - start))
    print(f"{arguments.model.name}, {arguments.samples} samples, {arguments.turns} turns, seed {arguments.seed}")
    for name, found in speeds.items():
        differing = int((outputs[name] != outputs["tflite-micro"]).sum())
        span = f"{min(found):,.0f} to {max(found):,.0f}"
        print(
            f"{name:18} {statistics.median(found):10,.0f} per second ({span}); "
            f"{differing} of {outputs[name].size} bytes differ from tflite-micro"
        )


if __name__ == "__main__":
    main()
