"""Counts of instructions: exact, the same twice, and the same whichever way they are taken."""

from __future__ import annotations

import msgspec
import pytest
from tests.compile.c.recurrent_models import recurrent_graph
from tests.compile.toolchain.nets import plain, scaled, spoilt

from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import generate
from marram.compile.toolchain.cross import compile_for
from marram.core.errors import DeviceError, ToolError
from marram.core.graph import Graph, Node, Tensor
from marram.core.operators import Add
from marram.measure.emulator.cycles import architectural_cycles, calibration, residuals
from marram.measure.emulator.instructions import Instruction, class_of
from marram.measure.emulator.plugin import plugin_file, read_counts
from marram.measure.emulator.profile import BETWEEN, profile


@pytest.fixture(scope="module")
def counted(compiled, harness, plugins, vectors):
    return profile(compiled, [vectors[:1]], image=harness, plugin_folder=plugins)


def test_two_runs_give_equal_counts(counted, compiled, harness, plugins, vectors):
    assert profile(compiled, [vectors[:1]], image=harness, plugin_folder=plugins) == counted


def test_one_by_one_gives_the_same_as_block_by_block(counted, compiled, harness, plugins, vectors):
    assert profile(compiled, [vectors[:1]], image=harness, plugin_folder=plugins, single=True) == counted


def test_parts_sum_to_the_whole(counted, compiled):
    assert [layer.name for layer in counted.layers] == [layer.name for layer in compiled.generated.layers] + [BETWEEN]
    assert all(layer.instructions > 0 for layer in counted.layers)
    assert sum(layer.instructions for layer in counted.layers) == counted.instructions
    assert sum(counted.by_function.values()) == counted.instructions
    assert sum(counted.by_class.values()) == counted.instructions
    for layer in counted.layers:
        assert sum(layer.by_class.values()) == layer.instructions
    assert counted.layers[-1].instructions < 100
    assert counted.macs == sum(layer.macs for layer in compiled.generated.layers)


@pytest.mark.parametrize(("turns", "core"), [(1000, "cortex-m4"), (70_000, "cortex-m0")])
def test_known_instructions_are_counted_to_the_last(turns, core, plugins, tmp_path):
    counts = []
    for index, count in enumerate((turns, turns + 10)):
        loop = '__asm volatile(".syntax unified\\n1: nop\\nsubs %0, %0, #1\\ncmp %0, #0\\nbne 1b" : "+l"(turns) : : "cc");'
        statements = f"    {{ unsigned turns = {count}u; {loop} }}"
        compiled = compile_for(spoilt(plain(), statements), core, tmp_path / str(index))
        counts.append(profile(compiled, plugin_folder=plugins))
    # The constant that is counted down may take another instruction or two to load; ten turns take forty.
    assert 40 <= counts[1].instructions - counts[0].instructions <= 42
    assert counts[0].layers[-1].instructions >= 4 * turns
    assert counts[0].layers[0] == counts[1].layers[0]


def test_layers_that_do_the_same_are_told_apart(plugins, tmp_path):
    names = ("x", "a", "b", "y")
    tensors = {name: Tensor(name=name, shape=(1, 4, 4, 8), dtype="int8", quantisation=scaled(0.5, 3)) for name in names}
    nodes = tuple(
        Node(name=f"add{index}", op=Add(), inputs=("x", names[index]), outputs=(names[index + 1],)) for index in range(3)
    )
    graph = Graph(name="net", inputs=("x",), outputs=("y",), tensors=tensors, constants={}, nodes=nodes)
    compiled = compile_for(generate(graph, FAMILIES["portable"], name="net"), "cortex-m3", tmp_path)
    first, second, third, _ = profile(compiled, plugin_folder=plugins).layers
    assert first.instructions > 500
    assert second.instructions == third.instructions


def test_steps_in_a_loop_are_one_row(plugins, tmp_path):
    generated = generate(recurrent_graph("gru", length=9), FAMILIES["portable"], name="net")
    counted = profile(compile_for(generated, "cortex-m4", tmp_path), plugin_folder=plugins)
    assert sum(row.layers for row in counted.layers) == len(generated.layers) > 2 * len(counted.layers)
    assert counted.macs == sum(layer.macs for layer in generated.layers)
    assert sum(row.instructions for row in counted.layers) == counted.instructions
    dense = next(row for row in counted.layers if row.name.endswith("dense") and row.layers == 8)
    assert dense.macs == 8 * 24 * 8 < dense.instructions


