"""Exact instruction counts of one inference: by layer, by function, by class of instruction."""

from __future__ import annotations

import re
import tempfile
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from marram.compile.toolchain.cross import Compiled, Image, link_harness
from marram.compile.toolchain.elf import Elf, read_elf
from marram.compile.toolchain.thumb import return_places
from marram.core.errors import DeviceError, InternalError
from marram.core.graph import Array, Tensor
from marram.measure.emulator.cycles import architectural_cycles
from marram.measure.emulator.emulation import EmulatedSession
from marram.measure.emulator.instructions import CLASSES, Instruction, disassemble
from marram.measure.emulator.plugin import Counts, plugin_file, read_counts

BETWEEN = "between_layers"
_COUNTED = "marram_counted_invoke"
_CLONE = re.compile(r"(\.(constprop|isra|part)\.\d+)+$")


class LayerCount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one layer's function executed in one inference, what it calls included.

    ``layers`` is how many layers share the function; ``macs`` are those of all of them. ``cycles`` are of the core without
    waiting.
    """

    name: str
    layers: int
    macs: int
    instructions: int
    by_class: dict[str, int]
    cycles: float


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One inference: all instructions from the entry of invoke to its return.

    ``layers`` has the functions of layers in order; a last row ``between_layers`` has invoke itself and its calls. ``runs`` are
    the totals of each of the inferences that were made; all other numbers are of the first.
    """

    core: str
    instructions: int
    macs: int
    cycles: float
    layers: tuple[LayerCount, ...]
    by_function: dict[str, int]
    by_class: dict[str, int]
    runs: tuple[int, ...]


def profile(
    compiled: Compiled,
    inputs: Sequence[Array] | None = None,
    *,
    image: Image | None = None,
    plugin_folder: Path | None = None,
    single: bool = False,
    time_limit_s: float = 300.0,
) -> Profile:
    """Run one inference on the emulator and count its instructions.

    Args:
        compiled: the model, compiled for a board.
        inputs: what goes in; None takes bytes from a fixed random seed.
        image: its harness; None links it.
        plugin_folder: where the compiled plugin is kept; None takes the user's cache.
        single: count instruction by instruction, which must give the same numbers, slowly.
        time_limit_s: for the inference.

    Raises:
        ToolError: QEMU, gcc or binutils are missing or fail.
        DeviceError: the firmware does not answer.
    """
    image = image or link_harness(compiled)
    graph = compiled.generated.graph
    if inputs is None:
        inputs = seeded_inputs(graph.input_tensors)
    names = list(dict.fromkeys(layer.function for layer in compiled.generated.layers))
    elf = read_elf(image.path.read_bytes(), name=image.path.name)
    with tempfile.TemporaryDirectory(prefix="marram-profile-") as work:
        marks, out = Path(work) / "marks", Path(work) / "counts"
        marks.write_text(_marks(elf, compiled.generated.name, names))
        plugin = f"{_escaped(plugin_file(plugin_folder))},marks={_escaped(marks)},out={_escaped(out)}"
        more = ["-plugin", plugin + ",single=on" * single]
        with EmulatedSession(compiled, image=image, time_limit_s=time_limit_s, more=more) as session:
            session.run(inputs)
            session.end()
        try:
            counts = read_counts(out.read_text())
        except FileNotFoundError as error:
            raise DeviceError("the emulator wrote no counts", where="profile plugin") from error
    return _profile(compiled, counts, disassemble(image.path, compiled.board.core), names)


def seeded_inputs(tensors: Sequence[Tensor]) -> list[Array]:
    """Integers over the whole range of each tensor's dtype, the same every time."""
    random = np.random.default_rng(1)
    found: list[Array] = []
    for tensor in tensors:
        limits = np.iinfo(tensor.dtype)
        found.append(random.integers(limits.min, limits.max, tensor.shape, dtype=tensor.dtype, endpoint=True))
    return found


def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")


def _marks(elf: Elf, prefix: str, names: list[str]) -> str:
    """Lines ``address part``: parts count the layers, the last is between them, -1 is outside of an inference."""
    starts = {_CLONE.sub("", one.name): one for one in elf.functions()}
    between = len(names)
    lines = {}
    for function in (f"{prefix}_invoke", f"{prefix}_stream_push", f"{prefix}_layers"):
        if function in starts:
            lines[starts[function].value] = between
            lines |= {back: between for _, back in return_places(elf, starts[function])}
    for index, name in enumerate(names):
        if f"{prefix}_{name}" not in starts:
            raise InternalError(f"layer {name} has no function in the image")
        lines[starts[f"{prefix}_{name}"].value] = index
    backs = [back for target, back in return_places(elf, starts[_COUNTED]) if target == starts[f"{prefix}_invoke"].value]
    if not backs:
        raise InternalError("the harness does not call the model where it should")
    lines |= dict.fromkeys(backs, -1)
    return "".join(f"{address:x} {part}\n" for address, part in lines.items())


def _profile(compiled: Compiled, counts: Counts, code: tuple[Instruction, ...], names: list[str]) -> Profile:
    core = compiled.board.core
    addresses = [instruction.address for instruction in code]
    costs = architectural_cycles(code, core)
    functions: Counter[str] = Counter()
    classes = [Counter[str]() for _ in range(len(names) + 1)]
    cycles = [0.0] * (len(names) + 1)
    for (part, address, length), executions in counts.blocks.items():
        first = bisect_left(addresses, address)
        if first + length > len(code) or addresses[first] != address:
            raise InternalError(f"instructions at {address:#x} are not in the disassembly")
        for index in range(first, first + length):
            functions[_CLONE.sub("", code[index].function)] += executions
            classes[part][code[index].kind] += executions
            cycles[part] += executions * costs[index]
    macs, sharing = Counter[str](), Counter[str]()
    for layer in compiled.generated.layers:
        macs[layer.function] += layer.macs
        sharing[layer.function] += 1
    layers = tuple(
        LayerCount(
            name=name,
            layers=sharing[name],
            macs=macs[name],
            instructions=found.total(),
            by_class=_ordered(found),
            cycles=cost,
        )
        for name, found, cost in zip([*names, BETWEEN], classes, cycles, strict=True)
    )
    total = sum(layer.instructions for layer in layers)
    if counts.runs != (total,):
        raise InternalError(f"the parts sum to {total} instructions, the run to {counts.runs}")
    return Profile(
        core=core,
        instructions=total,
        macs=macs.total(),
        cycles=sum(cycles),
        layers=layers,
        by_function=dict(functions.most_common()),
        by_class=_ordered(sum(classes, Counter())),
        runs=counts.runs,
    )


def _ordered(found: Counter[str]) -> dict[str, int]:
    return {kind: found[kind] for kind in CLASSES if found[kind]}
