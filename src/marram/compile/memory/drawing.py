"""A plan as SVG: calls from left to right, addresses upwards, every slot a rectangle.

No script, no outside style; ink is ``currentColor`` and fills are translucent, so that it stands on light and on dark pages.
Two rectangles that cross are an output that follows an input that dies: both are seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import msgspec

from marram.compile.memory.explanation import peak_call
from marram.compile.memory.plan import Copy, Memory, MemoryPlan, Slot

_FILL = {"value": "#1b7f79", "ring": "#e0a030", "scratch": "#b5573a", "copy": "#5b6fb0"}
_WORD = {"value": "whole values", "ring": "rings of rows", "scratch": "scratch", "copy": "constants"}
_LEFT, _RIGHT, _TOP, _FOOT, _WIDE, _HIGH = 66.0, 16.0, 46.0, 24.0, 1000.0, 360.0
_LETTER = 5.6


class _Column(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of the axis of calls: one call, or all of a rolled range."""

    first: int
    past: int
    label: str
    note: str
    begin: float
    end: float


def draw_plan(plan: MemoryPlan, tasks: Sequence[str] = ()) -> str:
    """The drawing of a plan.

    Args:
        plan: what to draw.
        tasks: names of its tasks in order; without them they are numbered.
    """
    columns = _columns(plan, tasks)
    longest = max((len(column.label) for column in columns), default=0)
    foot = _FOOT + longest * _LETTER * 0.87
    title = f"<title>Memory plan: arena of {plan.arena_bytes:,} bytes over {len(plan.calls)} calls</title>"
    if plan.memories:
        panels = [_memory(plan, index, columns) for index, memory in enumerate(plan.memories) if _used(memory)]
    else:
        panels = [_panel(plan, columns, (), f"whole values side by side: {plan.lower_bound_bytes:,}", "Arena")]
    height = len(panels) * (_TOP + _HIGH) + (len(panels) - 1) * _FOOT + foot
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE:.0f} {height:.0f}" width="{_WIDE:.0f}" role="img" '
        'font-family="system-ui, Segoe UI, DejaVu Sans, sans-serif" font-size="11" fill="currentColor">'
    )
    parts = [opening, title]
    for index, panel in enumerate(panels):
        last = index + 1 == len(panels)
        texts = [*panel[:-1], *(text for column in columns for text in _foot(column)), panel[-1]] if last else panel
        shift = index * (_TOP + _HIGH + _FOOT)
        parts += [f'<g transform="translate(0 {shift:.1f})">', *texts, "</g>"] if shift else texts
    return "\n".join(part for part in [*parts, "</svg>"] if part)


def _panel(plan: MemoryPlan, columns: list[_Column], copies: Sequence[Copy], beside: str, name: str) -> list[str]:
    """The timeline of one memory, the line at its top last; constants that are copied there stand above the arena."""
    top = plan.arena_bytes + sum(copy.size_bytes for copy in copies)
    scale = _HIGH / max(top, 1)
    used = {slot.kind for slot in plan.slots} | ({"copy"} if copies else set())
    parts = [*_legend([kind for kind in _FILL if kind in used], f"{name} {top:,} bytes", beside), *_grid(top, scale)]
    if plan.slots:
        parts += _peak(plan, columns)
    parts += [_rectangle(slot, columns, scale) for slot in _in_order(plan)]
    at = plan.arena_bytes
    for copy in copies:
        parts.append(_copy(copy, at, scale))
        at += copy.size_bytes
    return [*parts, _top_line(top)]


def _memory(plan: MemoryPlan, index: int, columns: list[_Column]) -> list[str]:
    memory = plan.memories[index]
    slots = tuple(slot for slot in plan.slots if slot.memory == index)
    copies = [copy for copy in plan.copies if copy.memory == index]
    own = msgspec.structs.replace(plan, arena_bytes=memory.arena_bytes, slots=slots)
    beside = f"of {memory.size_bytes:,}, {memory.byte_cost:g} cycles a byte"
    return _panel(own, columns, copies, beside, memory.name)


def _used(memory: Memory) -> int:
    return memory.arena_bytes + memory.copied_bytes


