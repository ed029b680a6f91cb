"""Random problems for the memory planner: chains and branches of window, elementwise and whole tasks, with views."""

from __future__ import annotations

from hypothesis import strategies as st

from marram.compile.c.place import POINTWISE, Window
from marram.compile.memory.plan import Form, Problem, Task, Value


def form_of(scratch, windows, columns, traversal, block, *, in_place_ring: str | None = None):
    """A form that needs less scratch when lean; ``planes`` becomes another traversal where a buffer is a ring."""

    def form(in_rows, out_rows, lean):
        order = traversal
        if in_place_ring is not None and (in_rows, out_rows) != heights:
            order = in_place_ring
        return Form(
            scratch_bytes=scratch // 4 if lean else scratch,
            windows=windows,
            columns=columns,
            traversal=order,
            block=block,
            instructions=1000.0 * (1.25 if lean else 1.0),
            call_instructions=10.0,
        )

    heights = ((), 0)

    def with_heights(inputs, output):
        nonlocal heights
        heights = (inputs, output)
        return form

    return with_heights


class Sketch:
    """A problem that grows."""

    def __init__(self, draw) -> None:
        self.draw = draw
        self.values: dict[str, Value] = {}
        self.tasks: list[Task] = []
        self.usable: list[str] = []

    def number(self, low, high):
        return self.draw(st.integers(low, high))

    def value(self, rows, width, pixel, **inside):
        name = f"v{len(self.values)}"
        self.values[name] = Value(name=name, rows=rows, width=width, pixel_bytes=pixel, **inside)
        return name

    def task(self, inputs, output, scratch, windows, columns, traversal, block, in_place_ring=None):
        maker = form_of(scratch, windows, columns, traversal, block, in_place_ring=in_place_ring)
        form = maker(tuple(self.values[name].rows for name in inputs), self.values[output].rows)
        self.tasks.append(Task(name=f"t{len(self.tasks)}", inputs=tuple(inputs), outputs=(output,), form=form))
        self.usable.append(output)

    def source(self):
        recent = self.usable[-3:]
        return recent[self.number(0, len(recent) - 1)]

    def scratch(self):
        return self.draw(st.sampled_from([0, 0, 8, 40]))

    def window(self):
        name = self.source()
        value = self.values[name]
        sides = []
        for size in (value.rows, value.width):
            kernel, dilation, stride = self.number(1, 3), self.number(1, 2), self.number(1, 2)
            pad = self.number(0, min(kernel - 1, 2))
            rate = self.draw(st.sampled_from([1, 1, 2, 3]))
            window = Window(kernel=kernel, stride=stride, dilation=dilation, pad=pad, rate=rate)
            sides.append((window, ((size + self.number(0, 2) - window.reach) * rate + pad) // stride + 1))
        (rows, out_rows), (columns, out_width) = sides
        if out_rows < 1 or out_width < 1:
            return
        # padding after the image never makes a whole window of padding, as in real operators
        if rows.first(out_rows - 1) >= value.rows or columns.first(out_width - 1) >= value.width:
            return
        pixel = self.number(1, 6)
        output = self.value(out_rows, out_width, pixel)
        same = (out_rows, out_width, pixel) == (value.rows, value.width, value.pixel_bytes)
        traversal = self.draw(st.sampled_from(["pixels", "pixels", "whole", *(["planes"] * 3 if same else [])]))
        block = self.number(0, 3)
        columns_known = (columns,) if self.draw(st.booleans()) else None
        self.task(
            [name], output, self.scratch(), (rows,), columns_known, traversal, block, "whole" if traversal == "planes" else None
        )

    def elementwise(self):
        name = self.source()
        value = self.values[name]
        others = [each for each in self.usable if _shape(self.values[each]) == _shape(value)]
        inputs = [name, others[self.number(0, len(others) - 1)]] if self.draw(st.booleans()) else [name]
        output = self.value(value.rows, value.width, value.pixel_bytes)
        rowed = tuple(POINTWISE for _ in inputs) if self.draw(st.booleans()) else None
        self.task(inputs, output, self.scratch(), rowed, rowed, "elements", 1)

    def whole(self):
        output = self.value(1, 1, self.number(1, 40))
        self.task([self.source()], output, self.scratch(), None, None, "whole", 1)

    def concat(self):
        """Two tasks write the halves of a value, which is read whole afterwards."""
        rows, width, pixel = self.number(1, 5), self.number(1, 4), self.number(1, 4)
        parent = self.value(2 * rows, width, pixel)
        for half in range(2):
            part = self.value(rows, width, pixel, inside=parent, inside_offset=half * rows * width * pixel)
            source = next((each for each in self.usable[-3:] if _shape(self.values[each]) == (rows, width, pixel)), None)
            if source is not None:
                self.task([source], part, self.scratch(), (POINTWISE,), (POINTWISE,), "elements", 1)
            else:
                self.task([self.source()], part, self.scratch(), None, None, "whole", 1)
        self.usable.append(parent)


def _shape(value):
    return value.rows, value.width, value.pixel_bytes


@st.composite
def problems(draw, most_tasks=9):
    sketch = Sketch(draw)
    inputs = [
        sketch.value(sketch.number(1, 12), sketch.number(1, 5), sketch.number(1, 5))
        for _ in range(draw(st.sampled_from([1, 1, 2])))
    ]
    sketch.usable += inputs
    kinds = ["window", "window", "window", "elementwise", "elementwise", "whole", "concat"]
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=most_tasks)):
        getattr(sketch, kind)()
    last = sketch.usable[-1]
    more = [name for name in sketch.usable if name != last and draw(st.integers(0, 7)) == 0]
    return Problem(
        tasks=tuple(sketch.tasks),
        values=sketch.values,
        inputs=tuple(inputs),
        outputs=tuple(dict.fromkeys([last, *more])),
        align_bytes=draw(st.sampled_from([1, 4, 8, 16])),
    )