def test_classes_of_instructions():
    rows = {
        ("ldr.w", "r0, [r1, #4]"): "load",
        ("ldmia", "r0!, {r1, r2}"): "load",
        ("pop", "{r4, pc}"): "branch",
        ("strb", "r0, [r1]"): "store",
        ("push", "{r4, lr}"): "store",
        ("smlad", "r0, r1, r2, r0"): "mac",
        ("mla", "r0, r1, r2, r3"): "mac",
        ("smlal", "r0, r1, r2, r3"): "mac",
        ("muls", "r0, r1"): "multiply",
        ("smull", "r0, r1, r2, r3"): "multiply",
        ("sdiv", "r0, r1, r2"): "divide",
        ("bne", "10"): "branch",
        ("bl", "10 <f>"): "branch",
        ("bls", "10"): "branch",
        ("bic", "r0, r1, r2"): "other",
        ("bfi", "r0, r1, #2, #3"): "other",
        ("cbz", "r0, 10"): "branch",
        ("le", "lr, 10"): "branch",
        ("add", "r0, r1"): "other",
        ("add", "pc, r1"): "branch",
        ("vldrb.8", "q0, [r0], #16"): "vector_load",
        ("vstrb.8", "q0, [r0]"): "vector_store",
        ("vmladava.s8", "r0, q0, q1"): "vector_mac",
        ("vmlava.s8", "r0, q0, q1"): "vector_mac",
        ("vqrdmulh.s32", "q0, q0, q1"): "vector",
        ("vldr", "s0, [r0]"): "load",
        ("vpush", "{d8-d9}"): "store",
    }
    assert {key: class_of(*key) for key in rows} == rows


def instruction(mnemonic, operands):
    return Instruction(address=0, function="f", mnemonic=mnemonic, operands=operands, kind=class_of(mnemonic, operands))


def test_stated_cycles():
    code = [
        instruction("ldr", "r0, [r1]"),
        instruction("ldr", "r2, [r1]"),
        instruction("mla", "r0, r1, r2, r3"),
        instruction("push", "{r4-r7, lr}"),
        instruction("bne", "10"),
    ]
    assert [one.registers for one in code] == [0, 0, 0, 5, 0]
    assert architectural_cycles(code, "cortex-m4") == [2, 1, 1, 6, 2]
    assert architectural_cycles(code, "cortex-m3") == [2, 1, 2, 6, 2]
    assert architectural_cycles(code, "cortex-m0") == [2, 2, 1, 6, 3]
    assert architectural_cycles(code, "cortex-m0plus") == [2, 2, 1, 6, 2]
    both = [
        instruction("vldrb.8", "q0, [r0]"),
        instruction("vmladava.s8", "r0, q0, q1"),
        instruction("vmladava.s8", "r0, q0, q1"),
    ]
    assert architectural_cycles(both, "cortex-m55") == [1, 1, 2]


def test_calibration_states_its_doubt():
    for core in ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55"):
        found = calibration(core)
        assert found.low <= found.factor <= found.high
        assert found.source
    assert set(residuals()) == {"ad", "kws", "vww", "ic"}
    assert all(abs(value) < 0.15 for value in residuals().values())
    assert 1.25 < calibration("cortex-m4").factor < 1.45


def test_counts_that_are_not_whole_are_refused():
    assert read_counts("block 0 1c 3 7\nrun 21\nend\n").blocks == {(0, 0x1C, 3): 7}
    for text in ("", "block 0 1c 3 7\n", "run 21\nbroken\n"):
        with pytest.raises(DeviceError):
            read_counts(text)


def test_the_plugin_is_compiled_once_and_needs_gcc(tmp_path, monkeypatch):
    found = plugin_file(tmp_path)
    stamp = found.stat().st_mtime_ns
    assert plugin_file(tmp_path) == found
    assert found.stat().st_mtime_ns == stamp
    assert [path.name for path in tmp_path.iterdir()] == [found.name]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert plugin_file(tmp_path) == found
    with pytest.raises(ToolError, match="gcc is not installed"):
        plugin_file(tmp_path / "other")


def test_paths_with_commas_do_not_end_an_option(compiled, vectors, tmp_path):
    folder = tmp_path / "a,b"
    again = compile_for(compiled.generated, "cortex-m4", folder)
    counted = profile(msgspec.structs.replace(again), [vectors[:1]], plugin_folder=folder)
    assert counted.instructions > 0
