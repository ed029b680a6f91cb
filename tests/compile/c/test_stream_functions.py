"""Generated streams: the reference's bytes on this machine under sanitisers and on a core; blocks, statuses, two streams."""

from __future__ import annotations

import subprocess
from contextlib import suppress

import numpy as np
import pytest
from tests.compile.c.hosting import STRICT
from tests.compile.c.test_random_graphs import drawn
from tests.compile.c.zoo_models import integer_model
from tests.compile.time_models import time_models

from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import generate
from marram.compile.c.streams.generation import generate_stream
from marram.compile.c.streams.layout import stream_layout
from marram.compile.streams.streaming import stream_of
from marram.compile.toolchain.cross import compile_for
from marram.compile.toolchain.native import build_program
from marram.core.errors import UserError
from marram.measure.emulator.emulation import EmulatedSession, run_batch
from marram.measure.native import open_program
from marram.measure.streams import stream_data, stream_vectors


def streams(family, *, start, most):
    """Generated streams of random models of windows."""
    found = []
    for graph, hop in drawn(time_models(), 6 * most, start=start):
        with suppress(UserError):
            found.append((stream_of(graph, hop).window, hop))
    assert len(found) >= most
    made = enumerate(found[-most:])
    return [generate_stream(graph, FAMILIES[family], hop_rows=hop, name=f"s{index}") for index, (graph, hop) in made]


def differing(device, stream, pushes=5):
    streaming = stream.streaming
    vectors = stream_vectors(streaming, stream_data(streaming, streaming.warm_up_pushes + pushes))
    found = run_batch(device, stream.driven.graph.input_tensors, vectors.inputs, time_limit_s=60.0)
    return sum(int((one != other).sum()) for one, other in zip(vectors.expected, found, strict=True))


def on_this_machine(stream, folder):
    device = open_program(stream.driven, build_program(stream.driven, folder))
    try:
        return differing(device, stream)
    finally:
        device.close()


@pytest.mark.parametrize("family", ["portable", "dsp", "mve"])
def test_random_streams_under_sanitisers(family, tmp_path):
    made = streams(family, start=len(family), most=2)
    assert [on_this_machine(stream, tmp_path / stream.generated.name) for stream in made] == [0, 0]


def test_a_stream_whose_layers_take_turns_row_by_row(tmp_path):
    stream = generate_stream(integer_model("ds_cnn"), FAMILIES["dsp"], hop_rows=4, name="net", arena_limit_bytes=1)
    assert stream.generated.plan.rolled
    assert on_this_machine(stream, tmp_path) == 0


def test_states_that_are_copied_in_and_back(tmp_path):
    """Windows that cannot stand in one piece in the state's block, because their rows are parts of other windows."""
    for graph, hop in drawn(time_models(), 80, start=99):
        with suppress(UserError):
            streaming = stream_of(graph, hop)
            if len(stream_layout(streaming, align_bytes=8).moves) < len(streaming.states):
                break
    stream = generate_stream(graph, FAMILIES["portable"], hop_rows=hop, name="net")
    assert len(stream.layout.moves) < len(stream.streaming.states)
    assert on_this_machine(stream, tmp_path) == 0


@pytest.mark.soak
@pytest.mark.parametrize("family", ["portable", "armv6m", "armv7m", "dsp", "mve", "host"])
@pytest.mark.parametrize("start", range(20, 24))
def test_many_random_streams_under_sanitisers(family, start, tmp_path):
    made = streams(family, start=start, most=25)
    assert [on_this_machine(stream, tmp_path / stream.generated.name) for stream in made] == [0] * 25


def test_a_random_stream_on_a_core(tmp_path):
    (stream,) = streams("dsp", start=3, most=1)
    with EmulatedSession(compile_for(stream.driven, "cortex-m4", tmp_path)) as session:
        assert differing(session.device, stream) == 0


@pytest.mark.soak
@pytest.mark.parametrize("start", range(40, 44))
def test_many_random_streams_on_a_core(start, tmp_path):
    for stream in streams("dsp", start=start, most=10):
        with EmulatedSession(compile_for(stream.driven, "cortex-m4", tmp_path / stream.generated.name)) as session:
            assert differing(session.device, stream) == 0


_MAIN = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "s0.h"

#define CHECK(what) do { if (!(what)) { printf("line %%d: %%s\n", __LINE__, #what); return 1; } } while (0)
enum { PUSHES = %(pushes)d, FIRST = S0_STREAM_WARM_UP_PUSHES - 1 };
static const int8_t rows[2][PUSHES][S0_INPUT0_SIZE] = %(rows)s;
static const int8_t answers[2][PUSHES][S0_OUTPUT0_SIZE] = %(answers)s;

static void *exactly(size_t align, size_t size)
{
    void *at = NULL;
    if (posix_memalign(&at, align < sizeof(void *) ? sizeof(void *) : align, size)) { exit(3); }
    memset(at, 0x33, size);
    return at;
}

