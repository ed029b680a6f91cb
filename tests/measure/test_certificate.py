"""The parity certificate: all places agree with the reference, and one that does not is counted."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from marram.core.errors import DeviceError, UserError
from marram.core.graph import Tensor
from marram.measure.certificate import certify, reference_answers
from marram.measure.extremes import golden_vectors
from marram.model import interpret
from tests.compile.toolchain.nets import net, plain, spoilt


@pytest.fixture(scope="module")
def vectors():
    generated = plain()
    return reference_answers(generated, golden_vectors(generated.graph, 40))


def test_all_places_agree(vectors, tmp_path):
    found = certify(plain(), vectors, cores=("cortex-m0", "cortex-m4"), on_core=30, folder=tmp_path)
    assert [row.differing for row in found] == [0, 0, 0, 0]
    assert [row.vectors for row in found] == [40, 40, 30, 30]
    assert [row.elements for row in found] == [200, 200, 150, 150]
    assert found[0].outputs_digest == found[1].outputs_digest
    assert found[2].outputs_digest == found[3].outputs_digest
    assert "ASan and UBSan" in found[1].runtime
    assert "microbit" in found[2].runtime


def test_a_difference_is_counted(vectors, tmp_path):
    generated = plain()
    text = generated.files["net.c"]
    head = "    if (status == MARRAM_OK) { net_layers((uint8_t *)arena); }\n"
    assert head in text
    later = (
        head
        + "    if (status == MARRAM_OK) { int8_t *y = (int8_t *)(uintptr_t)net_output(arena, 0); if (y[0] > 0) { y[1] ^= 1; } }\n"
    )
    declared = "const void *net_output(const void *arena, int index);\n"
    wrong = msgspec.structs.replace(generated, files={**generated.files, "net.c": text.replace(head, later)})
    assert declared.strip() in generated.files["net.h"]
    expected = int((vectors.expected[0][:, 0] > 0).sum())
    assert 0 < expected < 40
    first = int((vectors.expected[0][0, 0] > 0).sum())
    if first:  # the self-test sees the first vector
        vectors = type(vectors)(
            inputs=tuple(a[::-1] for a in vectors.inputs), expected=tuple(a[::-1] for a in vectors.expected)
        )
    (plain_row, *_) = (
        certify(wrong, vectors, compilers=("gcc",), folder=tmp_path) if not vectors.expected[0][0, 0] > 0 else (None,)
    )
    assert plain_row is not None
    assert plain_row.differing == expected
    assert plain_row.largest == 1


def test_findings_of_a_sanitiser_are_raised(vectors, tmp_path):
    wrong = spoilt(plain(), "    volatile int shift = 40; if (arena) { (void)(1 << shift); }")
    with pytest.raises(DeviceError, match="shift exponent 40"):
        certify(wrong, vectors, folder=tmp_path)


def test_golden_vectors_reach_both_ends(vectors):
    graph = net()
    (x,) = golden_vectors(graph, 60)
    assert x.shape == (60, 6, 6, 3)
    assert x.dtype == np.int8
    assert np.array_equal(x, golden_vectors(graph, 60)[0]), "the same every time"
    assert not np.array_equal(x, golden_vectors(graph, 60, seed=2)[0])
    ranges = {}

    def observe(name, array):
        ranges[name] = (int(array.min()), int(array.max()))

    interpret(graph, [x], observe=observe)
    random = np.random.default_rng(0).integers(-128, 128, x.shape).astype(np.int8)
    chosen = dict(ranges)
    interpret(graph, [random], observe=observe)
    assert all(chosen[name][0] <= ranges[name][0] and chosen[name][1] >= ranges[name][1] for name in ranges)
    assert any(chosen[name] != ranges[name] for name in ranges)
    assert len(np.unique(interpret(graph, [x])[0], axis=0)) > 40


def test_golden_vectors_of_wrong_counts_or_dtypes_are_refused():
    with pytest.raises(UserError):
        golden_vectors(net(), 0)
    graph = net()
    floats = msgspec.structs.replace(graph, tensors={**graph.tensors, "x": Tensor(name="x", shape=(1, 6, 6, 3))})
    with pytest.raises(UserError, match="integers"):
        golden_vectors(floats, 3)
