"""Distillation beside plain training, on real data: what a small net gains from a teacher in the same number of epochs.

    python benchmarks/distillation.py --data ../shared/data --out .bench/distillation [--pairs watch,digits] [--seeds 3]

Five pairs of a small student and a teacher, which is a wider net of the same zoo family or several: watch exercises
(conv1d, people unseen), spoken digits (ds_cnn, speakers unseen), Fashion-MNIST (mobilenet_v1 and mobilenet_v2), CIFAR-10
(resnet8, one seed). For each seed the student is drawn once and trained twice by ``compress.fine_tune``, which gets the
same arguments but for the distillation; the seed also decides who is in the test part, the teacher's weights and the
shuffles. All of the training part is learnt from, the last epoch is taken, and the whole test part is looked at once, in
float32. A gain is the accuracy with a teacher less that without one, in points, with the one-sided 95 % bounds of Tango's
score test and McNemar's exact p-value over the test samples; pooled over seeds, where a sample may be in several test
parts. Every training is kept in ``--out`` and not done twice. On two busy cores: watch and digits some minutes a seed,
Fashion-MNIST and CIFAR-10 an hour or more.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import int8_accuracy
import msgspec
import numpy as np
import torch
import train_cifar10
from torch import Tensor, nn

from marram.compress import Material, fine_tune
from marram.core.codec import digest
from marram.core.durable import write_atomically
from marram.core.graph import Array, Graph
from marram.core.recipe import Distillation, Tuning
from marram.measure.statistics import PairedCounts, drop_bounds, mcnemar, paired_counts
from marram.model import zoo
from marram.model.torch_graph import TorchGraph
from marram.model.torch_import import read
from marram.model.training import ArrayExamples, TrainingSettings, predict, train

Preprocess = Callable[[Array], Array] | None


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """Stored samples of both parts, class indices, and what makes inputs of samples."""

    training: Array
    training_targets: Array
    test: Array
    test_targets: Array
    classes: int
    preprocess: Preprocess = None


class Net(msgspec.Struct, frozen=True, kw_only=True):
    """A zoo model and its options."""

    model: str
    options: dict[str, Any]


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A student and its teacher: ``teachers`` nets, whose probabilities are averaged, each trained by ``teaching``."""

    data: Callable[[Path, Path, int], Data]
    student: Net
    teacher: Net
    teachers: int
    teaching: TrainingSettings
    tuning: Tuning
    distillation: Distillation


