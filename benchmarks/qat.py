"""Accuracy lost by int8 after quantisation-aware training, beside torchao's and our post-training quantisation, on real data.

    python benchmarks/qat.py --data ../shared/data --out .bench/qat --floats .bench [--tasks watch,digits] [--bits 8,4]

The four tasks and float nets of ``int8_accuracy.py`` (``--floats`` is its ``--out``; nets that are not there are trained). From
the same float net every method trains for the same epochs with the same optimiser, rate, augmentation and batches, on the
training part alone (CIFAR-10: 5,000 images of it); where the task has a validation part it chooses the epoch, else the last
one counts. All look once at the whole test part. ``float, trained on`` is the float net after those epochs: what the mere
training is worth. torchao (``pip install torchao``) prepares the module by PT2E with its x86 quantiser, and is measured as the
converted net that torch runs, in which all but convolutions, linear layers and what lies between them stays float; ours is
measured by the integer reference, all int8. A drop is the float net's accuracy less the method's, in points, with the
one-sided 95 % bounds of Tango's score test over the test samples of all seeds. ``--bits 4`` adds nets whose convolutions and
dense layers have weights of 4 bits. Each result is kept in ``--out`` and not computed twice. One thread.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import int8_accuracy
import msgspec
import numpy as np
import torch
from torch import nn

from marram.compress import Material, applied, fine_tune, fold, train_quantised
from marram.compress.learning.fine_tuning import training_settings
from marram.core import operators as ops
from marram.core.codec import digest
from marram.core.durable import write_atomically
from marram.core.graph import Array, Graph
from marram.core.recipe import Fold, Quantise, Recipe, TrainQuantised, Tuning
from marram.measure.statistics import PairedCounts, drop_bounds, paired_counts
from marram.model import zoo
from marram.model.reference import interpret
from marram.model.training import ArrayExamples, predict, train
from marram.model.training.loop import deterministic
from marram.sense import quantise

PACKABLE = ops.Conv2D | ops.DepthwiseConv2D | ops.Dense


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Where every method begins: the task's arrays, the float net as Graph and module, how it is trained on."""

    data: int8_accuracy.Material
    graph: Graph
    module: Callable[[], nn.Module]
    material: Material
    tuning: Tuning


def start(name: str, seed: int, arguments: argparse.Namespace) -> Start:
    task = int8_accuracy.TASKS[name]
    told = argparse.Namespace(data=arguments.data, out=arguments.floats)
    data = task.material(arguments.data, arguments.floats, seed)
    graph = int8_accuracy.float_graph(name, task, data, seed, told)
    chosen = np.random.default_rng(1 + seed).permutation(len(data.training))[: arguments.calibration]
    material = Material(
        calibration=np.ascontiguousarray(data.training[chosen]),
        input_quantisation=data.input_quantisation,
        training=ArrayExamples(data.training, data.training_targets),
        validation=ArrayExamples(data.validation, data.validation_targets) if len(data.validation) else None,
    )
    tuning = Tuning(epochs=arguments.epochs, learning_rate=arguments.rate, augmentation=task.settings.augmentation, seed=seed)

    def module() -> nn.Module:
        weights = arguments.floats / task.weights
        if name != "cifar10":
            mark = digest([digest(data.training), digest(data.training_targets)]).removeprefix("sha256:")[:8]
            weights = weights.with_stem(f"{weights.stem}-{mark}" + (f"-seed{seed}" if seed else ""))
        made = zoo.make(task.model, input_shape=data.training.shape[1:], classes=data.classes)
        made.load_state_dict(torch.load(weights, weights_only=True))
        return made

    return Start(data=data, graph=graph, module=module, material=material, tuning=tuning)


def classes_of(graph: Graph, samples: Array) -> Array:
    """What a Graph answers, by the reference."""
    entered = graph.input_tensors[0].quantisation
    (scores,) = interpret(graph, samples if entered is None else quantise(samples, entered))
    return scores.reshape(len(samples), -1).argmax(axis=1)


def quantised(given: Start, bits: int, *, trained: bool) -> Array:
    """Our net after training, trained through its roundings or not."""
    few = {node.name: bits for node in fold(given.graph).nodes if isinstance(node.op, PACKABLE)} if bits < 8 else {}
    standing = applied(given.graph, Recipe(decisions=(Fold(), Quantise(weight_bits=few))), given.material)
    assert standing.integer is not None
    if not trained:
        return classes_of(standing.integer, given.data.test)
    decision = TrainQuantised(tuning=given.tuning)
    graph = train_quantised(standing.exact, standing.integer, original=given.graph, decision=decision, material=given.material)
    return classes_of(graph, given.data.test)


def trained_on(given: Start) -> Array:
    """The float net after as many epochs."""
    return classes_of(
        fine_tune(given.graph, original=given.graph, tuning=given.tuning, material=given.material), given.data.test
    )


def torchao(given: Start) -> Array:
    """PT2E quantisation-aware training of the same module with the same loop."""
    from torchao.quantization.pt2e import allow_exported_model_train_eval
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    settings = training_settings(given.tuning, classes=True)
    with deterministic(1):
        example = torch.from_numpy(given.data.training[:2])
        shapes = ({0: torch.export.Dim("batch")},)
        exported = torch.export.export(given.module().train(), (example,), dynamic_shapes=shapes).module()
        quantiser = x86.X86InductorQuantizer()
        quantiser.set_global(x86.get_default_x86_inductor_quantization_config(is_qat=True))
        prepared = allow_exported_model_train_eval(prepare_qat_pt2e(exported, quantiser))
        train(prepared, given.material.training, given.material.validation, settings)
        prepared.eval()  # gives None
        whole = allow_exported_model_train_eval(convert_pt2e(prepared))
        return predict(whole, given.data.test).argmax(axis=1)


