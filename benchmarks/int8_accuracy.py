"""Accuracy lost by int8 post-training quantisation, marram beside its peers, on real data.

    python benchmarks/int8_accuracy.py --data ../shared/data --out .bench [--tasks watch,fashion] [--no-peers]

Four tasks: CIFAR-10 with ResNet-8, Fashion-MNIST and spoken digits with DS-CNN, watch exercises with a 1-D net; the float
models are trained here once (CIFAR-10 by ``train_cifar10.py``, hours) and kept in ``--out``. Every method gets the same
float model, the same calibration samples (drawn from the training part) and the whole test part, which nothing else
looks at: marram chooses its recipe on the calibration samples alone. A drop is float accuracy minus int8 accuracy in
points, with the 95 % interval of a paired bootstrap over the test samples. Three seeds decide weights, training, who is in
the test part, and the calibration samples (CIFAR-10: the last alone). Results are kept and not computed twice.
Peers: ONNX Runtime's static quantiser, ai-edge-quantizer, NNCF (``pip install 'marram[bench]'``).
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import int8_peers
import msgspec
import numpy as np

from marram import compress
from marram.compress import apply, best, candidates, closeness, fold, unroll
from marram.compress.telling import describe
from marram.core.codec import digest
from marram.core.contract import AudioInput, ImageInput, ImuInput, InputSection
from marram.core.durable import write_atomically
from marram.core.graph import Array, Graph, Quantisation
from marram.core.recipe import Recipe
from marram.data import load, split
from marram.data.registry.fashion import fashion_images
from marram.data.registry.watch import watch_recordings
from marram.model import zoo
from marram.model.reference import interpret
from marram.model.torch_import import read
from marram.model.training import ArrayExamples, TrainingSettings, train
from marram.sense import apply as preprocessed
from marram.sense import fit, input_quantisation, preprocess_for, quantise


class Material(msgspec.Struct, frozen=True, kw_only=True):
    """A task's arrays, as the model takes them, and the input quantisation that its pixels make exact."""

    training: Array
    training_targets: Array
    validation: Array
    validation_targets: Array
    test: Array
    test_targets: Array
    classes: int
    input_quantisation: Quantisation | None


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured: where the data comes from, which zoo model, how it is trained."""

    material: Callable[[Path, Path, int], Material]
    model: str
    settings: TrainingSettings
    weights: str


def _dataset(
    source: str | Path,
    section: InputSection,
    out: Path,
    *,
    by: str,
    test: float,
    seed: int,
    validation: float = 0.1,
    pattern: str | None = None,
) -> Material:
    dataset = load(source, input_spec=section, split_by=by, pattern=pattern, cache=out / "cache")
    parts = split(dataset, test_fraction=test, validation_fraction=validation, by=by, seed=seed)
    arrays = []
    for indices in parts.parts:
        arrays += dataset.subset(indices).batches(len(indices)) if len(indices) else [(arrays[0][0][:0], arrays[0][1][:0])]
    preprocess = fit(preprocess_for(section), arrays[0][0])
    inputs = [preprocessed(preprocess, samples) if len(samples) else samples for samples, _ in arrays]
    return Material(
        training=inputs[0],
        training_targets=arrays[0][1],
        validation=inputs[1],
        validation_targets=arrays[1][1],
        test=inputs[2],
        test_targets=arrays[2][1],
        classes=len(dataset.labels),
        input_quantisation=input_quantisation(preprocess),
    )


def fashion(_data: Path, out: Path, seed: int) -> Material:
    folder = fashion_images(out / "fashion", cache=out / "cache")
    section = ImageInput(size_px=(28, 28), channels=1, mean=(0.5,), std=(0.25,))
    return _dataset(folder, section, out, by="given", test=0.1, seed=seed)


def watch(_data: Path, out: Path, seed: int) -> Material:
    path = watch_recordings(out / "watch", cache=out / "cache")
    section = ImuInput(channels=("ax", "ay", "az", "gx", "gy", "gz"), rate_hz=50, window_s=4.0, stride_s=1.0)
    return _dataset(path, section, out, by="subject", test=0.2, seed=seed)


def digits(data: Path, out: Path, seed: int) -> Material:
    section = AudioInput(rate_hz=8000, duration_s=1.0, mels=32)
    pattern = "{label}_{group}_{index}.wav"
    found = _dataset(data / "fsdd.zip", section, out, by="group", test=0.3, seed=seed, validation=0.0, pattern=pattern)
    flat = {name: getattr(found, name)[..., 0] for name in ("training", "test")}  # (frames, mels)
    return msgspec.structs.replace(found, **flat)


def cifar10(data: Path, out: Path, _seed: int) -> Material:
    import train_cifar10

    arrays = train_cifar10.decode(data / "cifar10.zip", out / "cifar10" / "decoded.npz")
    order = np.random.default_rng(0).permutation(len(arrays["train"]))[train_cifar10.HELD_OUT :][:5000]
    return Material(
        training=train_cifar10.preprocess(arrays["train"][order]),
        training_targets=arrays["train_labels"][order],
        validation=np.zeros(0),
        validation_targets=np.zeros(0),
        test=train_cifar10.preprocess(arrays["test"]),
        test_targets=arrays["test_labels"],
        classes=len(train_cifar10.CLASSES),
        input_quantisation=None,
    )


TASKS = {
    "cifar10": Task(material=cifar10, model="resnet8", settings=TrainingSettings(), weights="cifar10/resnet8.pt"),
    "fashion": Task(
        material=fashion,
        model="ds_cnn",
        settings=TrainingSettings(epochs=4, batch_size=128, precision="bfloat16"),
        weights="fashion/ds_cnn.pt",
    ),
    "watch": Task(
        material=watch,
        model="conv1d",
        settings=TrainingSettings(epochs=20, augmentation="window_jitter"),
        weights="watch/conv1d.pt",
    ),
    "digits": Task(
        material=digits,
        model="ds_cnn",
        settings=TrainingSettings(epochs=20, augmentation="window_jitter"),
        weights="digits/ds_cnn.pt",
    ),
}


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def float_graph(name: str, task: Task, material: Material, seed: int, arguments: argparse.Namespace) -> Graph:
    """The trained float model; trained now if its weights are not there."""
    import torch

    weights = arguments.out / task.weights
    if name != "cifar10":  # other training samples, other weights: a changed reader or preprocessing must not meet old ones
        mark = digest([digest(material.training), digest(material.training_targets)]).removeprefix("sha256:")[:8]
        weights = weights.with_stem(f"{weights.stem}-{mark}" + (f"-seed{seed}" if seed else ""))
    if not weights.exists() and name == "cifar10":
        folder = str(arguments.out / "cifar10")
        script = str(Path(__file__).with_name("train_cifar10.py"))
        command = [sys.executable, script, "--data", str(arguments.data / "cifar10.zip"), "--out", folder]
        subprocess.run(command, check=True)
    shape = material.training.shape[1:]
    model = zoo.make(task.model, input_shape=shape, classes=material.classes, seed=0 if name == "cifar10" else seed)
    if weights.exists():
        model.load_state_dict(torch.load(weights, weights_only=True))
    else:
        say(f"{name}: training {task.model}")
        training = ArrayExamples(material.training, material.training_targets)
        held_out = ArrayExamples(material.validation, material.validation_targets)
        validation = held_out if len(held_out) else None
        settings = msgspec.structs.replace(task.settings, seed=seed)
        result = train(model, training, validation, settings, checkpoint=weights.with_suffix(".checkpoint"))
        say(f"{name}: validation accuracy {result.best_metric}")
        buffer = io.BytesIO()
        torch.save(model.state_dict(), buffer)
        write_atomically(weights, buffer.getvalue())
    return read(model.eval(), (material.training[:1],), name=name)


def ours(
    graph: Graph, calibration: Array, test: Array, quantisation: Quantisation | None, recipes: tuple[Recipe, ...]
) -> tuple[Array, str]:
    """Scores of the best recipe's graph by the integer reference, and that recipe in words."""
    material = compress.Material(calibration=calibration, input_quantisation=quantisation)
    if len(recipes) == 1:
        whole, recipe = apply(graph, recipes[0], material), recipes[0]
    else:
        score = closeness(unroll(fold(graph)), calibration)
        choice = best(graph, recipes, material, score)
        whole, recipe = choice.graph, choice.recipe
    entered = whole.input_tensors[0].quantisation
    assert entered is not None
    (scores,) = interpret(whole, quantise(test, entered))
    return scores, "; ".join(map(describe, recipe.decisions))


