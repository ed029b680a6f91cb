"""Streams against the reference: every answer of a long stream of pushes is held against the window that ends there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from marram.compile.c.streams.generation import GeneratedStream, pushes_of
from marram.compile.streams.streaming import Streaming
from marram.core.errors import UserError
from marram.core.evidence import Parity
from marram.core.graph import Array
from marram.measure.certificate import Vectors, certify

_OK, _FILLING = 0, 5


def stream_data(streaming: Streaming, pushes: int, *, seed: int = 0) -> Array:
    """Integers over the whole range of the input's dtype, so many pushes of them, the same every time."""
    source = streaming.window.input_tensors[0]
    limits = np.iinfo(source.dtype)
    shape = list(source.shape)
    shape[streaming.axis] = pushes * streaming.hop_rows
    random = np.random.default_rng(seed)
    found: Array = random.integers(limits.min, limits.max, shape, dtype=source.dtype, endpoint=True)
    return found


def stream_vectors(streaming: Streaming, data: Array) -> Vectors:
    """The pushes of a driven stream, and what must come out: zeros until the window is full, then its answers.

    Args:
        streaming: the stream.
        data: as for ``compile.c.streams.generation.pushes_of``; more than one window of it.

    Raises:
        UserError: the data never fill a window.
    """
    from marram.model.reference import interpret

    rows, begin = pushes_of(streaming, data)
    ends = [(push + 1) * streaming.hop_rows for push in range(streaming.warm_up_pushes - 1, len(rows))]
    if not ends:
        raise UserError(f"{len(rows)} pushes never fill the window", where="data", hint=f"{streaming.warm_up_pushes} do.")
    windows = [np.take(data, range(end - streaming.window_rows, end), axis=streaming.axis) for end in ends]
    answers = interpret(streaming.window, [np.concatenate(windows)])
    filling = len(rows) - len(ends)
    expected = [np.concatenate([np.zeros((filling, *found.shape[1:]), found.dtype), found]) for found in answers]
    status = np.full((len(rows), 1), _OK, np.int8)
    status[:filling] = _FILLING
    return Vectors(inputs=(rows, begin), expected=(*expected, status))


def flowing(streaming: Streaming, *, seed: int = 1) -> list[Array]:
    """Inputs of one push of a driven stream whose window is full: what a push costs is counted with them."""
    return [stream_data(streaming, 1, seed=seed), np.full((1, 1), 2, np.int8)]


def certify_stream(
    stream: GeneratedStream,
    *,
    cores: Sequence[str] = (),
    compilers: Sequence[str] = ("gcc",),
    pushes: int = 200,
    seed: int = 0,
    time_limit_s: float = 600.0,
) -> tuple[Parity, ...]:
    """A stream of random rows in every place where it can run here: its own functions, pushed one after the other.

    Args:
        stream: the sources.
        cores: emulated cores.
        compilers: for this machine; each makes a library and a sanitised program.
        pushes: how many answers beyond those until the window is full.
        seed: of the rows.
        time_limit_s: for each place.

    Returns:
        As ``certificate.certify``: a vector is a push, and its outputs are the answers and the status.
    """
    data = stream_data(stream.streaming, stream.streaming.warm_up_pushes + pushes, seed=seed)
    vectors = stream_vectors(stream.streaming, data)
    on_core = len(vectors.inputs[0])
    return certify(stream.driven, vectors, cores=cores, compilers=compilers, on_core=on_core, time_limit_s=time_limit_s)
