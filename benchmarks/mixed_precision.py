"""Weights in fewer bits: bytes of flash and accuracy lost, marram beside its peers, on real data.

    python benchmarks/mixed_precision.py --data ../shared/data --out .bench/mixed [--tasks watch,digits] [--no-peers]

The float models, the data and the calibration samples are those of ``int8_accuracy.py`` (whose folder is ``--models``). Rows:
int8; 4 bits for every layer, by the largest weight of each channel (round to nearest), by the least squared error of scales,
and with adaptive rounding; a share of int8's bytes by measured sensitivity, which may take 2 bits where layers bear it; the
same trained on in integers where asked for. Bytes are those of weights, biases and multipliers as plain C has them (of
peers: weights as their files have them, with as much for each channel). A drop is against the float model in points, with the
95 % interval of a paired bootstrap; the test part is looked at by nothing else. The last table: bytes by kernels.
Peers: ai-edge-quantizer (4-bit weights where its policy has them, int8 activations), NNCF's 4-bit weight compression.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import int8_accuracy
import int8_peers
import msgspec
import numpy as np
from int8_accuracy import interval, say

from marram import compress
from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import generate
from marram.compress import apply, fold, quantise, unroll
from marram.compress.integers.assignment import assign_bits
from marram.compress.integers.precision import layers_to_pack
from marram.compress.integers.weight_bytes import weight_bytes
from marram.core.codec import digest
from marram.core.durable import write_atomically
from marram.core.graph import Array, Graph
from marram.core.recipe import CorrectBias, Decision, Quantise, Recipe, Round
from marram.model import load
from marram.model.reference import interpret
from marram.model.spec import RULES
from marram.model.training import ArrayExamples
from marram.sense import quantise as entered

Found = tuple[Array, int, str]
"""Predicted classes of the test samples, bytes of weights, remarks."""


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A float model with its data: float32 calibration and test samples, classes of the latter."""

    name: str
    graph: Graph
    material: compress.Material
    test: Array
    targets: Array


def pair(name: str, arguments: argparse.Namespace) -> Pair:
    """A task of ``int8_accuracy.py``, its float model folded."""
    task = int8_accuracy.TASKS[name]
    folders = argparse.Namespace(data=arguments.data, out=arguments.models)
    found = task.material(arguments.data, arguments.models, 0)
    graph = unroll(fold(int8_accuracy.float_graph(name, task, found, 0, folders)))
    chosen = np.random.default_rng(1).permutation(len(found.training))
    calibration, rest = chosen[: arguments.calibration], chosen[arguments.calibration :][:2000]
    material = compress.Material(
        calibration=np.ascontiguousarray(found.training[calibration]),
        input_quantisation=found.input_quantisation,
        training=ArrayExamples(found.training, found.training_targets),
        validation=ArrayExamples(found.training[rest], found.training_targets[rest]),
    )
    picked = np.random.default_rng(0).permutation(len(found.test))[: arguments.test]
    return Pair(name=name, graph=graph, material=material, test=found.test[picked], targets=found.test_targets[picked])


def classes_of(whole: Graph, samples: Array) -> Array:
    quantisation = whole.input_tensors[0].quantisation
    assert quantisation is not None
    (scores, *_) = interpret(whole, entered(samples, quantisation))
    return scores.reshape(len(scores), -1).argmax(axis=1)


def by(given: Pair, *decisions: Decision, remark: str = "") -> Found:
    """What a recipe makes of a pair."""
    whole = apply(given.graph, Recipe(decisions=decisions), given.material)
    return classes_of(whole, given.test), weight_bytes(whole), remark


def every_layer(graph: Graph, bits: int = 4) -> dict[str, int]:
    return {name: bits for names in layers_to_pack(graph, Quantise()) for name in names}


def to_nearest(given: Pair) -> Found:
    """Round to nearest: the float weights are put on the grid of their channel's largest one first."""
    constants = dict(given.graph.constants)
    for node in given.graph.nodes:
        if node.name in every_layer(given.graph):
            weights, axis = constants[node.inputs[1]], RULES[type(node.op)].channel_axis
            others = tuple(i for i in range(weights.ndim) if i != axis)
            scale = np.maximum(np.abs(weights).max(axis=others, keepdims=True) / 7, 1e-30)
            constants[node.inputs[1]] = (np.round(weights / scale) * scale).astype(np.float32)
    coarse = msgspec.structs.replace(given, graph=msgspec.structs.replace(given.graph, constants=constants))
    return by(coarse, Quantise(weight_bits=every_layer(given.graph)))


def assigned(given: Pair, share: float, *after: Decision) -> Found:
    rounding = next((one for one in after if isinstance(one, Round)), None)
    made = assign_bits(given.graph, budget_share=share, material=given.material, bits=(4, 2), samples=64, rounding=rounding)
    counts = {bits: sum(b == bits for b in made.weight_bits.values()) for bits in (4, 2)}
    remark = f"{counts[4]} layers of 4 bits, {counts[2]} of 2, of {len(every_layer(given.graph))}"
    return by(given, Quantise(weight_bits=made.weight_bits), *after, remark=remark)


