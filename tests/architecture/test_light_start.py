"""Light rooms stay light: what a fresh process holds after importing one, the processor time it took, and what it weighs."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

import pytest

FRAMEWORKS = ("torch", "onnx", "onnxruntime", "ai_edge_litert", "matplotlib", "optuna", "ray")
HEAVY = (*FRAMEWORKS, "sqlalchemy", "PIL", "typer", "rich", "jinja2")
LATER = (
    "marram.data",
    "marram.model",
    "marram.compress",
    "marram.compile",
    "marram.measure",
    "marram.search",
    "marram.report",
    "marram.cli.app",
)
START_LIMIT_S = 0.35
MEMORY_LIMIT_MIB = 45.0

PROBE = """
import json, sys, time
import {module}
elapsed = time.process_time()  # of the whole process, the interpreter's own start included
peak = next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]
print(json.dumps({{"s": elapsed, "mib": int(peak) / 1024, "modules": sorted({{m.split(".")[0] for m in sys.modules}})}}))
"""


def probe(module: str) -> dict[str, object]:
    run = subprocess.run([sys.executable, "-c", PROBE.format(module=module)], capture_output=True, text=True, check=True)
    return dict(json.loads(run.stdout))


@pytest.mark.parametrize("module", ["marram", "marram.core", "marram.sense", "marram.bundle", "marram.runtime"])
def test_light_rooms_load_nothing_heavy(module: str) -> None:
    loaded = probe(module)["modules"]
    assert not set(HEAVY) & set(loaded)  # type: ignore[call-overload]


@pytest.mark.parametrize("module", LATER)
def test_every_room_leaves_torch_for_later(module: str) -> None:
    loaded = probe(module)["modules"]
    assert not set(FRAMEWORKS) & set(loaded)  # type: ignore[call-overload]


def test_runtime_starts_quickly_and_small() -> None:
    probe("marram.runtime")  # warms the page cache
    runs = [probe("marram.runtime") for _ in range(5)]
    assert min(float(run["s"]) for run in runs) < START_LIMIT_S  # type: ignore[arg-type]
    assert statistics.median(float(run["mib"]) for run in runs) < MEMORY_LIMIT_MIB  # type: ignore[arg-type]