def _copy(copy: Copy, at: int, scale: float) -> str:
    """Constants stand from the first call to the last."""
    high, wide = max(copy.size_bytes * scale, 1.0), _WIDE - _LEFT - _RIGHT - 1.0
    top = _TOP + _HIGH - at * scale - high
    hint = f"{copy.task}: constants of {copy.size_bytes:,} bytes"
    parts = [f"<g><title>{escape(hint)}</title>", _box(_LEFT + 0.5, top, wide, high, _FILL["copy"])]
    if high >= 12:
        text = f"{copy.task}, constants, {copy.size_bytes:,}"
        parts.append(_text(_LEFT + wide / 2, top + high / 2 + 4, text, 'text-anchor="middle" font-size="10"'))
    return "".join([*parts, "</g>"])


def _columns(plan: MemoryPlan, tasks: Sequence[str]) -> list[_Column]:
    def name(index: int) -> str:
        return tasks[index] if index < len(tasks) else f"task {index}"

    ranges: list[tuple[int, int, float, str, str]] = []
    pasts = dict(plan.rolled)
    index = 0
    while index < len(plan.calls):
        past = pasts.get(index, index + 1)
        made = sorted({call.task for call in plan.calls[index:past]})
        if index in pasts:
            label = f"{_short(name(made[0]))} to {_short(name(made[-1]))}"
            ranges.append((index, past, 0.8 * len(made) + 0.6, label, f"rolled, {past - index} calls"))
        else:
            ranges.append((index, past, 1.0, name(made[0]), ""))
        index = past
    whole = sum(weight for _, _, weight, _, _ in ranges) or 1.0
    unit = (_WIDE - _LEFT - _RIGHT) / whole
    columns, at = [], _LEFT
    for first, past, weight, label, note in ranges:
        columns.append(_Column(first=first, past=past, label=label, note=note, begin=at, end=at + weight * unit))
        at += weight * unit
    return columns


def _short(name: str) -> str:
    """``l03_depthwise_conv2d`` as ``l03``."""
    return name.split("_", 1)[0]


def _span(columns: list[_Column], first: int, last: int) -> tuple[float, float]:
    met = [column for column in columns if column.first <= last and first < column.past]
    return (met[0].begin, met[-1].end) if met else (_LEFT, _WIDE - _RIGHT)


def _in_order(plan: MemoryPlan) -> list[Slot]:
    """What is drawn first stands behind; scratch that rolled tasks share is drawn once, as its largest."""
    shared: dict[tuple[int, int, int], Slot] = {}
    kept = []
    for slot in plan.slots:
        if slot.kind != "scratch":
            kept.append(slot)
            continue
        key = (slot.first, slot.last, slot.offset_bytes)
        if key not in shared or shared[key].size_bytes < slot.size_bytes:
            shared[key] = slot
    return sorted([*kept, *shared.values()], key=lambda slot: (slot.kind == "scratch", slot.first, -slot.size_bytes))


def _rectangle(slot: Slot, columns: list[_Column], scale: float) -> str:
    left, right = _span(columns, slot.first, slot.last)
    room = _span(columns, slot.first, slot.first)[1] - left - 1.0  # where it is made: later, others may follow it
    top = _TOP + _HIGH - (slot.offset_bytes + slot.size_bytes) * scale
    high, wide = max(slot.size_bytes * scale, 1.0), right - left - 1.0
    rows = f", {slot.rows} rows" if slot.kind == "ring" else ""
    hint = f"{slot.name}: {slot.kind} of {slot.size_bytes:,} bytes{rows}, from {slot.offset_bytes:,}"
    parts = [f"<g><title>{escape(hint)}</title>", _box(left + 0.5, top, wide, high, _FILL[slot.kind])]
    texts = _inside(slot, room, high)
    middle = top + high / 2 + 4.0 - 6.5 * (len(texts) - 1)
    for line, text in enumerate(texts):
        parts.append(_text(left + room / 2 + 0.5, middle + 13 * line, text, 'text-anchor="middle" font-size="10"'))
    return "".join([*parts, "</g>"])


def _box(x: float, y: float, wide: float, high: float, fill: str) -> str:
    size = f'width="{wide:.1f}" height="{high:.1f}"'
    return f'<rect x="{x:.1f}" y="{y:.1f}" {size} rx="1.5" fill="{fill}" fill-opacity="0.32" stroke="{fill}"/>'


