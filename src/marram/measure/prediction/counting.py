"""What sample nets cost, counted on the emulated core once and kept in a folder: a file a net."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from marram.compile.c.families import family_of
from marram.compile.c.generation import Generated, generate
from marram.compile.toolchain.commands import call
from marram.compile.toolchain.cross import COMPILER, link_application, link_harness
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.core.ports import Progress
from marram.core.target import Target
from marram.measure.emulator.profile import profile, seeded_inputs
from marram.measure.estimation import moves
from marram.measure.microcontroller import compiled_for
from marram.measure.prediction.kernels import kernels_of
from marram.measure.prediction.samples import sample


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What one net costs on one core.

    ``functions`` has the instructions of each layer's function by its name, ``between_layers`` those of what calls them.
    ``function_cycles`` and ``function_moves`` are the stated cycles, and the loads and stores, of the same.
    ``arena_limit_bytes`` was asked for. ``constant_bytes`` and ``code_bytes`` are parts of ``flash_bytes``.
    """

    kernels: str
    compiler: str
    core: str
    arena_limit_bytes: int | None
    arena_bytes: int
    instructions: int
    cycles: float
    functions: dict[str, int]
    function_cycles: dict[str, float]
    function_moves: dict[str, int]
    flash_bytes: int
    code_bytes: int
    constant_bytes: int
    ram_bytes: int
    stack_bound_bytes: int


def count(graph: Graph, target: Target, *, arena_limit_bytes: int | None = None) -> Counted:
    """Compile, run, count.

    Raises:
        ToolError, UserError, DeviceError: as ``measure.microcontroller.on_core``.
    """
    generated = generate(graph, family_of(target), name="net", arena_limit_bytes=arena_limit_bytes)
    return count_generated(generated, target, arena_limit_bytes=arena_limit_bytes)


def count_generated(generated: Generated, target: Target, *, arena_limit_bytes: int | None) -> Counted:
    """The same of sources that are there."""
    with tempfile.TemporaryDirectory(prefix="marram-count-") as folder:
        compiled = compiled_for(generated, target, Path(folder))
        application = link_application(compiled)
        found = profile(compiled, seeded_inputs(generated.graph.input_tensors), image=link_harness(compiled))
    return Counted(
        kernels=kernels_of(family_of(target)),
        compiler=compiler_version(),
        core=found.core,
        arena_limit_bytes=arena_limit_bytes,
        arena_bytes=generated.plan.arena_bytes,
        instructions=found.instructions,
        cycles=found.cycles,
        functions={row.name: row.instructions for row in found.layers},
        function_cycles={row.name: row.cycles for row in found.layers},
        function_moves={row.name: moves(row.by_class) for row in found.layers},
        flash_bytes=application.flash_bytes,
        code_bytes=compiled.sizes.code_bytes,
        constant_bytes=compiled.sizes.constant_bytes,
        ram_bytes=application.ram_bytes,
        stack_bound_bytes=compiled.stack.size_bytes,
    )


def compiler_version() -> str:
    """What the cross compiler calls itself."""
    return call([COMPILER, "--version"], folder=Path.cwd()).splitlines()[0]


def counted_samples(
    target: Target, seeds: Iterable[int], folder: Path, *, progress: Progress = lambda _what, _part: None
) -> Iterator[tuple[int, Counted]]:
    """The costs of samples by seed; what is in the folder, of the same kernels, is not counted again.

    Samples that fit on no board are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = list(seeds)
    for index, seed in enumerate(chosen):
        progress(f"sample {seed} on {target.name}", index / len(chosen))
        path = folder / f"{target.core}-{seed}.json"
        if path.exists():
            kept = msgspec.json.decode(path.read_bytes(), type=Counted)
            if kept.kernels == kernels_of(family_of(target)):
                yield seed, kept
                continue
        try:
            counted = _counted(seed, target)
        except UserError:
            continue
        path.write_bytes(msgspec.json.encode(counted))
        yield seed, counted


def _counted(seed: int, target: Target) -> Counted:
    net = sample(seed)
    generated = generate(net.graph, family_of(target), name="net")
    limit = None
    if net.arena_share is not None:
        limit = int(generated.plan.arena_bytes * net.arena_share)
        generated = generate(net.graph, family_of(target), name="net", arena_limit_bytes=limit)
    return count_generated(generated, target, arena_limit_bytes=limit)
