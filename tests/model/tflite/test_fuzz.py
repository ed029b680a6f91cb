"""Damaged and hostile files: an error that says what and where, in bounded time and memory, and nothing else."""

from __future__ import annotations

import struct
import time
import tracemalloc

import numpy as np
import pytest

from marram.core.errors import ModelFileError, UnsupportedOperator, UserError
from marram.model.spec import verify
from marram.model.tflite import read, read_opaque, write
from marram.model.tflite.flatbuffer import decode, encode

SEED = 20261121
NAMES = (
    "network",
    "layer_norm",
    "split_uneven",
    "pad_value",
    "slice_strided",
    "transposed_more",
    "dense_series",
    "conv_explicit",
)
EXTREMES = (0, 1, 2, 3, 4, 127, 255, 2**15, 2**16 - 1, 2**20, 2**30, 2**31 - 1, 2**31, 2**32 - 4, 2**32 - 1)
SLOWEST_S = 2.0


@pytest.fixture(scope="module")
def corpus(draw, assemble):
    """Sound files of many operators."""
    dtypes = {"layer_norm": ("float32",)}
    ours = [write(draw(name, dtype)) for name in NAMES for dtype in dtypes.get(name, ("float32", "int8"))]
    return [*ours, shape_arithmetic(assemble)]


def shape_arithmetic(assemble):
    """A file with what is folded while reading: shapes of an open batch and half-precision weights."""
    signature = {"shape_signature": np.array([-1, 3, 4])}

    def known(*values, dtype=np.int32):
        return (len(values),), np.dtype(dtype).name, np.array(values, dtype), {}

    tensors = {
        "x": ((1, 3, 4), "float32", None, signature),
        **{name: ((count,), "int32", None, {}) for name, count in {"shape": 3, "n": 1, "rest": 2, "both": 3}.items()},
        **{name: ((), "int32", None, {}) for name in ("product", "cast")},
        **{name: known(*values) for name, values in {"b": [0], "e": [1], "s": [1], "last": [1, 2]}.items()},
        "zero": ((), "int32", np.array(0, np.int32), {}),
        "two": ((2,), "int32", None, {}),
        "m": ((1, 12), "float32", None, {"shape_signature": np.array([-1, 12])}),
        "half": ((2, 12), "float16", np.ones((2, 12), np.float16), {}),
        "w": ((2, 12), "float32", None, {}),
        "y": ((1, 2), "float32", None, {"shape_signature": np.array([-1, 2])}),
    }
    operators = [
        (("SHAPE", 1), ["x"], ["shape"], ("ShapeOptions", {"out_type": 2})),
        (("STRIDED_SLICE", 1), ["shape", "b", "e", "s"], ["n"], ("StridedSliceOptions", {})),
        (("GATHER", 1), ["shape", "last"], ["rest"], ("GatherOptions", {})),
        (("CONCATENATION", 1), ["n", "rest"], ["both"], ("ConcatenationOptions", {})),
        (("REDUCE_PROD", 1), ["both", "zero"], ["product"], ("ReducerOptions", {})),
        (("CAST", 1), ["product"], ["cast"], ("CastOptions", {"in_data_type": 2, "out_data_type": 2})),
        (("SQUEEZE", 1), ["n"], ["one"], ("SqueezeOptions", {})),
        (("PACK", 1), ["one", "cast"], ["two"], ("PackOptions", {"values_count": 2})),
        (("RESHAPE", 1), ["x", "two"], ["m"], ("ReshapeOptions", {})),
        (("DEQUANTIZE", 3), ["half"], ["w"], ("DequantizeOptions", {})),
        (("FULLY_CONNECTED", 1), ["m", "w", ""], ["y"], ("FullyConnectedOptions", {})),
    ]
    tensors["one"] = ((), "int32", None, {})
    data = assemble(tensors, operators, ["x"], ["y"])
    assert [node.name for node in read(data).nodes] == ["reshape_8", "fully_connected_10"]
    return data


def flipped(data, rng):
    for _ in range(rng.integers(1, 9)):
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)


