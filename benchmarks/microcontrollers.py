"""What do the MLPerf Tiny int8 models cost on Cortex-M cores? Instructions, RAM, flash and stack, peers beside ours.

    python benchmarks/microcontrollers.py --data ../shared/data [--cores cortex-m4 ...] [--nets kws ...] [--out .bench/mcu]

For every core and net, in one run, with the same compiler, flags, emulator and counting plugin:

- ours, default: what ``marram compile`` writes when no limit is given;
- ours, fastest: with any arena;
- ours, goal's RAM: the arena limited to the goal of the net (``GOAL_ARENA_BYTES``);
- CMSIS-NN 4.0.0: the same generator calling CMSIS-NN (``peers/cmsis_nn.py``);

every output byte held against the integer reference (``--vectors`` inputs on the core, two for CMSIS-NN), and each count taken
twice. TensorFlow Lite Micro with CMSIS-NN 7 is quoted, not run: its sources are in no package registry. It was measured on
2026-11-21 under the same QEMU 7.2.22 and gcc 12.2.1, counting one Invoke (``QUOTED``). RAM of TensorFlow Lite Micro on this
machine (64-bit pointers) is taken from the recording allocator of the PyPI package tflite-micro in this run, and bakenn 1.0.0
is asked to compile each file. Instructions are not cycles, and no board was used: none of this is an MLPerf result.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from peers.cmsis_nn import CMSIS_NN, fetched

from marram.compile import device
from marram.compile.c.families import family_of
from marram.compile.c.generation import Generated, generate
from marram.compile.toolchain.cross import compile_for, link_application, link_harness
from marram.core.graph import Graph
from marram.measure.certificate import reference_answers
from marram.measure.emulator.emulation import EmulatedSession
from marram.measure.emulator.profile import profile, seeded_inputs
from marram.measure.extremes import golden_vectors
from marram.model import load

NETS = {"ad": "ad01_int8", "kws": "kws_ref_model", "vww": "vww_96_int8", "ic": "pretrainedResnet_quant"}
CORES = ("cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "cortex-m3", "cortex-m0")
# The arenas that the project set itself, in bytes: inputs, outputs, activations and scratch.
GOAL_ARENA_BYTES = {"ad": 800, "kws": 8_500, "vww": 32_000, "ic": 25_000}
# Instructions for each MAC that the project set itself as the most: ad, kws, vww, ic.
GOAL_PER_MAC = {
    "cortex-m4": (1.5, 1.6, 1.4, 1.3),
    "cortex-m7": (1.5, 1.6, 1.4, 1.3),
    "cortex-m33": (1.5, 1.6, 1.4, 1.3),
    "cortex-m55": (0.40, 0.45, 0.50, 0.30),
    "cortex-m3": (2.4, 2.5, 2.6, 2.3),
    "cortex-m0": (5.0, 7.0, 7.5, 6.0),
}
# TensorFlow Lite Micro 90b983c2 with CMSIS-NN 99f736a6, as shipped: instructions of one Invoke for ad, kws, vww, ic; then
# arena_used_bytes, stack of Invoke, and flash without the model (int8 registrations) on the Cortex-M4.
QUOTED = {
    "cortex-m4": (582_945, 7_698_405, 24_101_943, 29_863_738),
    "cortex-m7": (583_249, 7_644_193, 24_025_570, 30_026_461),
    "cortex-m33": (583_410, 7_680_697, 24_046_751, 29_962_791),
    "cortex-m55": (150_000, 1_814_229, 6_558_317, 4_912_169),
    "cortex-m3": (955_965, 10_533_278, 31_959_142, 41_847_881),
    "cortex-m0": (1_763_159, 28_999_677, 86_904_586, 97_558_335),
}
QUOTED_ARENA = {"ad": 2_580, "kws": 22_820, "vww": 100_708, "ic": 54_996}
QUOTED_STACK = {"ad": 860, "kws": 1_356, "vww": 1_356, "ic": 1_356}
QUOTED_FLASH = {"ad": 27_544, "kws": 53_856, "vww": 53_856, "ic": 51_656}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One engine on one core and net. ``code_bytes``: flash without weights, startup included."""

    core: str
    net: str
    engine: str
    instructions: int
    per_mac: float
    arena_bytes: int
    stack_bytes: int
    stack_bound_bytes: int
    flash_bytes: int
    flash_forecast_bytes: int
    ram_bytes: int
    ram_forecast_bytes: int
    code_bytes: int
    vectors: int
    differing: int
    repeats: bool
    generate_s: float
    parity_s: float