def _inside(slot: Slot, wide: float, high: float) -> list[str]:
    """What there is room for: name and size, or the size alone."""
    room = int((wide - 1) / 5.3)
    size = next((text for text in (f"{slot.size_bytes:,}", f"{slot.size_bytes / 1000:.1f}k") if len(text) <= room), "")
    if high < 12 or not size:
        return []
    names = {"ring": f"{slot.rows} rows", "scratch": "scratch", "value": _value_name(slot.name, int((wide - 4) / 6.2))}
    name = names[slot.kind]
    if high >= 28 and 3 < len(name) <= room:
        return [name, size]
    return [size]


def _value_name(name: str, room: int) -> str:
    """The last part of a name from a converter's path, cut to the room there is."""
    last = name.split(";", 1)[0].rsplit("/", 1)[-1]
    return last if len(last) <= room else f"{last[: max(room - 1, 0)]}…"


def _foot(column: _Column) -> list[str]:
    middle, low = (column.begin + column.end) / 2, _TOP + _HIGH
    turn = f'transform="rotate(-60 {middle + 4:.1f} {low + 14:.1f})"'
    lines = [_line(column.end, low, column.end, low + 4, 'stroke="currentColor" stroke-opacity="0.5"')]
    lines.append(_text(middle + 4, low + 14, column.label, f'text-anchor="end" font-size="10" {turn}'))
    if column.note:
        lines.append(_line(column.begin + 2, low + 2, column.end - 2, low + 2, f'stroke="{_FILL["ring"]}" stroke-width="3"'))
        lines.append(_text(middle, _TOP - 6, column.note, 'text-anchor="middle" font-size="9.5" fill-opacity="0.75"'))
    return lines


def _text(x: float, y: float, text: str, how: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {how}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, how: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {how}/>'


def _step(size: int) -> int:
    """Bytes between two lines of the grid: 1, 2 or 5 times a power of ten, at most eight lines."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if size <= 8 * factor * step:
                return factor * step
        step *= 10


def _grid(size: int, scale: float) -> list[str]:
    lines = []
    for address in range(0, size + 1, _step(max(size, 1))):
        y = _TOP + _HIGH - address * scale
        ink = f'stroke="currentColor" stroke-opacity="{0.6 if address == 0 else 0.14}"'
        lines.append(_line(_LEFT, y, _WIDE - _RIGHT, y, ink))
        if (size - address) * scale > 12:
            lines.append(_text(_LEFT - 6, y + 4, f"{address:,}", 'text-anchor="end" fill-opacity="0.75"'))
    return lines


def _peak(plan: MemoryPlan, columns: list[_Column]) -> list[str]:
    if not columns:
        return []
    at = peak_call(plan)
    left, right = _span(columns, at, at)
    size = f'width="{right - left:.1f}" height="{_HIGH:.1f}"'
    hint = "<title>the peak: the highest bytes of the arena are in use here first</title>"
    band = f'<rect x="{left:.1f}" y="{_TOP:.1f}" {size} fill="currentColor" fill-opacity="0.07">{hint}</rect>'
    return [band, f'<path d="M{(left + right) / 2 - 5:.1f} {_TOP - 3:.1f} h10 l-5 7 z" fill="#c0392b"/>']


def _top_line(size: int) -> str:
    line = _line(_LEFT, _TOP, _WIDE - _RIGHT, _TOP, 'stroke="#c0392b" stroke-dasharray="5 3"')
    return line + _text(_LEFT - 6, _TOP + 4, f"{size:,}", 'text-anchor="end" font-weight="600"')


def _legend(kinds: Sequence[str], title: str, beside: str) -> list[str]:
    parts = [_text(_LEFT, 16, title, 'font-weight="600"')]
    parts.append(_text(_LEFT + 150, 16, beside, 'fill-opacity="0.75"'))
    x = _WIDE - _RIGHT - 110.0 * len(kinds)
    for kind in kinds:
        parts += [_box(x, 7, 11, 11, _FILL[kind]), _text(x + 16, 16, _WORD[kind], "")]
        x += 110
    return parts
