"""A board on a serial line: here an emulated one with its UART on a pseudo terminal, through pyserial."""

from __future__ import annotations

import builtins
import os
import re
import subprocess
import time

import numpy as np
import pytest
from tests.compile.toolchain.nets import generated_for, plain

from marram.compile.toolchain.boards import boards
from marram.compile.toolchain.commands import tool
from marram.compile.toolchain.cross import UART, compile_model, link_harness
from marram.core.errors import DeviceError, MissingExtra
from marram.measure.board import SerialLink, open_board
from marram.model import interpret


@pytest.fixture(params=["mps2-an386", "mps2-an505", "mps3-an547"])
def line(request, tmp_path):
    """The model, and the terminal that an emulated board with it talks to."""
    (board,) = [one for one in boards() if one.name == request.param]
    compiled = compile_model(plain(), board, tmp_path)
    image = link_harness(compiled, port=UART)
    command = [tool("qemu-system-arm"), "-machine", board.machine, "-display", "none", "-monitor", "none", "-serial", "pty"]
    log = tmp_path / "log"
    with log.open("wb") as out, subprocess.Popen([*command, "-kernel", image.path], stdout=out, stderr=out) as process:
        try:
            deadline_s = time.monotonic() + 20
            while not (found := re.search(r"/dev/pts/\d+", log.read_text())):
                assert time.monotonic() < deadline_s, log.read_text()
                time.sleep(0.02)
            yield compiled.generated, found.group()
        finally:
            process.kill()


def test_a_board_answers_as_the_reference(line):
    generated, port = line
    x = np.random.default_rng(0).integers(-128, 128, (3, 6, 6, 3)).astype(np.int8)
    expected = interpret(generated.graph, [x])[0]
    device = open_board(generated, port)
    try:
        for sample, wanted in zip(x, expected, strict=True):
            assert np.array_equal(device.run([sample[None]])[0][0], wanted)
        device.self_test([x[:1]], [expected[:1]])
        assert 0 < device.stack_bytes([x[:1]]) < 1000
        device.end()  # it starts again, and waits for the next host
    finally:
        device.close()
    device = open_board(generated, port)
    device._link._line.write(b"noise on the line MR")
    assert np.array_equal(device.run([x[:1]])[0], expected[:1])
    device.close()
    with pytest.raises(DeviceError, match="another model"):
        open_board(plain(7), port)


def test_silence_and_closed_ports_are_told(tmp_path):
    host, board = os.openpty()
    try:
        with pytest.raises(DeviceError, match="no answer") as caught:
            open_board(generated_for("cortex-m4"), os.ttyname(board), time_limit_s=0.2, attempts=2)
        assert "harness image" in str(caught.value)
    finally:
        os.close(host)
        os.close(board)
    with pytest.raises(DeviceError, match="cannot be opened"):
        SerialLink(str(tmp_path / "nowhere"))


def test_without_pyserial_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "serial":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"marram\[board\]"):
        SerialLink("/dev/ttyACM0")
