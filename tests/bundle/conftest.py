"""A small sealed bundle whose program nobody needs to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marram.bundle import FileSigner, new_key, seal
from marram.core.codec import digest
from marram.core.evidence import Evidence, Figure
from marram.core.graph import Quantisation, Tensor
from marram.core.manifest import Golden
from marram.core.program import Program
from marram.core.recipe import Fold, Quantise, Recipe


@pytest.fixture(scope="session")
def program() -> Program:
    return Program(
        target="phone",
        runtime="litert",
        runtime_version="2.3.0",
        format="tflite",
        precision="int8",
        blob=bytes(range(200)),
        inputs=(Tensor(name="x", shape=(1, 3), dtype="int8", quantisation=Quantisation(scales=(0.1,), zero_points=(3,))),),
        outputs=(
            Tensor(name="y", shape=(1, 2), dtype="int8", quantisation=Quantisation(scales=(1 / 256,), zero_points=(-128,))),
        ),
        graph_digest="sha256:" + "0" * 64,
        quantised_by="marram",
    )


@pytest.fixture(scope="session")
def parts(program: Program) -> dict[str, Any]:
    """Arguments of ``seal``, signers aside."""
    accuracy = Figure(name="accuracy", unit="share", value=0.75, method="top-1", low=0.7, high=0.8, confidence=0.95, samples=40)
    latency = Figure(name="latency_p50_us", unit="us", value=12.0, method="perf_counter_ns", deterministic=False)
    return {
        "program": program,
        "name": "tiny",
        "version": "1.2.0",
        "golden": Golden(inputs=(np.arange(6, dtype=np.int8).reshape(2, 3),), outputs=(np.zeros((2, 2), np.int8),)),
        "evidence": Evidence(program_digest=digest(program), data_digest="sha256:aa", on="test", figures=(accuracy, latency)),
        "contract": '[model]\nname = "tiny"\n',
        "licence": "Apache-2.0",
        "created_by": "marram test",
        "labels": ("no", "yes"),
        "preprocess": {"kind": "scale", "by": 0.1},
        "recipe": Recipe(decisions=(Fold(), Quantise(calibration="mse"))),
        "data_digest": "sha256:bb",
    }


@pytest.fixture(scope="session")
def key_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "signing.pem"
    new_key(path)
    return path


@pytest.fixture(scope="session")
def signer(key_path: Path) -> FileSigner:
    return FileSigner(key_path)


@pytest.fixture(scope="session")
def sealed(parts: dict[str, Any], signer: FileSigner) -> bytes:
    return seal(**parts, signers=(signer,))
