"""Structured pruning to half the cost beside torch-pruning, on real data, from the same float nets with the same fine-tuning.

    python benchmarks/pruning.py --data ../shared/data --out .bench/pruning [--pairs watch,digits] [--seeds 3] [--share 0.5]

Five pairs: watch exercises (conv1d, people unseen), spoken digits (ds_cnn, speakers unseen), Fashion-MNIST (mobilenet_v1 and
resnet8), CIFAR-10 (resnet8, one seed). For each seed a net is trained; then every method cuts it in four steps to ``--share``
of its multiply-accumulates, bisecting on what it removes until that is met, with the same epochs of fine-tuning after each
step. Ours: ``Prune`` by Taylor and by l2. torch-pruning (``pip install torch-pruning``): its Taylor importance over all layers
at once, and its magnitude importance by layer, both rounding channels to four as ours do. ``from scratch`` is the net with
all channels cut alike, drawn anew and trained for all those epochs together: what pruning must beat. All of the training part
is learnt from, the last epoch is taken, the whole test part is looked at once, in float32. A drop is the accuracy of the
trained net less that of the cut one, in points, with the one-sided 95 % bounds of Tango's score test over the test samples,
pooled over seeds. Instructions are of the int8 net on an emulated Cortex-M4. Every training is kept in ``--out`` and not done
twice; one that was interrupted begins anew, but for the net itself. On two busy cores: watch and digits some minutes a seed
and method, Fashion-MNIST and CIFAR-10 an hour.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import int8_accuracy
import msgspec
import numpy as np
import torch
import train_cifar10
from torch import nn
from torch.nn import functional

from marram.compile import device
from marram.compile.c.families import family_of
from marram.compile.c.generation import generate
from marram.compress import Material, fine_tune, fold, groups, narrowed, prune, quantise
from marram.compress.learning.fine_tuning import training_settings
from marram.core.codec import digest
from marram.core.durable import write_atomically
from marram.core.graph import Array, Graph
from marram.core.recipe import Importance, Prune, Tuning
from marram.measure.microcontroller import on_core
from marram.measure.statistics import PairedCounts, drop_bounds, paired_counts
from marram.model import zoo
from marram.model.counts import counts
from marram.model.torch_graph import TorchGraph
from marram.model.torch_import import read
from marram.model.training import ArrayExamples, TrainingSettings, predict, train
from marram.model.training.loop import deterministic

STEPS = 4
Preprocess = Callable[[Array], Array] | None


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """Stored samples of both parts, class indices, and what makes inputs of samples."""

    training: Array
    training_targets: Array
    test: Array
    test_targets: Array
    classes: int
    preprocess: Preprocess = None

    @property
    def examples(self) -> ArrayExamples:
        """What is learnt from."""
        return ArrayExamples(self.training, self.training_targets)

    def inputs(self, samples: Array) -> Array:
        """As the net takes them, float32."""
        return np.ascontiguousarray(self.preprocess(samples) if self.preprocess else samples, np.float32)


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A net on data: how it is trained, and how it is trained on after each step."""

    data: Callable[[Path, Path, int], Data]
    model: str
    options: dict[str, Any]
    training: TrainingSettings
    tuning: Tuning


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One seed of a pair."""

    title: str
    pair: Pair
    data: Data
    seed: int
    share: float
    net: nn.Module

    @property
    def graph(self) -> Graph:
        """The trained net as a Graph."""
        return graph_of(self.net, self.data)

    @property
    def material(self) -> Material:
        """What our decisions work on."""
        examples, told = self.data.examples, Told(self.title)
        calibration = self.data.inputs(self.data.training[:64])
        return Material(calibration=calibration, training=examples, preprocess=self.data.preprocess, progress=told)

    def tuned(self, graph: Graph, *, epochs: int | None = None) -> Graph:
        """The Graph trained on."""
        tuning = msgspec.structs.replace(self.pair.tuning, epochs=epochs or self.pair.tuning.epochs, seed=self.seed)
        return fine_tune(graph, original=graph, tuning=tuning, material=self.material)


def whole(material: int8_accuracy.Material) -> Data:
    """Training and validation part together, for nothing is chosen here."""
    parts = [(material.training, material.training_targets), (material.validation, material.validation_targets)]
    samples, targets = (np.concatenate(arrays) for arrays in zip(*(part for part in parts if len(part[0])), strict=True))
    given = {"test": material.test, "test_targets": material.test_targets, "classes": material.classes}
    return Data(training=samples, training_targets=targets, **given)


def cifar10(data: Path, out: Path, _seed: int) -> Data:
    arrays = train_cifar10.decode(data / "cifar10.zip", out / "cifar10" / "decoded.npz")
    return Data(
        training=arrays["train"],
        training_targets=arrays["train_labels"],
        test=arrays["test"],
        test_targets=arrays["test_labels"],
        classes=len(train_cifar10.CLASSES),
        preprocess=train_cifar10.preprocess,
    )


IMAGES = TrainingSettings(epochs=12, batch_size=128, augmentation="image_flip_crop", precision="bfloat16")
IMAGE_TUNING = Tuning(epochs=4, batch_size=128, learning_rate=2e-3, augmentation="image_flip_crop", precision="bfloat16")
PAIRS = {
    "watch conv1d": Pair(
        data=lambda data, out, seed: whole(int8_accuracy.watch(data, out, seed)),
        model="conv1d",
        options={},
        training=TrainingSettings(epochs=20, augmentation="window_jitter"),
        tuning=Tuning(epochs=6, learning_rate=2e-3, augmentation="window_jitter"),
    ),
    "digits ds_cnn": Pair(
        data=lambda data, out, seed: whole(int8_accuracy.digits(data, out, seed)),
        model="ds_cnn",
        options={},
        training=TrainingSettings(epochs=20, augmentation="window_jitter", precision="bfloat16"),
        tuning=Tuning(epochs=6, learning_rate=2e-3, augmentation="window_jitter", precision="bfloat16"),
    ),
    "fashion mobilenet_v1": Pair(
        data=lambda data, out, seed: whole(int8_accuracy.fashion(data, out, seed)),
        model="mobilenet_v1",
        options={"width": 0.25},
        training=IMAGES,
        tuning=IMAGE_TUNING,
    ),
    "fashion resnet8": Pair(
        data=lambda data, out, seed: whole(int8_accuracy.fashion(data, out, seed)),
        model="resnet8",
        options={},
        training=IMAGES,
        tuning=IMAGE_TUNING,
    ),
    "cifar10 resnet8": Pair(
        data=cifar10,
        model="resnet8",
        options={},
        training=msgspec.structs.replace(IMAGES, epochs=40, learning_rate=4e-3),
        tuning=msgspec.structs.replace(IMAGE_TUNING, epochs=10),
    ),
}


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Told:
    """Progress on stderr: one line for each epoch."""

    def __init__(self, title: str) -> None:
        self.title, self.last = title, ""

    def __call__(self, what: str, _part: float) -> None:
        """Say it where it is new."""
        if what != self.last:
            self.last = what
            say(f"{self.title}: {what}")


def macs(graph: Graph) -> int:
    return counts(graph).macs


def graph_of(net: nn.Module, data: Data) -> Graph:
    return read(net.eval(), (data.inputs(data.test[:1]),), name="net")


def marram(importance: Importance) -> Callable[[Job], Graph]:
    def run(job: Job) -> Graph:
        return prune(job.graph, Prune(share=job.share, importance=importance, steps=STEPS), job.material, retrain=job.tuned)

    return run


def from_scratch(job: Job) -> Graph:
    """All groups cut to one part of their channels, the largest that meets the share."""
    shape = job.data.training.shape[1:]
    graph = graph_of(fresh(job.pair, shape, job.data.classes, seed=job.seed + 100), job.data)
    found = groups(graph)

    def cut(part: float) -> Graph:
        sizes = {group.name: group.size if group.unit > 1 else max(4, round(part * group.size / 4) * 4) for group in found}
        return narrowed(graph, {group.name: np.arange(min(group.size, sizes[group.name])) for group in found}, found=found)

    parts = [part for part in np.linspace(1, 0.05, 96) if macs(cut(part)) <= job.share * macs(graph)]
    return job.tuned(cut(parts[0]), epochs=job.pair.training.epochs + STEPS * job.pair.tuning.epochs)


def torch_pruning(*, taylor: bool) -> Callable[[Job], Graph]:
    """The library, as its README has it: importance, ignored classifier, channels rounded to four; one ratio for each step."""

    def run(job: Job) -> Graph:
        net, all_of_it = copy.deepcopy(job.net), macs(job.graph)
        settings = training_settings(msgspec.structs.replace(job.pair.tuning, seed=job.seed), classes=True)
        for step in range(1, STEPS + 1):
            net = cut_by_library(net, job, all_of_it * job.share ** (step / STEPS), taylor=taylor)
            train(net, job.data.examples, None, settings, preprocess=job.data.preprocess, progress=Told(job.title))
        return graph_of(net, job.data)

    return run


def cut_by_library(net: nn.Module, job: Job, goal: float, *, taylor: bool) -> nn.Module:
    """The net with the least ratio, to a thousandth, that meets a goal."""
    import torch_pruning as tp

    chosen = np.unique(np.linspace(0, len(job.data.training) - 1, min(1024, len(job.data.training))).astype(np.int64))
    batch = torch.from_numpy(job.data.inputs(job.data.training[chosen]))
    targets = torch.from_numpy(job.data.training_targets[chosen].astype(np.int64))

    def pruned(ratio: float) -> nn.Module:
        made = copy.deepcopy(net).eval()
        with deterministic(1):
            functional.cross_entropy(made(batch), targets).backward()
        pruner = tp.BasePruner(
            made,
            batch[:1],
            importance=tp.importance.GroupTaylorImportance() if taylor else tp.importance.GroupMagnitudeImportance(p=2),
            global_pruning=taylor,
            pruning_ratio=ratio,
            max_pruning_ratio=0.875,
            ignored_layers=[made.classifier],
            round_to=4,
        )
        pruner.step()
        made.zero_grad(set_to_none=True)
        return made

    low, high = 0.0, 0.95
    while high - low > 0.001:
        middle = (low + high) / 2
        if macs(graph_of(pruned(middle), job.data)) <= goal:
            high = middle
        else:
            low = middle
    return pruned(high)


METHODS: dict[str, Callable[[Job], Graph]] = {
    "marram, taylor": marram("taylor"),
    "marram, l2": marram("l2"),
    "torch-pruning, taylor": torch_pruning(taylor=True),
    "torch-pruning, magnitude": torch_pruning(taylor=False),
    "from scratch": from_scratch,
}


def fresh(pair: Pair, shape: tuple[int, ...], classes: int, *, seed: int) -> nn.Module:
    """A net as it is drawn; dropout is left out, as a Graph has none."""
    net = zoo.make(pair.model, input_shape=shape, classes=classes, seed=seed, **pair.options)
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return net


def trained(pair: Pair, data: Data, folder: Path, seed: int, *, mark: str, title: str) -> nn.Module:
    """The net that all methods begin with."""
    net = fresh(pair, data.training.shape[1:], data.classes, seed=seed)
    settings = msgspec.structs.replace(pair.training, seed=seed)
    key = short_digest([mark, pair.model, pair.options, msgspec.to_builtins(settings)])
    path = folder / f"net-{key}.pt"
    if path.exists():
        net.load_state_dict(torch.load(path, weights_only=True))
        return net.eval()
    checkpoint = path.with_suffix(".checkpoint")
    train(net, data.examples, None, settings, preprocess=data.preprocess, checkpoint=checkpoint, progress=Told(title))
    buffer = io.BytesIO()
    torch.save(net.state_dict(), buffer)
    write_atomically(path, buffer.getvalue())
    checkpoint.unlink()
    return net.eval()


def instructions(graph: Graph, data: Data) -> int:
    """Of the int8 net on a Cortex-M4."""
    target = device("cortex-m4")
    whole = quantise(fold(graph), data.inputs(data.training[:128]))
    with tempfile.TemporaryDirectory(prefix="marram-pruning-") as folder:
        return on_core(generate(whole, family_of(target), name="net"), target, Path(folder)).instructions


def judged(graph: Graph, data: Data) -> dict[str, Any]:
    """Predicted classes of the test part, and what the net costs."""
    classes = predict(TorchGraph(graph), data.test, preprocess=data.preprocess).argmax(axis=1)
    return {"classes": classes.tolist(), "macs": macs(graph), "instructions": instructions(graph, data)}


def kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A result, made once."""
    if not path.exists():
        write_atomically(path, json.dumps(make()).encode())
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def measure(name: str, pair: Pair, seed: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of one seed of a pair: each method's accuracy, cost, and how it differs from the net that it began with."""
    data = pair.data(arguments.data, arguments.bench, seed)
    mark = digest([digest(data.training), digest(data.training_targets), digest(data.test)])
    folder = arguments.out / name.replace(" ", "_")
    folder.mkdir(parents=True, exist_ok=True)
    title = f"{name}, seed {seed}"
    net = trained(pair, data, folder, seed, mark=mark, title=title)
    job = Job(title=title, pair=pair, data=data, seed=seed, share=arguments.share, net=net)
    begun = short_digest([mark, digest(job.graph)])
    base = kept(folder / f"whole-{begun}.json", lambda: judged(job.graph, data))
    rows = []
    for method in METHODS:
        if not method.startswith(tuple(arguments.methods.split(";"))):
            continue
        if method.startswith("torch-pruning") and importlib.util.find_spec("torch_pruning") is None:
            say("torch-pruning is not installed, and is left out")
            continue
        found = result(msgspec.structs.replace(job, title=f"{title}, {method}"), method, folder, begun)
        rows.append({"pair": name, "seed": seed, "method": method, **compared(base, found, data.test_targets)})
    return rows


def result(job: Job, method: str, folder: Path, begun: str) -> dict[str, Any]:
    """What one method makes, and how long that took."""
    key = short_digest([begun, method, job.share, STEPS, msgspec.to_builtins(job.pair.tuning)])

    def make() -> dict[str, Any]:
        began = time.monotonic()
        made = METHODS[method](job)
        return {**judged(made, job.data), "seconds": time.monotonic() - began}

    return kept(folder / f"{method.replace(', ', '-').replace(' ', '_')}-{key}.json", make)


def compared(base: dict[str, Any], found: dict[str, Any], targets: Array) -> dict[str, Any]:
    """Accuracies, costs as parts of the whole net's, and the samples that are right in one of both only."""
    right, cut = np.array(base["classes"]) == targets, np.array(found["classes"]) == targets
    pairs = paired_counts(right, cut)
    parts = {key: found[key] / base[key] for key in ("macs", "instructions")}
    accuracies = {"whole": 100 * float(right.mean()), "accuracy": 100 * float(cut.mean())}
    return {**accuracies, **parts, "worse": pairs.first_only, "better": pairs.second_only, "samples": pairs.samples}


def short_digest(value: Any) -> str:
    return digest(value).removeprefix("sha256:")[:16]


def table(rows: list[dict[str, Any]]) -> None:
    """One line for each pair and method, its seeds together."""
    heads = f"{'seeds':>5} {'samples':>8} {'whole %':>8} {'cut %':>8} {'MACs':>6} {'M4 instructions':>16}"
    print(f"{'pair':22} {'method':26} {heads}   drop, 95 % bounds")
    for name, method in dict.fromkeys((row["pair"], row["method"]) for row in rows):
        some = [row for row in rows if (row["pair"], row["method"]) == (name, method)]
        totals = {key: sum(row[key] for row in some) for key in ("worse", "better", "samples")}
        pairs = PairedCounts(first_only=totals["worse"], second_only=totals["better"], samples=totals["samples"])
        low, high = drop_bounds(pairs)
        means = [float(np.mean([row[key] for row in some])) for key in ("whole", "accuracy", "macs", "instructions")]
        figures = f"{means[0]:8.2f} {means[1]:8.2f} {means[2]:6.3f} {means[3]:16.3f}"
        drop = f"{100 * pairs.drop:6.2f} [{100 * low:5.2f}, {100 * high:5.2f}]"
        print(f"{name:22} {method:26} {len(some):5} {totals['samples']:8} {figures}   {drop}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with cifar10.zip and fsdd.zip")
    parser.add_argument("--out", type=Path, default=Path(".bench/pruning"), help="nets and results")
    parser.add_argument("--bench", type=Path, default=Path(".bench"), help="where data of other benchmarks is kept")
    parser.add_argument("--pairs", default=",".join(PAIRS), help="names, or their beginnings")
    parser.add_argument("--methods", default=";".join(METHODS), help="names, or their beginnings")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.5, help="of the multiply-accumulates")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    arguments = parser.parse_args()
    rows = []
    for name in [name for name in PAIRS if name.startswith(tuple(arguments.pairs.split(",")))]:
        for seed in range(1 if name.startswith("cifar10") else arguments.seeds):
            rows += measure(name, PAIRS[name], seed, arguments)
    table(rows)
    if arguments.json:
        write_atomically(arguments.json, json.dumps(rows, indent=1).encode())


if __name__ == "__main__":
    main()
