"""A model on an emulated core: it answers as the reference does; what hangs, crashes or spoils memory is told and ended."""

from __future__ import annotations

import os
import time

import msgspec
import numpy as np
import pytest
from tests.compile.toolchain.nets import FAMILY_OF, generated_for, plain, spoilt

from marram.compile.toolchain.cross import compile_for, link_harness
from marram.core.errors import DeviceError, ToolError, UserError
from marram.measure.emulator.emulation import EmulatedSession
from marram.model import interpret


@pytest.mark.parametrize("core", FAMILY_OF)
def test_every_core_answers_as_the_reference(core, vectors, tmp_path):
    compiled = compile_for(generated_for(core), core, tmp_path)
    expected = interpret(compiled.generated.graph, [vectors])
    with EmulatedSession(compiled) as session:
        assert session.greeting.arena_bytes == compiled.generated.plan.arena_bytes
        assert np.array_equal(session.run_many([vectors])[0], expected[0])
        session.device.self_test([vectors[:1]], [expected[0][:1]])
        stack = session.device.stack_bytes([vectors[:1]])
        session.end()
    # The stack moves in steps of 8 bytes, and a frame's last word need not be written.
    assert stack <= compiled.stack.size_bytes <= max(1.05 * stack, stack + 8)


def test_batches_of_other_shapes_are_refused(compiled, harness, vectors):
    with EmulatedSession(compiled, image=harness) as session:
        for wrong in ([], [vectors[:0]], [vectors, vectors]):
            with pytest.raises(UserError):
                session.run_many(wrong)
        with pytest.raises(DeviceError, match="0 of 5 vectors"):
            session.run_many([vectors], time_limit_s=-1)
        session.run([vectors[:1]])


def alive(session) -> bool:
    return session._link._process.poll() is None


def test_the_emulator_goes_with_its_session(compiled, harness):
    session = EmulatedSession(compiled, image=harness)
    assert alive(session)
    session.close()
    session.close()
    assert not alive(session)
    session = EmulatedSession(compiled, image=harness)
    process = session._link._process
    del session
    assert process.wait(5) is not None
    with pytest.raises(KeyboardInterrupt), EmulatedSession(compiled, image=harness) as session:
        raise KeyboardInterrupt
    assert not alive(session)


def wrong(statements, tmp_path, core="cortex-m4"):
    """A model that behaves only at its first calls: the greeting asks none."""
    return compile_for(spoilt(plain(), statements), core, tmp_path)


def test_a_hang_ends_at_the_time_limit(tmp_path, vectors):
    compiled = wrong('    for (;;) { __asm volatile("nop"); }', tmp_path)
    begin_s = time.monotonic()
    with EmulatedSession(compiled, time_limit_s=0.5) as session, pytest.raises(DeviceError, match="time limit") as caught:
        session.run([vectors[:1]])
    assert time.monotonic() - begin_s < 5
    assert "qemu-system-arm" in str(caught.value)
    assert not alive(session)


@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m4", "cortex-m33"])
def test_a_fault_is_reported_with_its_registers(core, tmp_path, vectors):
    compiled = wrong('    __asm volatile("udf #1");', tmp_path, core)
    with EmulatedSession(compiled) as session, pytest.raises(DeviceError, match="stopped with status 99") as caught:
        session.run([vectors[:1]])
    assert "marram: fault" in str(caught.value)
    assert "PC 0x" in str(caught.value)
    if core != "cortex-m0":
        assert "CFSR 0x00010000" in str(caught.value), "an undefined instruction"


def test_a_lockup_is_told_in_the_emulator_s_words(tmp_path, vectors):
    compiled = wrong('    __asm volatile("ldr r0, =0xF0000000\\nmov sp, r0\\nudf #1");', tmp_path)
    with EmulatedSession(compiled) as session, pytest.raises(DeviceError, match="stopped with status") as caught:
        session.run([vectors[:1]])
    assert "Lockup" in str(caught.value)


def test_code_for_the_smallest_core_may_not_read_unaligned_words(tmp_path, vectors):
    statements = "    volatile unsigned *word = (volatile unsigned *)((unsigned char *)arena + 1);\n    *word = 1u;"
    large = compile_for(spoilt(plain(96), statements), "cortex-m0", tmp_path)
    assert large.board.name == "mps2-an385-armv6m", "a core that could do it"
    x = np.zeros(large.generated.graph.input_tensors[0].shape, np.int8)
    with EmulatedSession(large) as session, pytest.raises(DeviceError, match="marram: fault"):
        session.run([x])


def test_writing_beside_the_arena_is_found(tmp_path, vectors):
    for place in ("-1", "(int)arena_bytes", "(int)arena_bytes + 31"):
        compiled = wrong(f"    if (arena) {{ ((unsigned char *)arena)[{place}] = 1; }}", tmp_path)
        with EmulatedSession(compiled) as session, pytest.raises(DeviceError, match="beside its arena"):
            session.run([vectors[:1]])


def test_another_image_than_the_model_s_is_refused(compiled, harness):
    other = msgspec.structs.replace(compiled, generated=generated_for("cortex-m4", 7))
    with pytest.raises(DeviceError, match="another model"):
        EmulatedSession(other, image=harness)


def test_missing_emulator_says_what_to_install(compiled, harness, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(ToolError, match="qemu-system-arm is not installed") as caught:
        EmulatedSession(compiled, image=harness)
    assert "scripts/system-packages mcu" in str(caught.value)


def test_an_image_for_another_board_does_not_hang(compiled, harness):
    moved = msgspec.structs.replace(harness, board=msgspec.structs.replace(harness.board, machine="no-such-board"))
    with pytest.raises(DeviceError, match="no-such-board"):
        EmulatedSession(compiled, image=moved)
    assert link_harness(compiled).flash_bytes == harness.flash_bytes