def ours(given: Pair, share: float, *, trained: bool) -> dict[str, Callable[[], Found]]:
    """The rows of marram."""
    four = Quantise(weight_bits=every_layer(given.graph))
    rows: dict[str, Callable[[], Found]] = {
        "int8, bias corrected": lambda: by(given, Quantise(), CorrectBias()),
        "4 bits, to nearest": lambda: to_nearest(given),
        "4 bits, least squares": lambda: by(given, four),
        "4 bits, rounded adaptively": lambda: by(given, four, Round(), CorrectBias()),
        f"{share:g} of int8, least squares": lambda: assigned(given, share),
        f"{share:g} of int8, rounded adaptively": lambda: assigned(given, share, Round(), CorrectBias()),
    }
    if trained:
        from marram.core.recipe import TrainQuantised

        rows[f"{share:g} of int8, trained in integers"] = lambda: assigned(given, share, Round(), TrainQuantised())
    return rows


def with_ai_edge_quantizer(given: Pair, algorithm: str) -> Found:
    """Weights of 4 bits for CONV_2D and FULLY_CONNECTED, which its policy has, of 8 for the rest; activations int8."""
    from ai_edge_quantizer import quantizer, recipe

    from marram.model.tflite import write

    rules = recipe.static_wi8_ai8()
    for operator in ("CONV_2D", "FULLY_CONNECTED"):
        rule = json.loads(json.dumps(rules[0]))
        rule["operation"], rule["algorithm_key"] = operator, algorithm
        rule["op_config"]["weight_tensor_config"]["num_bits"] = 4
        rules.append(rule)
    calibration = given.material.calibration
    assert isinstance(calibration, np.ndarray)
    with tempfile.TemporaryDirectory() as folder:
        source, target = str(Path(folder) / "a.tflite"), str(Path(folder) / "b.tflite")
        Path(source).write_bytes(write(given.graph))
        tool = quantizer.Quantizer(source, rules)
        signature, name = int8_peers._signature(source)  # noqa: SLF001
        ranges = tool.calibrate({signature: [{name: one[None]} for one in calibration]})
        tool.quantize(ranges).export_model(target, overwrite=True)
        blob = Path(target).read_bytes()
    scores = int8_peers._litert(blob, given.test)  # noqa: SLF001
    return scores.reshape(len(scores), -1).argmax(axis=1), weights_in(blob), "depthwise in 8 bits"


def weights_in(blob: bytes) -> int:
    """Bytes of constants of more than one axis in a TFLite file, with 12 for each of their channels as C has them."""
    from marram.model.tflite.contents import load as contents_of

    _, contents = contents_of(blob)
    layers = [one for one in contents.operators if one.name in {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}]
    total = 0
    for layer in layers:
        weights = contents.tensors[layer.inputs[1]]
        channels = weights.shape[-1 if layer.name == "DEPTHWISE_CONV_2D" else 0]
        total += (0 if weights.data is None else len(weights.data)) + 12 * channels
    return total


