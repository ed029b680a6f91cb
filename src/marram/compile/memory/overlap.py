"""How far an output may reach into an input that dies as it is made.

The answer is a *distance*: the least ``address(input) - address(output)``, never negative, at which no byte of the input is
overwritten before it was read for the last time. Work that goes upwards in both lets the output follow the input.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from marram.compile.c.place import Window
from marram.compile.memory.plan import Form, Task, Value

EQUAL: Final = -1
"""Instead of a distance: in place, at one address, or not at all."""


def distance(task: Task, form: Form, source: str, values: dict[str, Value]) -> int | None:
    """The distance of a task's input and its first output when it is called once for all rows; None: no overlap.

    Args:
        task: reads ``source``, maybe more than once.
        form: of whole buffers.
        source: the name of an input that dies.
        values: of the problem.
    """
    found = [_distance(form, index, values[source], values[task.outputs[0]]) for index in _places(task, source)]
    known = [each for each in found if each is not None]
    if len(known) < len(found) or (EQUAL in known and len(set(known)) > 1):
        return None
    return max(known)


def _places(task: Task, source: str) -> list[int]:
    return [index for index, name in enumerate(task.inputs) if name == source]


def _distance(form: Form, index: int, source: Value, output: Value) -> int | None:
    same = (source.rows, source.width, source.pixel_bytes) == (output.rows, output.width, output.pixel_bytes)
    if form.traversal == "elements":
        return 0 if source.size_bytes == output.size_bytes else None
    if form.traversal == "planes":
        return EQUAL if same and form.windows is not None else None  # without rows the values are views in other shapes
    if form.traversal == "pixels" and form.windows is not None:
        columns = form.columns[index] if form.columns is not None else None
        return _pixel_distance(form.windows[index], columns, source, output, reread=form.block == 0)
    return None


def _pixel_distance(rows: Window, columns: Window | None, source: Value, output: Value, *, reread: bool) -> int:
    """From the trace of every pixel: its bytes are written when later pixels have yet to read theirs.

    Blocks of several pixels are read before any of them is written, which only relaxes what holds pixel by pixel.
    """
    below = _starts(rows, output.rows, source.rows)[:, None] * source.row_bytes
    left = 0 if columns is None else _starts(columns, output.width, source.width)[None, :] * source.pixel_bytes
    reads = np.broadcast_to(below + left, (output.rows, output.width)).ravel()
    needed = np.minimum.accumulate(reads[::-1])[::-1]
    ends = np.arange(1, reads.size + 1, dtype=np.int64) * output.pixel_bytes
    if reread:
        return max(int((ends - needed).max()), 0)
    return max(int((ends[:-1] - needed[1:]).max()), 0) if reads.size > 1 else 0


def _starts(window: Window, count: int, limit: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.clip((np.arange(count, dtype=np.int64) * window.stride - window.pad) // window.rate, 0, limit)