def measured(generated: Generated, core: str, engine: str, *, vectors: int, seconds: float, flags: tuple[str, ...] = ()) -> Row:
    """Build, run, count twice."""
    net = generated.name
    with tempfile.TemporaryDirectory(prefix="marram-bench-") as folder:
        compiled = compile_for(generated, core, Path(folder), flags=flags)
        application, harness = link_application(compiled), link_harness(compiled)
        given = seeded_inputs(generated.graph.input_tensors)
        first, second = (profile(compiled, given, image=harness) for _ in range(2))
        inputs = golden_vectors(generated.graph, vectors)
        wanted = reference_answers(generated, inputs)
        start = time.perf_counter()
        with EmulatedSession(compiled, image=harness, time_limit_s=120) as session:
            stack = session.device.stack_bytes(given)
            found = session.run_many(inputs)
        parity_s = time.perf_counter() - start
    differing = sum(int((a != b).sum()) for a, b in zip(found, wanted.expected, strict=True))
    return Row(
        core=core,
        net=net,
        engine=engine,
        instructions=first.instructions,
        per_mac=first.instructions / first.macs,
        arena_bytes=generated.plan.arena_bytes,
        stack_bytes=stack,
        stack_bound_bytes=compiled.stack.size_bytes,
        flash_bytes=application.flash_bytes,
        flash_forecast_bytes=compiled.sizes.flash_bytes,
        ram_bytes=application.ram_bytes,
        ram_forecast_bytes=compiled.sizes.ram_bytes,
        code_bytes=application.flash_bytes - sum(layer.weight_bytes for layer in generated.layers),
        vectors=vectors,
        differing=differing,
        repeats=(first.instructions, first.layers) == (second.instructions, second.layers),
        generate_s=seconds,
        parity_s=parity_s,
    )


def ours(graph: Graph, core: str, net: str, vectors: int) -> list[Row]:
    """The default plan, the fastest one, and the one within the goal's arena."""
    rows = []
    family = family_of(device(core))
    for engine, limit in (("ours, default", None), ("ours, fastest", 1 << 30), ("ours, goal's RAM", GOAL_ARENA_BYTES[net])):
        start = time.perf_counter()
        generated = generate(graph, family, name=net, arena_limit_bytes=limit)
        rows.append(measured(generated, core, engine, vectors=vectors, seconds=time.perf_counter() - start))
    return rows


def cmsis(graph: Graph, core: str, net: str, folder: Path) -> Row:
    """The same net through CMSIS-NN's functions; its sources join the model's file."""
    sources, includes = fetched(folder)
    start = time.perf_counter()
    generated = generate(graph, CMSIS_NN, name=net)
    text = generated.files[f"{net}.c"] + "".join(f'#include "{path}"\n' for path in sources)
    generated = msgspec.structs.replace(generated, files={**generated.files, f"{net}.c": text})
    flags = tuple(f"-I{path}" for path in includes)
    seconds = time.perf_counter() - start
    return measured(generated, core, "CMSIS-NN 4.0.0", vectors=2, seconds=seconds, flags=flags)


def recorded_arena(path: Path) -> str:
    """What TensorFlow Lite Micro's recording allocator says on this machine."""
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(path.read_bytes(), arena_size=4 << 20)
    said = io.StringIO()
    with contextlib.redirect_stdout(said), _captured() as lines:
        interpreter.print_allocations()
    numbers = dict(re.findall(r"Arena allocation (total|head|tail) (\d+) bytes", "".join(lines)))
    return ", ".join(f"{name} {int(size):,}" for name, size in numbers.items()) or "not said"


@contextlib.contextmanager
def _captured() -> Iterator[list[str]]:
    """Standard error of native code, which bypasses Python's own."""
    lines: list[str] = []
    with tempfile.TemporaryFile(mode="w+") as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            lines.append(file.read())