def with_nncf(given: Pair) -> Found:
    """Weight compression to 4 bits of the float model: activations stay float."""
    import nncf
    import openvino

    from marram.model.onnx import write

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "a.onnx"
        source.write_bytes(write(given.graph))
        model = openvino.convert_model(str(source))
    small = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT4_SYM, group_size=-1, all_layers=True)
    kinds = [node.get_output_element_type(0) for node in small.get_ops() if node.get_type_name() == "Constant"]
    sizes = [node.get_data().size for node in small.get_ops() if node.get_type_name() == "Constant"]
    bits = {"i4": 4, "u4": 4, "i8": 8, "u8": 8, "f16": 16, "f32": 32}
    total = sum(size * bits.get(kind.get_type_name(), 0) // 8 for kind, size in zip(kinds, sizes, strict=True) if size > 16)
    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    network = openvino.Core().compile_model(small, "CPU", settings)
    scores = np.concatenate([network(one[None])[0] for one in given.test])
    four = sum(size for kind, size in zip(kinds, sizes, strict=True) if kind.get_type_name() in {"i4", "u4"})
    remark = f"activations float; {100 * four / max(sum(sizes), 1):.0f} % of constants in 4 bits"
    return scores.reshape(len(scores), -1).argmax(axis=1), total, remark


PEERS: dict[str, Callable[[Pair], Found]] = {
    "ai-edge-quantizer w4a8, min-max": lambda given: with_ai_edge_quantizer(given, "min_max_uniform_quantize"),
    "ai-edge-quantizer w4a8, octav": lambda given: with_ai_edge_quantizer(given, "OCTAV"),
    "NNCF compress_weights int4": with_nncf,
}


def measured(path: Path, key: str, make: Callable[[], Found]) -> Found:
    """A row's findings, computed once for each key."""
    if path.exists():
        kept = json.loads(path.read_text())
        if kept["key"] == key:
            return np.array(kept["classes"]), kept["bytes"], kept["remark"]
    classes, size, remark = make()
    kept = {"key": key, "classes": classes.tolist(), "bytes": size, "remark": remark}
    write_atomically(path, json.dumps(kept).encode())
    return classes, size, remark


def rows_of(given: Pair, arguments: argparse.Namespace) -> list[dict[str, object]]:
    name = given.name
    base = digest([digest(given.graph), digest(given.test), arguments.revision])
    (scores, *_) = interpret(given.graph, given.test)
    exact = scores.reshape(len(scores), -1).argmax(axis=1) == given.targets
    say(f"{name}: float accuracy {100 * exact.mean():.2f} % on {len(exact)} samples")
    runs = ours(given, arguments.share, trained=arguments.trained)
    if arguments.peers:
        runs |= {peer: (lambda run=run: run(given)) for peer, run in PEERS.items()}
    rows: list[dict[str, object]] = []
    plain = 0
    for method, run in runs.items():
        started = time.monotonic()
        file = "".join(c if c.isalnum() else "_" for c in method) + ".json"
        try:
            classes, size, remark = measured(arguments.out / name / file, digest([base, method]), run)
        except Exception as error:  # noqa: BLE001  # a method that fails is a result
            say(f"{name}: {method} failed: {type(error).__name__}: {error}")
            rows.append({"task": name, "method": method, "failed": f"{type(error).__name__}: {error}"})
            continue
        plain = plain or size
        good = classes == given.targets
        drop, low, high = interval(good, exact)
        rows.append(
            {
                "task": name, "method": method, "bytes": size, "share": size / plain, "accuracy": 100 * good.mean(),
                "drop": drop, "low": low, "high": high, "remark": remark,
            }
        )  # fmt: skip
        say(f"{name}: {method}: {size} bytes, drop {drop:.2f}, {time.monotonic() - started:.0f} s")
    return rows


def table(rows: list[dict[str, object]]) -> None:
    print(f"{'task':8} {'method':38} {'bytes':>8} {'of int8':>8} {'top-1 %':>8} {'drop':>6} {'95 % interval':>16}  remark")
    for row in rows:
        if "failed" in row:
            print(f"{row['task']:8} {row['method']:38} failed: {str(row['failed'])[:90]}")
            continue
        bounds = f"[{row['low']:.2f}, {row['high']:.2f}]"
        figures = f"{row['bytes']:8} {row['share']:8.3f} {row['accuracy']:8.2f} {row['drop']:6.2f} {bounds:>16}"
        print(f"{row['task']:8} {row['method']:38} {figures}  {row['remark']}")


def flash_bytes(whole: Graph, family: str) -> int:
    """Bytes of weights, biases and multipliers in generated C."""
    made = generate(whole, FAMILIES[family], name="model", pack_weights=True)
    return sum(layer.weight_bytes for layer in made.layers)


def sizes(graphs: dict[str, Graph]) -> None:
    """Bytes of weights in flash by the kernels that read them, all layers in 8, 4 and 2 bits: no samples matter to them."""
    print(f"\n{'weights in flash':24} {'kernels':9} {'int8':>8} {'4 bits':>8} {'of int8':>8} {'2 bits':>8} {'of int8':>8}")
    for name, graph in graphs.items():
        samples = np.random.default_rng(0).normal(size=(4, *graph.input_tensors[0].shape[1:])).astype(np.float32)
        whole = [quantise(graph, samples, weight_bits=every_layer(graph, bits)) for bits in (8, 4, 2)]
        for family in ("portable", "dsp"):
            found = [flash_bytes(one, family) for one in whole]
            shares = [f"{size:8} {size / found[0]:8.3f}" for size in found[1:]]
            print(f"{name:24} {family:9} {found[0]:8} {' '.join(shares)}")


def mlperf(data: Path) -> dict[str, Graph]:
    """The float models of MLPerf Tiny."""
    names = ("kws_ref_model_float32", "pretrainedResnet", "vww_96_float", "ad01_fp32")
    return {name: unroll(fold(load(data / "mlperf_tiny" / f"{name}.tflite"))) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="folder with cifar10.zip, fsdd.zip, mlperf_tiny"
    )
    parser.add_argument("--models", type=Path, default=Path(".bench"), help="float models of int8_accuracy.py")
    parser.add_argument("--out", type=Path, default=Path(".bench/mixed"), help="results, kept")
    parser.add_argument("--tasks", default="watch,digits,fashion,cifar10")
    parser.add_argument("--share", type=float, default=0.6, help="of int8's bytes")
    parser.add_argument("--calibration", type=int, default=256)
    parser.add_argument("--test", type=int, default=2000, help="the most test samples, drawn once")
    parser.add_argument("--no-peers", dest="peers", action="store_false")
    parser.add_argument("--trained", action="store_true", help="also train in integers")
    parser.add_argument("--revision", default="", help="any text; another one computes everything anew")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    arguments = parser.parse_args()
    rows, graphs = list[dict[str, object]](), dict[str, Graph]()
    for name in arguments.tasks.split(","):
        given = pair(name, arguments)
        graphs[name] = given.graph
        rows += rows_of(given, arguments)
    table(rows)
    sizes(graphs | mlperf(arguments.data))
    if arguments.json:
        write_atomically(arguments.json, json.dumps(rows, indent=1).encode())


if __name__ == "__main__":
    main()