def measured(path: Path, key: str, make: Callable[[], tuple[Array, str]]) -> tuple[Array, str]:
    """Predicted classes and remarks, computed once for each key."""
    if path.exists():
        kept = json.loads(path.read_text())
        if kept["key"] == key:
            return np.array(kept["classes"]), kept["remark"]
    scores, remark = make()
    classes = scores.reshape(len(scores), -1).argmax(axis=1)
    write_atomically(path, json.dumps({"key": key, "remark": remark, "classes": classes.tolist()}).encode())
    return classes, remark


def interval(right: Array, exact: Array, *, seed: int = 0) -> tuple[float, float, float]:
    """Drop in points and its 95 % interval by a paired bootstrap of 10,000 draws."""
    change = exact.astype(int) - right.astype(int)
    counts = np.array([(change == value).sum() for value in (-1, 0, 1)])
    draws = np.random.default_rng(seed).multinomial(len(change), counts / len(change), size=10_000)
    drops = 100 * (draws[:, 2] - draws[:, 0]) / len(change)
    low, high = np.percentile(drops, [2.5, 97.5])
    return 100 * change.mean(), float(low), float(high)


def measure(name: str, seed: int, arguments: argparse.Namespace) -> list[dict[str, object]]:
    """The rows of one task with one seed: of weights, training, the split by person and the calibration samples.

    CIFAR-10's float model takes hours, so there the seed is that of the calibration samples alone.
    """
    task = TASKS[name]
    material = task.material(arguments.data, arguments.out, seed)
    graph = float_graph(name, task, material, seed, arguments)
    chosen = np.random.default_rng(1 + seed).permutation(len(material.training))[: arguments.calibration]
    calibration = np.ascontiguousarray(material.training[chosen])
    base = digest([digest(graph), digest(calibration), digest(material.test)])
    folder = arguments.out / "int8_accuracy" / (f"{name}-{seed}" if seed else name)
    exact, _ = measured(folder / "float.json", base, lambda: (interpret(graph, material.test)[0], ""))
    right = exact == material.test_targets
    say(f"{name}: {task.model}, float accuracy {100 * right.mean():.2f} % on {len(right)} samples")
    quantisation = material.input_quantisation
    runs: dict[str, Callable[[], tuple[Array, str]]] = {
        "marram, best recipe": lambda: ours(graph, calibration, material.test, quantisation, candidates()),
        "marram, min-max only": lambda: ours(graph, calibration, material.test, quantisation, candidates()[:1]),
    }
    if arguments.peers:
        for peer_name, peer in int8_peers.installed().items():
            runs[peer_name] = lambda peer=peer: (peer(fold(graph), calibration, material.test), "")
    rows = []
    for method, run in runs.items():
        if arguments.only not in method:
            continue
        started = time.monotonic()
        file = "".join(c if c.isalnum() else "_" for c in method) + ".json"
        key = digest([base, method, candidates() if method.startswith("marram") else None, arguments.revision])
        try:
            classes, remark = measured(folder / file, key, run)
        except Exception as error:  # noqa: BLE001  # a peer that fails is a result
            say(f"{name}: {method} failed: {type(error).__name__}: {error}")
            rows.append({"task": name, "seed": seed, "method": method, "failed": f"{type(error).__name__}: {error}"})
            continue
        good = classes == material.test_targets
        drop, low, high = interval(good, right)
        flips = 100 * float((classes != exact).mean())
        row = {
            "task": name,
            "seed": seed,
            "method": method,
            "samples": len(right),
            "float": 100 * right.mean(),
            "int8": 100 * good.mean(),
        }
        rows.append({**row, "drop": drop, "low": low, "high": high, "flips": flips, "remark": remark})
        say(f"{name}: {method}: drop {drop:.2f} [{low:.2f}, {high:.2f}], {time.monotonic() - started:.0f} s")
    return rows