int main(void)
{
    uint8_t *const arena = exactly(S0_STREAM_ARENA_ALIGN, S0_STREAM_ARENA_BYTES);
    uint8_t *const first = exactly(S0_STREAM_STATE_ALIGN, S0_STREAM_STATE_BYTES);
    uint8_t *const second = exactly(S0_STREAM_STATE_ALIGN, S0_STREAM_STATE_BYTES);
    int8_t out[S0_OUTPUT0_SIZE];
    const size_t all = S0_STREAM_ARENA_BYTES, kept = S0_STREAM_STATE_BYTES;

    CHECK(s0_stream_push(first, kept, arena, all, rows[0][0], out) == MARRAM_STREAM_NOT_STARTED);
    CHECK(s0_stream_init(NULL, kept) == MARRAM_NULL_POINTER);
    CHECK(s0_stream_init(first, kept - 1u) == MARRAM_ARENA_TOO_SMALL);
    CHECK(s0_stream_init(first + 1, kept) == MARRAM_ARENA_MISALIGNED);
    CHECK(s0_stream_init(first, kept) == MARRAM_OK && s0_stream_init(second, kept) == MARRAM_OK);
    CHECK(s0_stream_push(NULL, kept, arena, all, rows[0][0], out) == MARRAM_NULL_POINTER);
    CHECK(s0_stream_push(first, kept, NULL, all, rows[0][0], out) == MARRAM_NULL_POINTER);
    CHECK(s0_stream_push(first, kept, arena, all, NULL, out) == MARRAM_NULL_POINTER);
    CHECK(s0_stream_push(first, kept, arena, all, rows[0][0], NULL) == MARRAM_NULL_POINTER);
    CHECK(s0_stream_push(first, kept - 1u, arena, all, rows[0][0], out) == MARRAM_ARENA_TOO_SMALL);
    CHECK(s0_stream_push(first, kept, arena, all - 1u, rows[0][0], out) == MARRAM_ARENA_TOO_SMALL);
    CHECK(s0_stream_push(first + 1, kept, arena, all, rows[0][0], out) == MARRAM_ARENA_MISALIGNED);
    CHECK(s0_stream_push(first, kept, arena + 1, all, rows[0][0], out) == MARRAM_ARENA_MISALIGNED);

    /* Two streams by turns in one arena, then the first of them again from its beginning: nothing of before is left. */
    for (int again = 0; again < 2; again++) {
        CHECK(s0_stream_init(first, kept) == MARRAM_OK && s0_stream_init(second, kept) == MARRAM_OK);
        for (int push = 0; push < PUSHES; push++) {
            for (int stream = 0; stream < 2; stream++) {
                memset(arena, 0x77, all);
                memset(out, 0x55, sizeof out);
                const marram_status status = s0_stream_push(stream ? second : first, kept, arena, all, rows[stream][push], out);
                CHECK(status == (push < FIRST ? MARRAM_STREAM_FILLING : MARRAM_OK));
                for (size_t at = 0; at < sizeof out; at++) {
                    CHECK(out[at] == (push < FIRST ? 0x55 : answers[stream][push][at]));
                }
            }
        }
    }
    free(arena);
    free(first);
    free(second);
    return 0;
}
"""


def literal(array):
    return "{" + ",".join(map(literal, array)) + "}" if array.ndim else str(int(array))


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("family", ["portable", "dsp", "host"])
def test_statuses_and_two_streams_in_one_arena(family, compiler, tmp_path):
    (stream,) = streams(family, start=5, most=1)
    pushes = stream.streaming.warm_up_pushes + 3
    vectors = [stream_vectors(stream.streaming, stream_data(stream.streaming, pushes, seed=each)) for each in (1, 2)]
    words = {
        "pushes": pushes,
        "rows": literal(np.stack([each.inputs[0].reshape(pushes, -1) for each in vectors])),
        "answers": literal(np.stack([each.expected[0].reshape(pushes, -1) for each in vectors])),
    }
    for name, text in {**stream.generated.files, "main.c": _MAIN % words}.items():
        (tmp_path / name).write_text(text)
    flags = (*STRICT, "-D_POSIX_C_SOURCE=200809L", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    subprocess.run([compiler, *flags, "main.c", "s0.c", "-o", "main"], cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr[:2000]


@pytest.mark.parametrize("first", ["", '#include "other.h"\n'], ids=["alone", "after another model"])
def test_the_header_is_for_cpp_too(first, tmp_path):
    (stream,) = streams("portable", start=6, most=1)
    other = generate(stream.streaming.window, FAMILIES["portable"], name="other")
    (tmp_path / "s0.h").write_text(stream.generated.files["s0.h"])
    (tmp_path / "other.h").write_text(other.files["other.h"])
    body = f'{first}#include "s0.h"\nint main() {{ return s0_stream_init(0, 0) == MARRAM_STREAM_FILLING; }}\n'
    for name, compiler in (("main.cpp", ["g++", "-std=c++17"]), ("main.c", ["gcc", "-std=c11"])):
        text = body if name.endswith("pp") else body.replace("main()", "main(void)")
        (tmp_path / name).write_text(text)
        subprocess.run([*compiler, "-Wall", "-Wextra", "-Wconversion", "-Werror", "-c", name], cwd=tmp_path, check=True)
