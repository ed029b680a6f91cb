"""How far is the predicted cost of unseen nets from the counted one?

    python benchmarks/predictor.py --out .bench/predictor [--nets 500] [--core cortex-m4] [--only <family> ...]

Nets of all families of the zoo with drawn widths, depths, kernels and resolutions: no family of the zoo is among the samples
that the predictor was fitted to. Each net is quantised on random inputs, compiled, and its instructions counted on the emulated
core; what was counted is kept in ``--out`` and not counted again. Beside our prediction from the float graph stand two
lines fitted to half of the very nets: instructions by MACs, and instructions by parameters.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from marram.compile import device
from marram.compress import quantise
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.core.target import Target
from marram.measure.prediction import PriceCache, predict
from marram.measure.prediction.counting import Counted, count
from marram.model import load
from marram.model.counts import counts
from marram.model.zoo import make, names

FAMILIES = tuple(names())


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """A net of the zoo: what ``make`` is called with, and the share of the default arena that it is limited to."""

    family: str
    input_shape: tuple[int, ...]
    classes: int
    options: dict[str, Any]
    arena_share: float | None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One net: drawn, counted."""

    drawn: Drawn
    counted: Counted
    macs: int
    parameters: int


def drawn(index: int, seed: int = 0) -> Drawn:
    """The net of an index; families take turns."""
    rng = np.random.default_rng([seed, index])
    family = FAMILIES[index % len(FAMILIES)]
    shape, classes, options = _DRAWS[family](rng)
    share = float(rng.choice([0.6, 0.8])) if rng.random() < 0.25 else None
    return Drawn(family=family, input_shape=shape, classes=classes, options=options, arena_share=share)