def bakenn(path: Path, folder: Path) -> str:
    """What bakenn 1.0.0 says of a file."""
    fetched(folder)
    sys.path.insert(0, str(folder))
    try:
        import bakenn as package

        with tempfile.TemporaryDirectory(prefix="marram-bakenn-") as out:
            package.compile_tflite(path, Path(out) / "model")
    except Exception as error:  # noqa: BLE001  # whatever it says is the finding
        return f"{type(error).__name__}: {str(error).splitlines()[0][:110]}"
    finally:
        sys.path.remove(str(folder))
    return "compiles it"


def show(rows: list[Row], data: Path, cache: Path, nets: list[str]) -> None:
    """Everything as tables."""
    for core in dict.fromkeys(row.core for row in rows):
        print(f"\n{core}: instructions of one inference, and for each MAC")
        print(f"{'':18}" + "".join(f"{net:>24}" for net in nets))
        for engine in dict.fromkeys(row.engine for row in rows if row.core == core):
            cells = {row.net: row for row in rows if (row.core, row.engine) == (core, engine)}
            _line(engine, [f"{cells[net].instructions:,} {cells[net].per_mac:8.3f}" for net in nets])
        macs = {row.net: row.instructions / row.per_mac for row in rows}
        places = [list(NETS).index(net) for net in nets]
        quoted = zip(nets, (QUOTED[core][place] for place in places), strict=True)
        _line("TFLM (quoted)", [f"{count:,} {count / macs[net]:8.3f}" for net, count in quoted])
        _line("goal, at most", [f"{GOAL_PER_MAC[core][place]:.3f}" for place in places])
    print("\nbytes: arena / stack painted (bound) / code and tables, startup included / flash / RAM without stack; forecasts")
    for row in rows:
        equal = (row.flash_bytes, row.ram_bytes) == (row.flash_forecast_bytes, row.ram_forecast_bytes)
        sizes = f"{row.arena_bytes:>8,} {row.stack_bytes:>5} ({row.stack_bound_bytes}) {row.code_bytes:>8,}"
        proof = f"{row.differing} bytes of {row.vectors} vectors differ"
        times = f"generated in {row.generate_s:.2f} s, vectors in {row.parity_s:.1f} s"
        print(
            f"{row.core:11} {row.net:4} {row.engine:16} {sizes} {row.flash_bytes:>8,} {row.ram_bytes:>8,}"
            f" {'equal' if equal else 'NOT EQUAL'}; {proof}; {'same count twice' if row.repeats else 'COUNTS DIFFER'}; {times}"
        )
    print("\nTFLM on the Cortex-M4 (quoted): arena, stack, code without the model; recording allocator here; bakenn 1.0.0")
    for net in nets:
        path = data / "mlperf_tiny" / f"{NETS[net]}.tflite"
        sizes = f"{QUOTED_ARENA[net]:>8,} {QUOTED_STACK[net]:>6,} {QUOTED_FLASH[net]:>7,}"
        print(f"{net:4} {sizes}; {recorded_arena(path)}; {bakenn(path, cache)}")


def _line(name: str, cells: list[str]) -> None:
    print(f"{name:18}" + "".join(f"{cell:>24}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(".bench/mcu"))
    parser.add_argument("--cores", nargs="*", default=list(CORES))
    parser.add_argument("--nets", nargs="*", default=list(NETS))
    parser.add_argument("--vectors", type=int, default=20)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for core in chosen.cores:
        for net in chosen.nets:
            graph = load(chosen.data / "mlperf_tiny" / f"{NETS[net]}.tflite")
            assert isinstance(graph, Graph)
            rows += [*ours(graph, core, net, chosen.vectors), cmsis(graph, core, net, chosen.out)]
            print(f"{core} {net} done", file=sys.stderr, flush=True)
            (chosen.out / "rows.json").write_text(json.dumps([msgspec.structs.asdict(row) for row in rows], indent=1))
    show(rows, chosen.data, chosen.out, chosen.nets)
    wrong = [row for row in rows if row.differing or not row.repeats]
    sys.exit(f"{len(wrong)} rows differ from the reference or from themselves" if wrong else 0)


if __name__ == "__main__":
    np.seterr(all="raise")
    main()