def table(rows: list[dict[str, object]]) -> None:
    """The rows as text, then each method's mean and worst drop."""
    figures = f"{'float %':>8} {'int8 %':>8} {'drop':>6} {'95 % interval':>16} {'flips %':>8}"
    print(f"{'task':9} {'seed':>4} {'method':45} {figures}  recipe")
    for row in rows:
        if "failed" in row:
            print(f"{row['task']:9} {row['seed']:4} {row['method']:45} failed: {str(row['failed'])[:100]}")
            continue
        bounds = f"[{row['low']:.2f}, {row['high']:.2f}]"
        figures = f"{row['float']:8.2f} {row['int8']:8.2f} {row['drop']:6.2f} {bounds:>16} {row['flips']:8.2f}"
        print(f"{row['task']:9} {row['seed']:4} {row['method']:45} {figures}  {row['remark']}")
    print()
    tasks = tuple(dict.fromkeys(row["task"] for row in rows))
    heads = " ".join(f"{task:>8}" for task in tasks)
    print(f"{'drop in points, mean over seeds':45} {heads}{'mean':>8} {'worst':>7} {'flips %':>8}")
    for method in dict.fromkeys(row["method"] for row in rows):
        found = [row for row in rows if row["method"] == method and "drop" in row]
        means = [np.mean([row["drop"] for row in found if row["task"] == task] or [np.nan]) for task in tasks]
        worst = max((row["drop"] for row in found), default=np.nan)
        flips = np.mean([row["flips"] for row in found] or [np.nan])
        print(f"{method:45} " + " ".join(f"{mean:8.2f}" for mean in means) + f"{np.mean(means):8.2f} {worst:7.2f} {flips:8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with cifar10.zip and fsdd.zip")
    parser.add_argument("--out", type=Path, default=Path(".bench"), help="checkpoints and results")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds of each task")
    parser.add_argument("--calibration", type=int, default=256, help="calibration samples, the same for everyone")
    parser.add_argument("--no-peers", dest="peers", action="store_false")
    parser.add_argument("--only", default="", help="only methods whose name holds this text")
    parser.add_argument("--revision", default="", help="any text; another one computes everything anew")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    arguments = parser.parse_args()
    pairs = [(name, seed) for name in arguments.tasks.split(",") for seed in range(arguments.seeds)]
    rows = [row for name, seed in pairs for row in measure(name, seed, arguments)]
    table(rows)
    print(f"\n{arguments.calibration} calibration samples; one thread; ours by the integer reference, peers by their runtimes.")
    if arguments.json:
        write_atomically(arguments.json, json.dumps(rows, indent=1).encode())


if __name__ == "__main__":
    main()