def _pick(rng: np.random.Generator, *values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def _conv1d(rng: np.random.Generator) -> tuple[tuple[int, ...], int, dict[str, Any]]:
    options = {"width": round(float(rng.uniform(0.3, 1.6)), 2), "kernel": _pick(rng, 3, 5, 7, 9)}
    return (int(rng.integers(40, 200)), int(rng.integers(1, 13))), int(rng.integers(2, 13)), options


def _ds_cnn(rng: np.random.Generator) -> tuple[tuple[int, ...], int, dict[str, Any]]:
    options = {"channels": int(rng.integers(8, 80)), "blocks": int(rng.integers(1, 6))}
    return (int(rng.integers(20, 62)), int(rng.integers(8, 41)), 1), int(rng.integers(2, 13)), options


def _mobilenet(rng: np.random.Generator) -> tuple[tuple[int, ...], int, dict[str, Any]]:
    size = int(_pick(rng, 32, 40, 48, 64, 80, 96))
    options = {"width": round(float(rng.uniform(0.1, 0.3)), 2)}
    return (size, size, int(_pick(rng, 1, 3))), int(rng.integers(2, 11)), options


def _mobilenet_v2(rng: np.random.Generator) -> tuple[tuple[int, ...], int, dict[str, Any]]:
    size = int(_pick(rng, 32, 48, 64))
    options = {"width": round(float(rng.uniform(0.1, 0.35)), 2)}
    return (size, size, int(_pick(rng, 1, 3))), int(rng.integers(2, 11)), options


def _resnet8(rng: np.random.Generator) -> tuple[tuple[int, ...], int, dict[str, Any]]:
    size = int(_pick(rng, 16, 24, 28, 32))
    return (size, size, int(_pick(rng, 1, 3))), int(rng.integers(2, 11)), {"channels": int(rng.integers(4, 18))}


def _fc_autoencoder(rng: np.random.Generator) -> tuple[tuple[int, ...], int, dict[str, Any]]:
    options = {"hidden": int(rng.integers(8, 129)), "depth": int(rng.integers(1, 5)), "bottleneck": int(rng.integers(2, 17))}
    return (int(rng.integers(16, 641)),), 0, options


def _conv_autoencoder(rng: np.random.Generator) -> tuple[tuple[int, ...], int, dict[str, Any]]:
    channels, depth, bottleneck = int(_pick(rng, 4, 6, 8, 12)), int(rng.integers(1, 4)), int(rng.integers(2, 13))
    size = int(_pick(rng, 16, 24, 32))
    image = (size, size, int(_pick(rng, 1, 3)))
    shape = image if rng.random() < 0.7 else (int(_pick(rng, 64, 96, 128)), int(rng.integers(1, 7)))
    return shape, 0, {"channels": channels, "depth": depth, "bottleneck": bottleneck}


def _transformer(rng: np.random.Generator) -> tuple[tuple[int, ...], int, dict[str, Any]]:
    heads = int(_pick(rng, 1, 2, 4))
    options = {"width": heads * int(rng.integers(3, 13)), "heads": heads, "depth": int(rng.integers(1, 4))}
    return (int(rng.integers(10, 60)), int(rng.integers(3, 14))), int(rng.integers(2, 13)), options


_DRAWS = {
    "conv1d": _conv1d,
    "conv_autoencoder": _conv_autoencoder,
    "ds_cnn": _ds_cnn,
    "fc_autoencoder": _fc_autoencoder,
    "mobilenet_v1": _mobilenet,
    "mobilenet_v2": _mobilenet_v2,
    "resnet8": _resnet8,
    "transformer": _transformer,
}


def made(net: Drawn) -> Graph:
    """The float graph of a net with seeded weights."""
    module = make(net.family, input_shape=net.input_shape, classes=net.classes, **net.options)
    return load(module, example=np.zeros((1, *net.input_shape), np.float32))


def counted(net: Drawn, graph: Graph, target: Target) -> Counted:
    """Quantised on random inputs, compiled, counted."""
    inputs = np.random.default_rng(1).normal(size=(8, *net.input_shape)).astype(np.float32)
    integer = quantise(graph, inputs)
    limit = None
    if net.arena_share is not None:
        limit = int(predict(integer, target).arena_bytes * net.arena_share)
    return count(integer, target, arena_limit_bytes=limit)


def rows(target: Target, nets: int, out: Path, only: list[str]) -> list[tuple[Row, Graph]]:
    """All nets, counted now or before."""
    found = []
    for index in range(nets):
        net = drawn(index)
        if only and net.family not in only:
            continue
        path = out / f"{target.core}-{index}.json"
        try:
            if path.exists():
                row = msgspec.json.decode(path.read_bytes(), type=Row)
                graph = made(row.drawn)
            else:
                graph = made(net)
                all_of = counts(graph)
                row = Row(drawn=net, counted=counted(net, graph, target), macs=all_of.macs, parameters=all_of.parameters)
                path.write_bytes(msgspec.json.encode(row))
        except UserError as error:
            print(f"  {index} {net.family} left out: {error}", flush=True)
            continue
        found.append((row, graph))
    return found


def line(costs: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Relative errors of a line through half of the nets, on the other half, both ways."""
    errors = np.zeros(len(costs))
    for part in (0, 1):
        train, test = np.arange(len(costs)) % 2 == part, np.arange(len(costs)) % 2 != part
        design = np.stack([sizes, np.ones(len(sizes))], axis=1)
        weights = 1.0 / costs[train]
        solution, *_ = np.linalg.lstsq(design[train] * weights[:, None], costs[train] * weights, rcond=None)
        errors[test] = design[test] @ solution / costs[test] - 1.0
    return errors


def summary(errors: np.ndarray) -> str:
    """Hit rates and the root mean square of relative errors."""
    size = np.abs(errors)
    return (
        f"n {len(errors):4d}  +-5 % {np.mean(size <= 0.05):7.2%}  +-10 % {np.mean(size <= 0.10):7.2%}  "
        f"RMSPE {np.sqrt(np.mean(size**2)):7.3%}  median {np.median(size):7.3%}  worst {size.max():7.2%}"
    )


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of values."""
    return np.argsort(np.argsort(values)).astype(float)


def main() -> None:
    """Count what is missing, then print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(".bench/predictor"))
    parser.add_argument("--nets", type=int, default=500)
    parser.add_argument("--core", default="cortex-m4")
    parser.add_argument("--only", nargs="*", default=[], choices=FAMILIES)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    target = device(asked.core)
    found = rows(target, asked.nets, asked.out, asked.only)
    cache, seconds, errors = PriceCache(), [], defaultdict(list)
    arenas, outside = 0, 0
    for row, graph in found:
        start = time.perf_counter()
        price = predict(graph, target, arena_limit_bytes=row.counted.arena_limit_bytes, cache=cache)
        seconds.append(time.perf_counter() - start)
        truth = row.counted
        errors["instructions"].append(price.instructions / truth.instructions - 1.0)
        errors["cycles"].append(price.cycles / truth.cycles - 1.0)
        errors["flash_bytes"].append(price.flash_bytes / truth.flash_bytes - 1.0)
        errors["ram_bytes"].append(price.ram_bytes / (truth.ram_bytes + truth.stack_bound_bytes) - 1.0)
        errors["stack_bytes"].append(price.stack_bytes / truth.stack_bound_bytes - 1.0)
        arenas += price.arena_bytes == truth.arena_bytes
        outside += bool(price.outside)
        if abs(errors["instructions"][-1]) > 0.05:
            print(f"  beyond 5 %: {errors['instructions'][-1]:+.2%} {row.drawn}")
    truth = np.array([row.counted.instructions for row, _ in found], float)
    print(f"{asked.core}: {len(found)} nets, {truth.min():.0f} to {truth.max():.0f} instructions")
    for name, values in errors.items():
        print(f"{name:24s} {summary(np.array(values))}")
    for name in ("macs", "parameters"):
        values = line(truth, np.array([getattr(row, name) for row, _ in found], float))
        print(f"{'line over ' + name:24s} {summary(values)}")
    predicted = truth * (1 + np.array(errors["instructions"]))
    print(f"Spearman {np.corrcoef(ranks(truth), ranks(predicted))[0, 1]:.6f}")
    for family in FAMILIES:
        chosen = [error for error, (row, _) in zip(errors["instructions"], found, strict=True) if row.drawn.family == family]
        if chosen:
            print(f"  {family:22s} {summary(np.array(chosen))}")
    print(f"arena equals the planner's for the calibrated graph: {arenas} of {len(found)}; flagged as outside: {outside}")
    median, most = np.median(seconds) * 1e3, np.quantile(seconds, 0.9) * 1e3
    print(f"time of a prediction: median {median:.0f} ms, 90 % below {most:.0f} ms")


if __name__ == "__main__":
    main()
