"""Figures of an emulated core: sizes that were foretold, counts that repeat, estimates that say that they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.compile.c.zoo_models import integer_model

from marram.compile import build, device
from marram.compile.c.families import family_of
from marram.compile.c.generation import generate
from marram.core.errors import UserError
from marram.measure.c_runners import EmulatedRunner, NativeRunner
from marram.measure.emulator.profile import seeded_inputs
from marram.measure.microcontroller import core_figures, core_marks, emulated_core, on_core
from marram.model import interpret

M4 = device("cortex-m4")
GRAPH = integer_model("fc_autoencoder")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory):
    generated = generate(GRAPH, family_of(M4), name="net")
    return on_core(generated, M4, tmp_path_factory.mktemp("core"))


def test_what_was_foretold_is_what_is_there(measured) -> None:
    assert (measured.flash_bytes, measured.ram_bytes) == (measured.forecast_flash_bytes, measured.forecast_ram_bytes)
    assert 0 < measured.stack_bytes <= measured.stack_bound_bytes
    assert measured.ram_bytes >= measured.arena_bytes


def test_counts_add_up_and_repeat(measured, tmp_path: Path) -> None:
    assert sum(layer.instructions for layer in measured.layers) == measured.instructions == sum(measured.by_class.values())
    again = on_core(generate(GRAPH, family_of(M4), name="net"), M4, tmp_path)
    assert (again.instructions, again.layers) == (measured.instructions, measured.layers)


def test_estimates_are_marked_and_bounded(measured) -> None:
    figures = {figure.name: figure for figure in core_figures(measured, M4)}
    for name in ("latency_p90_us", "energy_uj"):
        assert figures[name].kind == "estimated"
        assert figures[name].low < figures[name].value < figures[name].high
    assert figures["instructions"].kind == "measured"
    assert figures["ram_bytes"].value == measured.ram_bytes + measured.stack_bound_bytes


def test_a_profile_without_clock_leaves_time_and_energy_open(measured) -> None:
    figures = {figure.name: figure for figure in core_figures(measured, replace(M4, clock_hz=None))}
    assert figures["latency_p90_us"].value is None
    assert "clock_hz" in figures["latency_p90_us"].reason
    assert figures["energy_uj"].value is None


def test_a_core_that_is_not_emulated_has_a_stand_in() -> None:
    target = device("cortex-m0plus")
    assert emulated_core(target) == "cortex-m0"
    assert any("no cortex-m0plus" in mark for mark in core_marks(target))


@pytest.mark.parametrize("runner", [NativeRunner(), EmulatedRunner("cortex-m4")], ids=["native", "emulated"])
def test_programs_in_c_answer_as_the_reference(runner) -> None:
    program = build(GRAPH, M4)
    session = runner.open(program)
    try:
        inputs = seeded_inputs(program.inputs)
        (expected,) = interpret(GRAPH, inputs)
        assert (session.run(inputs)[0] == expected).all()
    finally:
        session.close()
        session.close()


def test_other_programs_are_refused() -> None:
    program = build(GRAPH, device("host"), runtime="litert")
    with pytest.raises(UserError, match="not C"):
        NativeRunner().open(program)
