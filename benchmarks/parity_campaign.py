"""Does generated C give the reference's bytes? MLPerf Tiny and every zoo model, on this machine and on six emulated cores.

    python benchmarks/parity_campaign.py --data ../shared/data [--host 10000] [--others 2000] [--core 200] [--out .bench/parity]

For every model: the C of family ``host`` compiled for this machine (``--host`` vectors), the C of each core's family, whose
instructions have a plain twin, on this machine as well (``--others``), both again with ASan and UBSan (500 of them), and the C
of each core's family on that core under QEMU (``--core`` vectors). Vectors are such that reach the extremes of the model's
tensors, then random ones. A place that has seen the same C is not done again: results are kept in ``--out`` with the digest of
the source. Ends with an error if one byte differs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads of the reference that wait for busy cores cost tenfold

import numpy as np
import torch

from marram.compile.c.families import FAMILIES, family_of
from marram.compile.c.generation import Generated, generate
from marram.compile.profiles import device
from marram.compress import fold, quantise
from marram.core.codec import digest
from marram.core.evidence import Parity
from marram.core.graph import Array, Graph
from marram.measure.certificate import Vectors, certify, reference_answers
from marram.measure.extremes import golden_vectors
from marram.model import load, zoo

MLPERF = ("ad01_int8", "kws_ref_model", "vww_96_int8", "pretrainedResnet_quant")
ZOO: dict[str, tuple[int, ...]] = {
    "conv1d": (200, 6),
    "ds_cnn": (49, 10, 1),
    "resnet8": (32, 32, 3),
    "mobilenet_v1": (96, 96, 3),
    "mobilenet_v2": (64, 64, 3),
    "fc_autoencoder": (640,),
    "conv_autoencoder": (32, 32, 1),
    "transformer": (64, 6),
}
SANITISED = 500
LIMIT_S = 3600.0
CORES = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55")


def models(data: Path) -> Iterator[tuple[str, Graph]]:
    for name in MLPERF:
        graph = load(data / "mlperf_tiny" / f"{name}.tflite")
        assert isinstance(graph, Graph)
        yield name, graph
    for name, shape in ZOO.items():
        module = zoo.make(name, input_shape=shape, classes=5, seed=1)
        samples = np.random.default_rng(0).standard_normal((32, *shape)).astype(np.float32)
        with torch.no_grad():  # batch norms that have seen data
            for _ in range(5):
                module(torch.from_numpy(samples))
        graph = load(module.eval(), example=samples[:1])
        yield name, quantise(fold(graph), samples)


def vectors_of(generated: Generated, count: int) -> Vectors:
    """Extreme inputs first, random ones after them, with the reference's answers."""
    graph = generated.graph
    first = golden_vectors(graph, min(200, count))
    rng = np.random.default_rng(7)
    more = [_random(rng, array, count - len(array)) for array in first]
    return reference_answers(generated, [np.concatenate(pair) for pair in zip(first, more, strict=True)])


def _random(rng: np.random.Generator, like: Array, count: int) -> Array:
    limits = np.iinfo(like.dtype)
    return rng.integers(limits.min, limits.max, (count, *like.shape[1:]), dtype=like.dtype, endpoint=True)


class Campaign:
    """Results by model and place, kept after each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, dict[str, object]] = json.loads(path.read_text()) if path.exists() else {}

    def done(self, key: str, generated: Generated, vectors: int) -> bool:
        """Whether a place has seen so many vectors with this source."""
        row = self.rows.get(key)
        return row is not None and row.get("source") == digest(generated.files) and int(str(row["vectors"])) >= vectors

    def keep(self, key: str, generated: Generated, parity: Parity, seconds: float) -> None:
        """Write down what came of a place, and say it."""
        self.rows[key] = {
            "source": digest(generated.files),
            "vectors": parity.vectors,
            "elements": parity.elements,
            "differing": parity.differing,
            "outputs": parity.outputs_digest,
            "seconds": round(seconds, 1),
        }
        self.path.write_text(json.dumps(self.rows, indent=1))
        print(
            f"{key}: {parity.differing} of {parity.elements} bytes differ, {parity.vectors} vectors, {seconds:.0f} s",
            flush=True,
        )


def run(name: str, graph: Graph, campaign: Campaign, *, host: int, others: int, core: int) -> None:
    """All places of one model."""
    families = {family.name: family for family in (FAMILIES["host"], *(family_of(device(core_)) for core_ in CORES))}
    answered: list[Vectors] = []  # every family computes the same lowered graph, so the answers serve all

    def vectors(generated: Generated, count: int) -> Vectors:
        if not answered or len(answered[0].inputs[0]) < count:
            answered[:] = [vectors_of(generated, count)]
        return answered[0].first(count)

    for family in families.values():
        key, count = f"{name} on this machine, family {family.name}", host if family.name == "host" else others
        generated = generate(graph, family, name=name)
        if not campaign.done(f"{key}, sanitised", generated, SANITISED) or not campaign.done(key, generated, count):
            start = time.perf_counter()
            plain, watched = certify(generated, vectors(generated, count), on_sanitised=SANITISED, jobs=1, time_limit_s=LIMIT_S)
            campaign.keep(key, generated, plain, time.perf_counter() - start)
            campaign.keep(f"{key}, sanitised", generated, watched, 0.0)
    for one in CORES:
        key, generated = f"{name} on {one}", generate(graph, family_of(device(one)), name=name)
        if not campaign.done(key, generated, core):
            start = time.perf_counter()
            given = vectors(generated, others).first(core)
            (parity,) = certify(generated, given, cores=(one,), compilers=(), jobs=1, time_limit_s=LIMIT_S)
            campaign.keep(key, generated, parity, time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(".bench/parity"))
    parser.add_argument("--host", type=int, default=10_000)
    parser.add_argument("--others", type=int, default=2_000)
    parser.add_argument("--core", type=int, default=200)
    parser.add_argument("--models", nargs="*")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    campaign = Campaign(chosen.out / "rows.json")
    for name, graph in models(chosen.data):
        if not chosen.models or name in chosen.models:
            run(name, graph, campaign, host=chosen.host, others=chosen.others, core=chosen.core)
    wrong = {key: row for key, row in campaign.rows.items() if row["differing"]}
    total = sum(int(str(row["vectors"])) for row in campaign.rows.values())
    print(f"{len(campaign.rows)} places, {total:,} vectors, {len(wrong)} places with differences")
    sys.exit("\n".join(wrong) if wrong else 0)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