class Ensemble(nn.Module):
    """The logarithm of the mean probability of several nets."""

    def __init__(self, members: list[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, batch: Tensor) -> Tensor:
        """Logits ``(N, classes)``."""
        scores = torch.stack([member(batch).float().log_softmax(dim=1) for member in self.members])
        return scores.logsumexp(dim=0) - float(np.log(len(self.members)))


def whole(material: int8_accuracy.Material) -> Data:
    """Training and validation part together, for nothing is chosen here."""
    parts = [(material.training, material.training_targets), (material.validation, material.validation_targets)]
    samples, targets = (np.concatenate(arrays) for arrays in zip(*(part for part in parts if len(part[0])), strict=True))
    return Data(
        training=samples,
        training_targets=targets,
        test=material.test,
        test_targets=material.test_targets,
        classes=material.classes,
    )


def watch(data: Path, out: Path, seed: int) -> Data:
    return whole(int8_accuracy.watch(data, out, seed))


def digits(data: Path, out: Path, seed: int) -> Data:
    return whole(int8_accuracy.digits(data, out, seed))


def fashion(data: Path, out: Path, seed: int) -> Data:
    return whole(int8_accuracy.fashion(data, out, seed))


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


IMAGES = Tuning(epochs=8, batch_size=128, learning_rate=4e-3, augmentation="image_flip_crop", precision="bfloat16")
IMAGE_TEACHING = TrainingSettings(epochs=8, batch_size=128, augmentation="image_flip_crop", precision="bfloat16")

PAIRS = {
    "watch conv1d": Pair(
        data=watch,
        student=Net(model="conv1d", options={"width": 0.25}),
        teacher=Net(model="conv1d", options={"width": 2.0}),
        teachers=2,
        teaching=TrainingSettings(epochs=15, augmentation="window_rotation"),
        tuning=Tuning(epochs=40, learning_rate=4e-3, augmentation="window_rotation"),
        distillation=Distillation(teacher="given", weight=0.9, temperature=4.0),
    ),
    "digits ds_cnn": Pair(
        data=digits,
        student=Net(model="ds_cnn", options={"channels": 16, "blocks": 2}),
        teacher=Net(model="ds_cnn", options={"channels": 64}),
        teachers=3,
        teaching=TrainingSettings(epochs=20, augmentation="window_jitter", precision="bfloat16"),
        tuning=Tuning(epochs=30, learning_rate=4e-3, augmentation="window_jitter"),
        distillation=Distillation(teacher="given", weight=0.9, temperature=4.0),
    ),
    "fashion mobilenet_v1": Pair(
        data=fashion,
        student=Net(model="mobilenet_v1", options={"width": 0.125, "stem_stride": 2}),
        teacher=Net(model="mobilenet_v1", options={"width": 0.5, "stem_stride": 2}),
        teachers=1,
        teaching=IMAGE_TEACHING,
        tuning=IMAGES,
        distillation=Distillation(teacher="given", weight=0.9, temperature=4.0),
    ),
    "fashion mobilenet_v2": Pair(
        data=fashion,
        student=Net(model="mobilenet_v2", options={"width": 0.15, "stem_stride": 2}),
        teacher=Net(model="mobilenet_v2", options={"width": 0.5, "stem_stride": 2}),
        teachers=1,
        teaching=IMAGE_TEACHING,
        tuning=IMAGES,
        distillation=Distillation(teacher="given", weight=0.9, temperature=4.0),
    ),
    "cifar10 resnet8": Pair(
        data=cifar10,
        student=Net(model="resnet8", options={"channels": 8}),
        teacher=Net(model="resnet8", options={"channels": 32}),
        teachers=1,
        teaching=msgspec.structs.replace(IMAGE_TEACHING, epochs=30, learning_rate=4e-3),
        tuning=msgspec.structs.replace(IMAGES, epochs=30),
        distillation=Distillation(teacher="given", weight=0.9, temperature=4.0),
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


def teacher_of(pair: Pair, data: Data, mark: str, folder: Path, seed: int, *, title: str) -> Ensemble:
    """The teacher in evaluation mode; nets that are not there yet are trained, one interrupted goes on from its last epoch."""
    members = []
    for index in range(pair.teachers):
        settings = msgspec.structs.replace(pair.teaching, seed=1000 * (seed + 1) + index)
        shape = data.training.shape[1:]
        net = zoo.make(pair.teacher.model, input_shape=shape, classes=data.classes, seed=settings.seed, **pair.teacher.options)
        key = digest([mark, msgspec.to_builtins(pair.teacher), msgspec.to_builtins(settings)]).removeprefix("sha256:")[:16]
        path = folder / f"teacher-{key}.pt"
        if path.exists():
            net.load_state_dict(torch.load(path, weights_only=True))
        else:
            examples = ArrayExamples(data.training, data.training_targets)
            told, checkpoint = Told(f"{title}, teacher {index + 1} of {pair.teachers}"), path.with_suffix(".checkpoint")
            train(net, examples, None, settings, preprocess=data.preprocess, checkpoint=checkpoint, progress=told)
            buffer = io.BytesIO()
            torch.save(net.state_dict(), buffer)
            write_atomically(path, buffer.getvalue())
            checkpoint.unlink()
        members.append(net)
    return Ensemble(members).eval()


def student_of(pair: Pair, data: Data, seed: int) -> Graph:
    """The student as it is drawn."""
    shape = data.training.shape[1:]
    net = zoo.make(pair.student.model, input_shape=shape, classes=data.classes, seed=seed, **pair.student.options)
    return read(net.eval(), (np.zeros((1, *shape), np.float32),), name=pair.student.model)


def classes_of(model: nn.Module, data: Data) -> Array:
    return predict(model, data.test, preprocess=data.preprocess).argmax(axis=1)


def kept(path: Path, make: Callable[[], Array]) -> Array:
    """Predicted classes of the test part, made once."""
    if not path.exists():
        write_atomically(path, json.dumps(make().tolist()).encode())
    return np.array(json.loads(path.read_text()))


def measure(name: str, pair: Pair, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One seed of a pair: counts of right answers of teacher and both students, and how the students differ."""
    data = pair.data(arguments.data, arguments.bench, seed)
    mark = digest([digest(data.training), digest(data.training_targets), digest(data.test)])
    folder = arguments.out / name.replace(" ", "_")
    folder.mkdir(parents=True, exist_ok=True)
    title = f"{name}, seed {seed}"
    tuning = msgspec.structs.replace(pair.tuning, seed=seed)
    graph = student_of(pair, data, seed)
    teacher = teacher_of(pair, data, mark, folder, seed, title=title)

    def learnt(distillation: Distillation | None) -> Array:
        given = Material(
            calibration=np.zeros(0, np.float32),
            training=ArrayExamples(data.training, data.training_targets),
            preprocess=data.preprocess,
            teacher=teacher,
            progress=Told(f"{title}, {'distilled' if distillation else 'plain'}"),
        )
        tuned = fine_tune(graph, original=graph, tuning=tuning, distillation=distillation, material=given)
        return classes_of(TorchGraph(tuned), data)

    def answers(what: str, distillation: Distillation | None) -> Array:
        taught = [digest(value.numpy()) for value in teacher.state_dict().values()] if distillation else []
        key = digest([mark, digest(graph), msgspec.to_builtins(tuning), msgspec.to_builtins(distillation), taught])
        return kept(folder / f"{what}-{key.removeprefix('sha256:')[:16]}.json", lambda: learnt(distillation))

    taught = classes_of(teacher, data) == data.test_targets
    plain = answers("plain", None) == data.test_targets
    distilled = answers("distilled", pair.distillation) == data.test_targets
    pairs = paired_counts(distilled, plain)
    weights = [sum(value.size for value in graph.constants.values()), sum(value.numel() for value in teacher.parameters())]
    row = {"pair": name, "seed": seed, "student": weights[0], "teacher": weights[1], "taught": 100 * float(taught.mean())}
    row |= {"plain": 100 * float(plain.mean()), "distilled": 100 * float(distilled.mean()), **_counts(pairs)}
    say(f"{title}: teacher {row['taught']:.2f}, plain {row['plain']:.2f}, distilled {row['distilled']:.2f}")
    return row


def _counts(pairs: PairedCounts) -> dict[str, int]:
    return {"better": pairs.first_only, "worse": pairs.second_only, "samples": pairs.samples}


def gained(rows: list[dict[str, Any]]) -> str:
    """Gain, its bounds and the p-value of rows taken together."""
    pairs = PairedCounts(
        first_only=sum(row["better"] for row in rows),
        second_only=sum(row["worse"] for row in rows),
        samples=sum(row["samples"] for row in rows),
    )
    low, high = drop_bounds(pairs)
    return f"{100 * pairs.drop:6.2f} [{100 * low:5.2f}, {100 * high:5.2f}] {mcnemar(pairs):9.2g}"


def table(rows: list[dict[str, Any]]) -> None:
    heads = f"{'student':>8} {'teacher':>8} {'samples':>8} {'teacher %':>10} {'plain %':>8} {'distilled %':>12}"
    print(f"{'pair':22} {'seed':>5} {heads}   gain, 95 % bounds   McNemar p")
    for name in dict.fromkeys(row["pair"] for row in rows):
        found = [row for row in rows if row["pair"] == name]
        lines: list[tuple[str, list[dict[str, Any]]]] = [(str(row["seed"]), [row]) for row in found]
        for label, some in [*lines, ("all", found)] if len(found) > 1 else lines:
            figures = [np.mean([row[key] for row in some]) for key in ("taught", "plain", "distilled")]
            sizes = f"{some[0]['student']:8} {some[0]['teacher']:8} {sum(row['samples'] for row in some):8}"
            accuracies = f"{figures[0]:10.2f} {figures[1]:8.2f} {figures[2]:12.2f}"
            print(f"{name:22} {label:>5} {sizes} {accuracies}   {gained(some)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with cifar10.zip and fsdd.zip")
    parser.add_argument("--out", type=Path, default=Path(".bench/distillation"), help="teachers and results")
    parser.add_argument("--bench", type=Path, default=Path(".bench"), help="where data of other benchmarks is kept")
    parser.add_argument("--pairs", default=",".join(PAIRS), help="names, or their beginnings")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="torch's; results depend on them")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    arguments = parser.parse_args()
    chosen = [name for name in PAIRS if name.startswith(tuple(arguments.pairs.split(",")))]
    rows = []
    for name in chosen:
        pair = PAIRS[name]
        pair = msgspec.structs.replace(
            pair,
            teaching=msgspec.structs.replace(pair.teaching, threads=arguments.threads),
            tuning=msgspec.structs.replace(pair.tuning, threads=arguments.threads),
        )
        rows += [measure(name, pair, seed, arguments) for seed in range(1 if name.startswith("cifar10") else arguments.seeds)]
    table(rows)
    if arguments.json:
        write_atomically(arguments.json, json.dumps(rows, indent=1).encode())


if __name__ == "__main__":
    main()
