"""Models that are fed as data comes: what ``marram compile`` and ``marram bench`` say of them, and their golden streams."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from marram.compile.c.streams.generation import GeneratedStream
from marram.compile.c.streams.self_test import stream_self_test_files
from marram.core.errors import UserError
from marram.measure.streams import stream_data, stream_vectors


class StreamRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model that is fed as data comes keeps and saves.

    Each push takes ``rows`` rows; the first answer comes with push ``warm_up_pushes``, when ``window_rows`` are there. The
    caller keeps ``state_bytes`` for each stream. ``macs`` are of one push, ``window_macs`` of the model on one window.
    ``padded``: layers pad along time, so that each push makes rows near the window's ends anew. ``whole`` says of the nodes
    that end what is kept from window to window why they do; they and those after them work on the whole window.
    """

    rows: int
    window_rows: int
    warm_up_pushes: int
    state_bytes: int
    macs: int
    window_macs: int
    padded: bool
    whole: dict[str, str]


def need_one_arena(memories: Sequence[object]) -> None:
    """Refuses a stream over several memories."""
    if memories:
        raise UserError(
            "a stream has one arena and its state, and several memories were named",
            where="--memory",
            hint="Leave --memory out: state and arena are blocks of yours, which you put where you like.",
        )


def golden_stream(stream: GeneratedStream, answers: int) -> dict[str, str]:
    """A golden stream with so many answers."""
    filling = stream.streaming.warm_up_pushes - 1
    vectors = stream_vectors(stream.streaming, stream_data(stream.streaming, filling + answers))
    expected = [values[filling:] for values in vectors.expected[:-1]]
    return stream_self_test_files(stream.generated.name, vectors.inputs[0], expected)


def stream_record(stream: GeneratedStream) -> StreamRecord:
    """What there is to say of a generated stream."""
    found = stream.streaming
    return StreamRecord(
        rows=found.hop_rows,
        window_rows=found.window_rows,
        warm_up_pushes=found.warm_up_pushes,
        state_bytes=stream.state_bytes,
        macs=found.macs,
        window_macs=found.window_macs,
        padded=found.padded,
        whole=found.ends,
    )
