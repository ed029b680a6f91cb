"""The parity certificate: all places agree with the reference, and one that does not is counted."""

from __future__ import annotations

import os
import signal
import threading

import msgspec
import numpy as np
import pytest
from tests.compile.toolchain.nets import net, plain, scaled, spoilt

from marram.core.errors import DeviceError, UserError
from marram.core.graph import Tensor
from marram.measure import certificate
from marram.measure.certificate import Vectors, certify, reference_answers
from marram.measure.extremes import golden_vectors
from marram.model import interpret


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
    head = "    if (status == MARRAM_OK) { net_layers((uint8_t *)arena); }\n"
    assert head in generated.files["net.c"]
    spoil = "int8_t *y = (int8_t *)(uintptr_t)net_output(arena, 0); if (y[0] > 0) { y[1] ^= 1; }"
    text = generated.files["net.c"].replace(head, f"{head}    if (status == MARRAM_OK) {{ {spoil} }}\n")
    wrong = msgspec.structs.replace(generated, files={**generated.files, "net.c": text})
    met = vectors.expected[0][:, 0] > 0
    assert 0 < met.sum() < 40
    order = np.argsort(met, kind="stable")  # the self-test sees the first
    rows = Vectors(inputs=(vectors.inputs[0][order],), expected=(vectors.expected[0][order],))
    found = certify(wrong, rows, cores=("cortex-m4",), folder=tmp_path)
    assert [(row.differing, row.largest) for row in found] == [(int(met.sum()), 1.0)] * 3
    with pytest.raises(DeviceError, match="self-test"):
        certify(wrong, Vectors(inputs=(rows.inputs[0][::-1],), expected=(rows.expected[0][::-1],)), folder=tmp_path)


def test_findings_of_a_sanitiser_are_raised(vectors, tmp_path):
    wrong = spoilt(plain(), "    volatile int shift = 40; if (arena) { (void)(1 << shift); }")
    with pytest.raises(DeviceError, match="shift exponent 40"):
        certify(wrong, vectors, folder=tmp_path)


def test_ctrl_c_ends_all_places_at_once(vectors, tmp_path, monkeypatch):
    asked = certificate.run_batch

    def interrupted(*arguments, **options):
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        return asked(*arguments, **options)

    monkeypatch.setattr(certificate, "run_batch", interrupted)
    # It hangs from its seventh call on: the self-test has four.
    wrong = spoilt(plain(), "    static volatile int calls; calls = calls + 1; while (calls > 6) { }")
    with pytest.raises(KeyboardInterrupt):
        certify(wrong, vectors, cores=("cortex-m4",), compilers=(), folder=tmp_path)
    assert threading.active_count() == 1


def test_golden_vectors_reach_both_ends(vectors):
    calm = Tensor(name="a", shape=(1, 6, 6, 4), dtype="int8", quantisation=scaled(0.9, 5))  # noise does not saturate it
    graph = msgspec.structs.replace(net(), tensors={**net().tensors, "a": calm})
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
    assert chosen["a"][1] == 127
    assert ranges["a"][1] < 100
    assert len(np.unique(interpret(graph, [x])[0], axis=0)) > 20


def test_golden_vectors_of_wrong_counts_or_dtypes_are_refused():
    with pytest.raises(UserError):
        golden_vectors(net(), 0)
    graph = net()
    floats = msgspec.structs.replace(graph, tensors={**graph.tensors, "x": Tensor(name="x", shape=(1, 6, 6, 3))})
    with pytest.raises(UserError, match="integers"):
        golden_vectors(floats, 3)
