"""Frames: whole ones arrive, hostile ones are refused, garbage is passed over, and the device does the same."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import time
import zlib

import numpy as np
import pytest
from tests.compile.toolchain.nets import plain, spoilt

from marram.compile.toolchain.native import build_program
from marram.core.errors import DeviceError, UserError
from marram.measure.native import open_program
from marram.measure.wire.device import Device
from marram.measure.wire.frames import ANSWER, HELLO, LOST, RUN, DamagedFrame, Frame, Silence, frame_bytes, next_frame
from marram.measure.wire.process import ProcessLink
from marram.model import interpret


class Tape:
    """A link whose device says what it was told to say."""

    def __init__(self, *answers: bytes) -> None:
        self.text, self.sent, self.answers = b"", [], list(answers)

    def send(self, data, *, deadline_s):
        self.sent.append(data)
        self.text += self.answers.pop(0) if self.answers else b""

    def receive(self, size_bytes, *, deadline_s):
        if len(self.text) < size_bytes:
            raise Silence("nothing comes")
        found, self.text = self.text[:size_bytes], self.text[size_bytes:]
        return found

    def drain(self):
        self.text = b""

    def said(self):
        return "words of the device"

    def stop(self):
        pass

    def close(self):
        pass


def later() -> float:
    return time.monotonic() + 5


def received(text: bytes, **options) -> Frame:
    tape = Tape()
    tape.text = text
    return next_frame(tape, deadline_s=later(), **options)


@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(256)) * 40])
def test_frames_arrive_as_they_were(payload):
    frame = Frame(kind=RUN, sequence=9, payload=payload)
    assert received(frame_bytes(frame)) == frame


def test_garbage_before_a_frame_is_passed_over():
    frame = Frame(kind=RUN, sequence=1, payload=b"data")
    false_start = b"MR" + b"MR\x02\x01\xff\xff\xff\xff" + b"MRMRMR"
    assert received(os.urandom(50).replace(b"MR", b"..") + false_start + frame_bytes(frame)) == frame


def test_hostile_frames_are_refused():
    good = frame_bytes(Frame(kind=RUN, sequence=1, payload=b"data"))
    with pytest.raises(DamagedFrame, match="checksum"):
        received(good[:-5] + bytes([good[-5] ^ 1]) + good[-4:])
    with pytest.raises(DamagedFrame, match="at most 3"):
        received(good, limit_bytes=3)
    header = struct.pack("<2sBBI", b"MR", 1, 1, 0xFFFFFFFF)
    with pytest.raises(DamagedFrame, match="announces 4294967295"):
        received(header + struct.pack("<I", zlib.crc32(header)))
    with pytest.raises(DamagedFrame, match="no frame"):
        received(bytes(70_000))
    with pytest.raises(Silence):
        received(good[:-1])


def test_random_bytes_never_pass_for_a_frame():
    generator = random.Random(5)
    for _ in range(200):
        with pytest.raises(DeviceError):
            received(generator.randbytes(generator.randrange(200)))


GENERATED = plain()
INPUTS, OUTPUTS = GENERATED.graph.input_tensors, GENERATED.graph.output_tensors


def device(*answers: bytes, attempts: int = 1) -> tuple[Device, Tape]:
    tape = Tape(*answers)
    return Device(tape, name="tape", inputs=INPUTS, outputs=OUTPUTS, attempts=attempts, time_limit_s=1), tape


def answer(sequence: int, status: int, data: bytes = b"", kind: int = RUN) -> bytes:
    return frame_bytes(Frame(kind=kind | ANSWER, sequence=sequence, payload=struct.pack("<I", status) + data))


X = np.zeros(INPUTS[0].shape, np.int8)


def test_answers_are_checked():
    (found,) = device(answer(1, 0, bytes([1, 2, 3, 4, 255])))[0].run([X])
    assert found.tolist() == [[1, 2, 3, 4, -1]]
    for text, words in (
        (answer(1, 0, b"1234"), "with 4 bytes where 5 belong"),
        (answer(2, 0, b"12345"), "kind 0x82"),
        (answer(1, 2), "arena is too small"),
        (answer(1, 20), "beside its arena"),
        (answer(1, 17), "damaged on its way"),
        (answer(1, 4711), "status 4711"),
        (frame_bytes(Frame(kind=RUN | ANSWER, sequence=1, payload=b"")), "without a status"),
        (frame_bytes(Frame(kind=LOST | ANSWER, sequence=0, payload=bytes(4))), "could not make a frame"),
        (b"", "nothing comes"),
    ):
        with pytest.raises(DeviceError, match=words) as caught:
            device(text)[0].run([X])
        assert "words of the device" in str(caught.value)


def test_over_a_wire_requests_are_repeated():
    link, tape = device(b"", answer(2, 17), b"noise", answer(4, 0, b"abcde"), attempts=4)
    assert link.run([X])[0].tobytes() == b"abcde"
    assert len(tape.sent) == 4
    link, tape = device(attempts=3)
    with pytest.raises(DeviceError, match="nothing comes"):
        link.run([X])
    assert len(tape.sent) == 3


def test_inputs_that_are_not_the_model_s_are_not_sent():
    link, tape = device()
    for inputs in ([], [X, X], [X[0]], [X.astype(np.int16)]):
        with pytest.raises(UserError):
            link.run(inputs)
    assert not tape.sent


def test_another_model_or_protocol_is_refused():
    sizes = struct.pack("<2I", INPUTS[0].size_bytes, OUTPUTS[0].size_bytes)
    greeting = struct.pack("<HHI32sHH", 1, 1, 100, b"d" * 32, 1, 1)
    assert device(answer(1, 0, greeting + sizes, HELLO))[0].greet(b"d" * 32).arena_bytes == 100
    for data, words in (
        (greeting + sizes, "another model"),
        (greeting, "wrong size"),
        (b"\7" + greeting[1:] + sizes, "speaks protocol 7"),
        (greeting + bytes(8), "other sizes"),
    ):
        with pytest.raises(DeviceError, match=words):
            device(answer(1, 0, data, HELLO))[0].greet(b"e" * 32 if words == "another model" else None)


# The device's side, as a program with sanitisers.


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return build_program(GENERATED, tmp_path_factory.mktemp("program"))


def test_device_answers_and_equals_the_reference(program):
    x = np.random.default_rng(0).integers(-128, 128, (3, *X.shape[1:])).astype(np.int8)
    expected = interpret(GENERATED.graph, [x])[0]
    link = open_program(GENERATED, program)
    try:
        for sample, wanted in zip(x, expected, strict=True):
            assert np.array_equal(link.run([sample[None]])[0][0], wanted)
        link.self_test([x[:1]], [expected[:1]])
        with pytest.raises(DeviceError, match="self-test came out differently"):
            link.self_test([x[:1]], [expected[:1] ^ 1])
        with pytest.raises(DeviceError, match="cannot do that"):
            link.stack_bytes([x[:1]])
        link.end()
    finally:
        link.close()


def test_device_finds_its_way_back_after_garbage(program):
    link = ProcessLink([str(program)], name="program")
    hello = frame_bytes(Frame(kind=HELLO, sequence=3, payload=b""))
    spoilt = bytearray(frame_bytes(Frame(kind=RUN, sequence=4, payload=X.tobytes())))
    spoilt[20] ^= 1
    short = frame_bytes(Frame(kind=RUN, sequence=5, payload=b"short"))
    unknown = frame_bytes(Frame(kind=0x55, sequence=6, payload=b"what"))
    try:
        link.send(b"garbage MRMR" + hello + bytes(spoilt) + short + unknown + hello, deadline_s=later())
        found = [next_frame(link, deadline_s=later()) for _ in range(6)]
    finally:
        link.close()
    statuses = [(frame.kind & 0x7F, frame.sequence, struct.unpack_from("<I", frame.payload)[0]) for frame in found]
    assert statuses == [(LOST, 0, 16), (HELLO, 3, 0), (RUN, 4, 17), (RUN, 5, 18), (0x55, 6, 19), (HELLO, 3, 0)]


def test_device_survives_random_bytes_under_sanitisers(program):
    generator = random.Random(11)
    frames = [frame_bytes(Frame(kind=kind, sequence=1, payload=bytes(generator.randrange(200)))) for kind in range(1, 5)]
    text = b"".join(
        generator.choice([generator.randbytes(40), b"MR", *frames])[: generator.randrange(1, 300)] for _ in range(400)
    )
    done = subprocess.run([str(program)], input=text, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert b"Sanitizer" not in done.stderr


def test_what_a_sanitiser_finds_is_in_the_error(tmp_path):
    wrong = spoilt(GENERATED, "    if (arena) { ((volatile char *)arena)[arena_bytes] = 1; }")
    link = open_program(wrong, build_program(wrong, tmp_path))
    try:
        with pytest.raises(DeviceError, match="AddressSanitizer"):
            link.run([X])
    finally:
        link.close()
