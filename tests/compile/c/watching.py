"""Generated C whose every call of a layer is watched: whatever the plan, it may touch only what the plan gives it.

The plan and the windows of the routines say which bytes of the arena a call reads and which it writes: the rows that it needs
of its inputs, the rows that it makes of its outputs, its scratch. Around each call

- all bytes but these and the other rows that its inputs' places hold are poisoned, for the address sanitiser, which sees a
  read as well but is blind to up to seven bytes before a place that does not begin at a multiple of eight;
- all bytes that are not to be read hold noise, also those of outputs, of scratch and of rows of inputs that are not needed:
  a result that depends on them is not the reference's;
- after it, every byte that is not to be written must be as it was.

Calls are compared with the plan too: which function, which rows, which places, none left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from marram.compile.c.generation import Generated
from marram.compile.c.layers import Layer, Layers
from marram.compile.c.place import Routine, Window
from marram.compile.c.text import emission
from marram.compile.c.text.addresses import Places, places_of
from marram.compile.c.text.calls import calls_text
from marram.compile.c.text.repetition import Functions
from marram.compile.memory.plan import Call, MemoryPlan

Maker = Callable[..., Generated]
COMPILER = "clang"
FLAGS = ("-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
"""Compiled in a quarter of the time that gcc takes to optimise and sanitise."""
_PRELUDE = (Path(__file__).parent / "watching.h").read_text()


def watched(make: Maker) -> Maker:
    """The maker of C, with the checks in what it makes."""

    def made(*arguments: object, **options: object) -> Generated:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(emission, "calls_text", _text)
            return make(*arguments, **options)

    return made


def _text(prefix: str, found: Layers, routines: tuple[Routine, ...], plan: MemoryPlan, functions: Functions) -> str:
    """What ``calls_text`` gives, with a check before and after each call, and the table of what each may touch."""
    places = places_of(found, plan)
    table = list(_table(found, routines, plan, functions, places))
    names = {layer.name: index for index, layer in enumerate(found.layers)}

    def around(match: re.Match[str]) -> str:
        arguments = _parted(match["arguments"])
        index = names[match["layer"]]
        rows, given = ["-1", "-1"], arguments
        if routines[index].windows is not None:
            past = len(found.layers[index].inputs) + len(found.layers[index].outputs)
            rows, given = arguments[past : past + 2], [*arguments[:past], *arguments[past + 2 :]]
        pointers = f"(const void *[]){{{', '.join(given)}}}"
        before = f"watch_before({index}, {', '.join(rows)}, {pointers}, {len(given)});"
        return f"{before} {match[0]} watch_after();"

    plain = calls_text(prefix, found, routines, plan, functions)
    head = re.compile(rf"\b{prefix}_layers\(.*\)\n{{\n")
    assert len(head.findall(plain)) == 1
    assert plain.endswith("\n}")
    text = re.sub(rf"\b{prefix}_(?P<layer>l\d+_\w+)\((?P<arguments>.*)\);", around, plain)
    sizes = [memory.arena_bytes for memory in plan.memories] or [plan.arena_bytes]
    blocks = ", ".join(f"{{{block}, {size}}}" for block, size in zip(places.blocks, sizes, strict=True))
    start = f'    watch_start((const watch_stretch[]){{{blocks}}}, {len(places.blocks)}, {prefix}_watched, "{prefix}");\n'
    text = head.sub(lambda match: match[0] + start, text)
    numbers = ",".join(str(number) for row in table for number in row)
    tables = f"static const int32_t {prefix}_watched[] = {{{numbers}, 0}};" if table else f"#define {prefix}_watched NULL"
    return f"{_PRELUDE}\n{tables}\n\n{text[:-2]}\n    watch_end({len(plan.calls)});\n}}"


def _parted(arguments: str) -> list[str]:
    """Arguments of a call, cut at the commas outside of parentheses."""
    parts, depth = [""], 0
    for letter in arguments:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


Span = tuple[str, int, int]
"""A block of memory, from which byte, to which."""


def _table(
    found: Layers, routines: Sequence[Routine], plan: MemoryPlan, functions: Functions, places: Places
) -> Iterator[list[int]]:
    """For each call: its function, its rows, its places; the stretches of its inputs, those that it reads, those it writes."""
    number = {block: index for index, block in enumerate(places.blocks)}
    for call in plan.calls:
        layer, routine = found.layers[call.task], routines[call.task]
        windows = routine.windows or (None,) * len(layer.inputs)
        addresses = [places.address(name) for name in (*layer.inputs, *layer.outputs)]
        rows = (call.row_begin, call.row_end) if routine.windows is not None else (-1, -1)
        inputs = [_whole(name, places) for name in layer.inputs]
        needed = [span for each in zip(layer.inputs, windows, strict=True) for span in _needed(*each, call, places)]
        made = rows if routine.windows is not None else None
        written = [span for name in layer.outputs for span in _rows(name, made or (0, found.values[name].rows), places)]
        if layer.at_column is not None:
            written = [
                _columns(span, layer, found) for row in range(*rows) for span in _rows(layer.outputs[0], (row, row + 1), places)
            ]
        if routine.scratch_bytes:
            assert places.scratch[layer.name].size_bytes >= routine.scratch_bytes
            addresses.append(places.scratch_address(layer.name))
            written.append((*addresses[-1], addresses[-1][1] + routine.scratch_bytes))
        line = [functions.of[call.task], *rows, len(addresses)]
        line += [part for block, at in addresses for part in (number[block], at)]
        for spans in (inputs, needed, written):
            line += [len(spans), *(part for block, begin, end in spans for part in (number[block], begin, end))]
        yield line


def _needed(name: str, window: Window | None, call: Call, places: Places) -> Iterator[Span]:
    """The rows of an input that a call needs; all of them where the routine has no windows."""
    height = places.found.values[name].rows
    rows = window.needed(call.row_begin, call.row_end, height) if window else (0, height)
    return _rows(name, rows, places)


def _rows(name: str, rows: tuple[int, int], places: Places) -> Iterator[Span]:
    """Where some rows of a value are: one stretch for each row of a ring, else one."""
    value = places.found.values[name]
    block, at = places.address(name)
    held = _rows_held(name, places)
    if held == value.rows:
        yield block, at + rows[0] * value.row_bytes, at + rows[1] * value.row_bytes
        return
    assert rows[1] - rows[0] <= held
    for row in range(*rows):
        begin = at + row % held * value.row_bytes
        yield block, begin, begin + value.row_bytes


def _columns(row: Span, layer: Layer, found: Layers) -> Span:
    """Of a row of what is joined from bands of columns the part that a layer copies."""
    block, begin, _ = row
    part, joined = (found.values[name] for name in (layer.inputs[0], layer.outputs[0]))
    assert layer.at_column is not None
    begin += layer.at_column * joined.pixel_bytes
    return block, begin, begin + part.row_bytes


def _rows_held(name: str, places: Places) -> int:
    value = places.found.values[name]
    return places.values[name].rows if value.inside is None else value.rows


def _whole(name: str, places: Places) -> Span:
    """All that the place of a value holds."""
    block, at = places.address(name)
    return block, at, at + _rows_held(name, places) * places.found.values[name].row_bytes