def methods(arguments: argparse.Namespace) -> dict[str, Callable[[Start], Array]]:
    found: dict[str, Callable[[Start], Array]] = {"float, trained on": trained_on}
    if 8 in arguments.bits and importlib.util.find_spec("torchao"):
        found[f"torchao {importlib.metadata.version('torchao')} QAT"] = torchao
    for bits in arguments.bits:
        found[f"PTQ, weights of {bits} bits"] = lambda given, bits=bits: quantised(given, bits, trained=False)
        found[f"QAT, weights of {bits} bits"] = lambda given, bits=bits: quantised(given, bits, trained=True)
    return found


def measured(path: Path, key: str, make: Callable[[], Array]) -> tuple[Array, float]:
    """Answers and processor seconds; computed once for each key."""
    if path.exists():
        kept = json.loads(path.read_text())
        if kept["key"] == key:
            return np.array(kept["classes"]), kept["seconds"]
    began = time.process_time()
    classes = make()
    seconds = time.process_time() - began
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps({"key": key, "seconds": seconds, "classes": classes.tolist()}).encode())
    return classes, seconds


def rows_of(name: str, arguments: argparse.Namespace) -> list[dict[str, object]]:
    """One row for each method, all seeds together."""
    counts: dict[str, list[PairedCounts]] = {}
    spent: dict[str, float] = {}
    for seed in range(1 if name == "cifar10" else arguments.seeds):
        given = start(name, seed, arguments)
        base = digest([digest(given.graph), digest(given.data.test), digest(given.material.calibration)])
        exact = classes_of(given.graph, given.data.test) == given.data.test_targets
        for method, make in methods(arguments).items():
            key = digest([base, method, msgspec.to_builtins(given.tuning), arguments.revision])
            file = "".join(c if c.isalnum() else "_" for c in method) + ".json"
            try:
                answers, seconds = measured(
                    arguments.out / f"{name}-{seed}" / file, key, lambda given=given, make=make: make(given)
                )
            except Exception as error:  # noqa: BLE001  # a peer that fails is a result
                int8_accuracy.say(f"{name}: {method} failed: {type(error).__name__}: {error}")
                continue
            right = answers == given.data.test_targets
            counts.setdefault(method, []).append(paired_counts(exact, right))
            spent[method] = spent.get(method, 0.0) + seconds
            int8_accuracy.say(
                f"{name}, seed {seed}: float {100 * exact.mean():.2f}, {method} {100 * right.mean():.2f} %, {seconds:.0f} s"
            )
    return [_row(name, method, found, spent[method]) for method, found in counts.items()]


def _row(name: str, method: str, found: list[PairedCounts], seconds: float) -> dict[str, object]:
    pooled = PairedCounts(
        first_only=sum(c.first_only for c in found),
        second_only=sum(c.second_only for c in found),
        samples=sum(c.samples for c in found),
    )
    low, high = drop_bounds(pooled)
    figures = {"drop": 100 * pooled.drop, "low": 100 * low, "high": 100 * high, "seconds": seconds}
    return {"task": name, "method": method, "samples": pooled.samples, "seeds": len(found), **figures}


def table(rows: list[dict[str, object]]) -> None:
    print(f"{'task':8} {'method':26} {'seeds':>5} {'samples':>8} {'drop':>7} {'95 % bounds':>16} {'CPU s':>7}")
    for row in rows:
        bounds = f"[{row['low']:.2f}, {row['high']:.2f}]"
        print(
            f"{row['task']:8} {row['method']:26} {row['seeds']:5} {row['samples']:8} {row['drop']:7.2f} {bounds:>16} "
            f"{row['seconds']:7.0f}"
        )
    tasks = len({row["task"] for row in rows})
    print(f"\n{'mean drop over tasks':35}")
    for method in dict.fromkeys(row["method"] for row in rows):
        drops = [row["drop"] for row in rows if row["method"] == method]
        note = "" if len(drops) == tasks else f" ({len(drops)} of {tasks} tasks)"
        print(f"{method:35} {np.mean(drops):7.2f}{note}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with cifar10.zip and fsdd.zip")
    parser.add_argument("--out", type=Path, default=Path(".bench/qat"), help="results")
    parser.add_argument("--floats", type=Path, default=Path(".bench"), help="the float nets: --out of int8_accuracy.py")
    parser.add_argument("--tasks", default=",".join(int8_accuracy.TASKS))
    parser.add_argument("--bits", type=lambda text: tuple(map(int, text.split(","))), default=(8,), help="8, 4, 2 of weights")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds of each task; CIFAR-10 has one")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rate", type=float, default=2e-4, help="learning rate")
    parser.add_argument("--calibration", type=int, default=256, help="calibration samples")
    parser.add_argument("--revision", default="", help="any text; another one computes everything anew")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for name in arguments.tasks.split(",") for row in rows_of(name, arguments)]
    table(rows)
    if not importlib.util.find_spec("torchao"):
        print("\ntorchao is not installed: it is left out (pip install torchao).")
    if arguments.json:
        write_atomically(arguments.json, json.dumps(rows, indent=1).encode())


if __name__ == "__main__":
    main()
