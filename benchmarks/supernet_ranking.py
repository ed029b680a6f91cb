"""How well a supernet's estimates rank its parts, beside parameters, MACs and a zero-cost proxy.

    python benchmarks/supernet_ranking.py --data ../shared/data --out .bench/ranking [--tasks watch,digits] [--parts 40]

The truth is the accuracy of a part that was trained from fresh weights of its own, for as many epochs as the task's net
made by hand, on the test part. Spearman's rank correlation with it, with a 95 % interval by bootstrap over the parts.
Proxies: the number of parameters, of MACs, and SynFlow (Tanaka et al., 2020: the sum of |weight x gradient| of a net of
absolute weights on an input of ones), the best single one of Abdelfattah et al., 2021. A proxy that does not beat the
number of parameters has no place in a search. Trained parts are kept, so a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec
import numpy as np
import torch
from int8_accuracy import TASKS as DATA
from int8_accuracy import Material
from scipy.stats import spearmanr

from marram.core.codec import decode, digest, encode
from marram.core.durable import write_atomically
from marram.core.graph import Graph, with_nodes
from marram.core.recipe import Tuning
from marram.model import load, zoo
from marram.model.counts import counts
from marram.model.torch_graph import TorchGraph, trained_graph
from marram.model.training import ArrayExamples, train
from marram.search.estimation import Judge, error_of, part_of
from marram.search.space import Cutter, Space, decisions_of, space_of
from marram.search.supernet import train_supernet

NETS = {"watch": "conv1d", "digits": "ds_cnn", "fashion": "ds_cnn"}
SUPERNET_EPOCHS = {"watch": 60, "digits": 40, "fashion": 12}


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one part."""

    accuracy: float
    estimate: float
    parameters: int
    macs: int
    synflow: float


def synflow(graph: Graph) -> float:
    """The proxy, as a logarithm: it spans many powers of ten."""
    constants = {name: np.abs(value) for name, value in graph.constants.items() if value.dtype == np.float32}
    net = TorchGraph(with_nodes(graph, graph.nodes, constants=constants)).eval().double()
    ones = torch.ones(graph.input_tensors[0].shape, dtype=torch.float64)
    net(ones).sum().backward()
    total = sum(float((value * value.grad).abs().sum()) for value in net.parameters() if value.grad is not None)
    return float(np.log(max(total, 1e-300)))


def fresh(graph: Graph, seed: int) -> Graph:
    """The graph with weights as a net of its own would begin: He's, zeros and ones."""
    generator = np.random.default_rng(seed)
    constants = {}
    for node in graph.nodes:
        for position, name in enumerate(node.inputs):
            if name not in graph.constants or graph.constants[name].dtype != np.float32:
                continue
            value = graph.constants[name]
            if value.ndim > 1:
                fan_in = value.size // value.shape[0] if value.shape[0] != 1 else value.size // value.shape[-1]
                constants[name] = (generator.standard_normal(value.shape) * np.sqrt(2 / fan_in)).astype(np.float32)
            else:
                ones = type(node.op).__name__ == "BatchNorm" and position in {1, 4}
                constants[name] = np.full_like(value, 1.0 if ones else 0.0)
    return with_nodes(graph, graph.nodes, constants=constants)


def drawn(space: Space, generator: np.random.Generator) -> dict[str, object]:
    """Values at a random level, so that sizes spread evenly."""
    level = generator.random()
    places = {one.name: level + 0.5 * (generator.random() - 0.5) for one in space.variables}
    return {
        one.name: one.choices[int(np.clip(int(places[one.name] * len(one.choices)), 0, len(one.choices) - 1))]
        for one in space.variables
    }