def extreme(data, rng):
    for _ in range(rng.integers(1, 4)):
        struct.pack_into("<I", data, 4 * rng.integers(len(data) // 4), EXTREMES[rng.integers(len(EXTREMES))])


def nudged(data, rng):
    """A 32-bit number (an offset, a length, a size) a little larger or smaller."""
    at = 4 * rng.integers(len(data) // 4)
    (value,) = struct.unpack_from("<I", data, at)
    struct.pack_into("<I", data, at, (value + int(rng.integers(-16, 17))) % 2**32)


def spliced(data, rng):
    size = int(rng.integers(1, 65))
    source, target = rng.integers(0, len(data) - size, 2)
    data[target : target + size] = data[source : source + size]


def swapped(data, rng):
    first, second = 4 * rng.integers(0, len(data) // 4, 2)
    data[first : first + 4], data[second : second + 4] = data[second : second + 4], data[first : first + 4]


def cut(data, rng):
    start = int(rng.integers(8, len(data)))
    del data[start : start + int(rng.integers(1, 33))]


MUTATIONS = (flipped, extreme, nudged, spliced, swapped, cut)


def tried(data):
    """Read a file in every way; only the errors that a user is meant to see may come out."""
    start = time.perf_counter()
    try:
        graph = read(data)
    except (ModelFileError, UnsupportedOperator):
        graph = None
    try:
        read_opaque(data)
    except (ModelFileError, UnsupportedOperator):
        assert graph is None
    if graph is not None:  # what is accepted is a Graph that other rooms can judge and the writer can take or refuse
        try:
            verify(graph, "integer" if any(tensor.dtype == "int8" for tensor in graph.tensors.values()) else "float")
            write(graph)
        except UserError:
            pass
    assert time.perf_counter() - start < SLOWEST_S
    return graph is not None


def campaign(corpus, count, seed):
    rng = np.random.default_rng(seed)
    accepted = 0
    for i in range(count):
        data = bytearray(corpus[int(rng.integers(len(corpus)))])
        mutate = MUTATIONS[int(rng.integers(len(MUTATIONS)))]
        mutate(data, rng)
        try:
            accepted += tried(bytes(data))
        except Exception as error:
            raise AssertionError(f"seed {seed}, mutation {i} ({mutate.__name__}): {type(error).__name__}: {error}") from error
    return accepted


def scrambled(model, rng):
    """A file that is sound as a flatbuffer and says other things: a few fields of the tables are replaced."""
    fields = [(table, name) for table in tables_of(model) for name in table if name not in {"version", "data"}]
    for _ in range(rng.integers(1, 4)):
        table, name = fields[rng.integers(len(fields))]
        table[name] = replaced(table[name], rng)


def tables_of(value):
    """Every table in a decoded file."""
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from tables_of(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tables_of(item)


def replaced(value, rng):
    """Another value of the same type."""
    if isinstance(value, np.ndarray) and value.size:
        changed = value.copy()
        changed[rng.integers(value.size)] = rng.integers(-3, 9) if rng.integers(2) else 2**31 - 1
        return (changed, np.append(value, value), value[:-1], value[::-1])[rng.integers(4)]
    if isinstance(value, list) and value:
        return (value[:-1], value[1:], value[::-1], value + value[:1])[rng.integers(4)]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return int((0, 1, 2, 3, 9, 17, 100, 127)[rng.integers(8)])
    if isinstance(value, float):
        return float(rng.normal())
    return None if isinstance(value, dict | tuple) and rng.integers(2) else value


def structured_campaign(corpus, count, seed):
    rng = np.random.default_rng(seed)
    accepted = 0
    for i in range(count):
        model = decode(corpus[int(rng.integers(len(corpus)))], where="corpus")
        scrambled(model, rng)
        try:
            accepted += tried(encode(model))
        except Exception as error:
            raise AssertionError(f"seed {seed}, mutation {i}: {type(error).__name__}: {error}") from error
    return accepted


def test_sound_tables_with_wrong_contents_give_an_error_or_a_graph(corpus):
    assert 0 < structured_campaign(corpus, 300, SEED + 5) < 300


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_twenty_thousand_wrong_contents(corpus):
    assert structured_campaign(corpus, 20_000, SEED + 6) > 0


def test_mutations_give_an_error_or_a_graph(corpus):
    accepted = campaign(corpus, 1000, SEED)
    assert 0 < accepted < 1000  # both ways were taken


def test_truncations_give_an_error(corpus):
    for data in corpus:
        for size in range(0, len(data), max(len(data) // 97, 1)):
            with pytest.raises(ModelFileError):
                read(data[:size])


def test_memory_is_bounded_by_the_file(corpus):
    rng = np.random.default_rng(SEED + 1)
    for _ in range(80):
        data = bytearray(corpus[int(rng.integers(len(corpus)))])
        extreme(data, rng)
        tracemalloc.start()
        try:
            tried(bytes(data))
            assert tracemalloc.get_traced_memory()[1] < 2**22 + 64 * len(data)
        finally:
            tracemalloc.stop()


def test_a_file_of_one_name_is_read_in_one_pass(assemble):
    """Five thousand tensors share one name; a search for a free one at each would take most of a minute."""
    count = 5_000
    tensors = {f"{i}": ((1,), "float32", None, {"name": "t"}) for i in range(count)}
    operators = [(("RELU", 1), [f"{i}"], [f"{i + 1}"], None) for i in range(count - 1)]
    start = time.perf_counter()
    graph = read(assemble(tensors, operators, ["0"], [f"{count - 1}"]))
    assert len(graph.tensors) == count
    assert time.perf_counter() - start < 20


def test_noise_with_the_right_name_is_refused():
    rng = np.random.default_rng(SEED + 2)
    for size in (8, 9, 64, 1000, 65536):
        noise = bytearray(rng.integers(0, 256, size).astype(np.uint8).tobytes())
        noise[:8] = struct.pack("<I", int(rng.integers(size))) + b"TFL3"
        assert not tried(bytes(noise))


def test_published_files_with_damage(mlperf):
    small = [path.read_bytes() for name, path in mlperf.items() if name.startswith("kws")]
    if small:
        campaign(small, 100, SEED + 3)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_twenty_thousand_mutations(corpus):
    assert campaign(corpus, 20_000, SEED + 4) > 0
