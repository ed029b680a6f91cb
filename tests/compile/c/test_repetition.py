"""Steps of recurrent layers: code for one of them serves all, and the bytes stay those of the reference."""

from __future__ import annotations

import re
import sys
from collections import Counter
from itertools import pairwise
from types import FrameType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compile.c.hosting import Host, differing
from tests.compile.c.recurrent_models import recurrent_graph
from tests.model.graphs import samples

from marram.compile.c import answers
from marram.compile.c.families import FAMILIES, Family, routine
from marram.compile.c.generation import Generated, generate
from marram.compile.c.place import Place, Routine
from marram.compile.c.text.repetition import longest_repetition, repetitions
from marram.compile.memory.plan import Call, MemoryPlan


def made(kind: str, length: int, family: str = "portable", *, every: bool = False) -> Generated:
    return generate(recurrent_graph(kind, length=length, every=every), FAMILIES[family], name=f"{kind}{length}{every}".lower())


def functions(generated: Generated) -> int:
    return len(re.findall(r"^MARRAM_NOINLINE static void \w+_l\d+_\w+\(", generated.files[f"{generated.name}.c"], re.MULTILINE))


@pytest.mark.parametrize("family", ["portable", "dsp"])
def test_loops_of_steps_give_the_bytes_of_the_reference(family, tmp_path):
    models = [made(kind, length, family, every=every) for kind in ("lstm", "gru") for length, every in ((2, False), (9, True))]
    models += [made(kind, 14, family) for kind in ("lstm", "gru")]
    assert all("turn <" in one.files[f"{one.name}.c"] for one in models if not one.name.endswith("2false"))
    inputs = [samples(one.graph, 4, seed=index) for index, one in enumerate(models)]
    found = Host(models, tmp_path).run(inputs)
    assert [differing(*each) for each in zip(models, inputs, found, strict=True)] == [""] * len(models)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_longer_sequences_have_no_more_functions_and_no_more_constants(kind):
    short, long = made(kind, 8), made(kind, 20)
    assert len(long.layers) > 2 * len(short.layers)
    assert functions(long) == functions(short) == len({layer.function for layer in long.layers})
    for role in ("weight_bytes", "table_bytes"):
        assert sum(getattr(layer, role) for layer in long.layers) == sum(getattr(layer, role) for layer in short.layers)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_steps_write_their_outputs_where_they_are_read(kind):
    one = made(kind, 9, every=True)
    assert "concat" not in [layer.operator for layer in one.layers]


def test_layers_outside_of_loops_have_functions_of_their_own():
    one = made("lstm", 2)
    assert [layer.function for layer in one.layers] == [layer.name for layer in one.layers]


def test_makers_are_asked_no_more_often_for_longer_sequences(monkeypatch):
    asked = Counter()
    lengths = (8, 24)

    def counted(place: Place, family: Family) -> Routine:
        asked[length] += 1
        return routine(place, family)

    monkeypatch.setattr(answers, "routine", counted)
    for length in lengths:
        made("lstm", length, "dsp")
    assert asked[24] == asked[8] <= 32


def test_work_grows_with_the_length_and_not_faster():
    """Counted in calls of functions, which are the same on every machine; short models are searched more."""
    calls = Counter()

    def count(_frame: FrameType, event: str, _of: object) -> None:
        calls[length] += event in {"call", "c_call"}

    for length in (40, 80):
        graph = recurrent_graph("lstm", length=length)
        sys.setprofile(count)
        try:
            generate(graph, FAMILIES["dsp"], name="net")
        finally:
            sys.setprofile(None)
    assert calls[80] < 2.3 * calls[40]


def plan_of(tasks: list[int], rolled: tuple[tuple[int, int], ...] = ()) -> MemoryPlan:
    calls = tuple(Call(task=task, row_begin=0, row_end=1) for task in tasks)
    return MemoryPlan(arena_bytes=0, slots=(), calls=calls, lean=(False,) * len(tasks), lower_bound_bytes=0, rolled=rolled)


def test_repetitions_are_found_apart_from_rolled_calls():
    kinds = "p" + "ab" * 6 + "q" + "abc" * 5 + "r"
    definitions = [("", kind) for kind in kinds]
    found = repetitions(definitions, plan_of(list(range(len(kinds)))))
    assert [kinds[one.first : one.past] for one in found] == ["ab" * 6, "abc" * 5]
    assert [one.turns for one in found] == [6, 5]
    assert not repetitions(definitions[1:13], plan_of(list(range(12)), rolled=((2, 12),)))


@given(line=st.lists(st.integers(0, 2), max_size=50))
def test_what_is_found_does_repeat(line):
    best = longest_repetition(np.asarray(line, np.int64))
    if best is None:
        assert all(before != after for before, after in pairwise(line))
    else:
        assert best.turns >= 2
        assert line[best.first : best.past] == line[best.first : best.first + best.period] * best.turns