def truths(name: str, arguments: argparse.Namespace) -> list[Truth]:
    """The parts of one task, from what is kept where there is anything."""
    task, out = DATA[name], arguments.out / name
    material = task.material(arguments.data, arguments.out.parent, 0)
    module = zoo.make(NETS[name], input_shape=material.training.shape[1:], classes=material.classes, seed=0)
    graph = load(module, example=material.training[:1], name=name)
    space = space_of(graph)
    trained = supernet(space, material, name, out)
    judge = judge_of(trained, material)
    cutter, generator = Cutter(trained), np.random.default_rng(0)
    found = []
    for number in range(arguments.parts):
        decisions = decisions_of(space, drawn(space, generator), cutter)
        kept = out / f"{digest((digest(trained), decisions, task.settings)).removeprefix('sha256:')[:20]}.mp"
        if not kept.exists():
            part = part_of(judge, decisions, cutter)
            accuracy = trained_accuracy(fresh(part, number), material, task.settings)
            counted = counts(part)
            one = Truth(
                accuracy=accuracy,
                estimate=1 - error_of(judge, part),
                parameters=counted.parameters,
                macs=counted.macs,
                synflow=synflow(fresh(part, number)),
            )
            write_atomically(kept, encode(one))
        found.append(decode(kept.read_bytes(), Truth))
        print(f"{name} {number + 1}: {found[-1]}", file=sys.stderr, flush=True)
    return found


def supernet(space: Space, material: Material, name: str, out: Path) -> Graph:
    """The trained supernet, kept."""
    tuning = Tuning(
        epochs=SUPERNET_EPOCHS[name],
        learning_rate=3e-3,
        weight_decay=1e-2,
        precision="bfloat16" if name == "fashion" else "float32",
    )
    kept = out / f"supernet-{digest((digest(space.graph), space.variables, tuning)).removeprefix('sha256:')[:20]}.mp"
    if not kept.exists():
        out.mkdir(parents=True, exist_ok=True)
        training = ArrayExamples(material.training, material.training_targets)
        graph = train_supernet(space, training, None, tuning, checkpoint=kept.with_suffix(".checkpoint"), progress=say)
        write_atomically(kept, encode(graph))
    return decode(kept.read_bytes(), Graph)


def judge_of(graph: Graph, material: Material) -> Judge:
    """Estimates on the validation part, or where a task has none on training samples that are left over."""
    samples, targets = material.validation, material.validation_targets
    if not len(samples):
        samples, targets = material.training[::7], material.training_targets[::7]
    step = max(1, len(material.training) // 512)
    return Judge(graph=graph, calibration=material.training[::step], samples=samples, targets=targets)


def trained_accuracy(graph: Graph, material: Material, settings: object) -> float:
    """Accuracy on the test part of a part that is trained from fresh weights."""
    net = TorchGraph(graph)
    train(net, ArrayExamples(material.training, material.training_targets), None, settings, progress=lambda _what, _part: None)
    judge = Judge(graph=graph, calibration=material.training[:1], samples=material.test, targets=material.test_targets)
    return 1 - error_of(judge, trained_graph(net))


def say(what: str, part: float) -> None:
    if part == 1.0 or int(part * 200) % 20 == 0:
        print(f"{part:6.1%} {what}", file=sys.stderr, flush=True)


def correlation(truth: np.ndarray, guess: np.ndarray) -> str:
    """Spearman's, with its interval."""
    generator = np.random.default_rng(0)
    draws = [generator.integers(0, len(truth), len(truth)) for _ in range(2000)]
    spread = np.nanquantile([spearmanr(truth[draw], guess[draw]).statistic for draw in draws], [0.025, 0.975])
    return f"{spearmanr(truth, guess).statistic:5.2f} ({spread[0]:.2f} to {spread[1]:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", default="watch,digits")
    parser.add_argument("--parts", type=int, default=40)
    arguments = parser.parse_args()
    print(f"{'task':8} {'parts':>5}  {'supernet estimate':22} {'parameters':22} {'MACs':22} {'SynFlow':22}")
    for name in arguments.tasks.split(","):
        found = truths(name, arguments)
        columns = {field: np.array([getattr(one, field) for one in found]) for field in Truth.__struct_fields__}
        cells = [correlation(columns["accuracy"], columns[field]) for field in ("estimate", "parameters", "macs", "synflow")]
        print(f"{name:8} {len(found):5}  " + " ".join(f"{cell:22}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
