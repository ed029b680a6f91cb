"""Sealing: equal inputs give equal bytes, and what does not belong together is not sealed."""

from __future__ import annotations

import io
import json
import zipfile

import msgspec
import numpy as np
import pytest

from marram.bundle import open as open_bundle
from marram.bundle import seal
from marram.core.errors import UserError
from marram.core.evidence import Figure
from marram.core.manifest import Golden


def test_equal_inputs_give_equal_bytes(parts, signer, sealed):
    assert seal(**parts, signers=(signer,)) == sealed


def test_times_do_not_change_the_file(parts, signer, sealed):
    slower = Figure(name="latency_p50_us", unit="us", value=99.0, method="perf_counter_ns", deterministic=False)
    evidence = msgspec.structs.replace(parts["evidence"], figures=(parts["evidence"].figures[0], slower))
    assert seal(**(parts | {"evidence": evidence}), signers=(signer,)) == sealed


def test_what_a_zip_tool_sees(sealed, program):
    with zipfile.ZipFile(io.BytesIO(sealed)) as archive:
        assert archive.read("program.tflite") == program.blob
        manifest = json.loads(archive.read("manifest.json"))
        assert manifest["labels"] == ["no", "yes"]
        assert manifest["preprocess"] == {"kind": "scale", "by": 0.1}
        listed = {entry["name"] for entry in manifest["members"]}
        assert set(archive.namelist()) == listed | {"manifest.json", "signatures.json"}


def test_what_was_sealed_comes_back(parts, signer, sealed):
    bundle = open_bundle(sealed, (signer.public_key,))
    assert bundle.program == parts["program"]
    assert bundle.recipe == parts["recipe"]
    assert bundle.contract == parts["contract"]
    assert bundle.licence == parts["licence"]
    assert bundle.manifest.labels == parts["labels"]
    assert bundle.manifest.lineage.data == parts["data_digest"]
    assert bundle.evidence.figure("accuracy") == parts["evidence"].figures[0]
    assert bundle.evidence.figure("latency_p50_us") is None
    np.testing.assert_array_equal(bundle.golden.inputs[0], parts["golden"].inputs[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "one"}, "not a version"),
        ({"labels": ("a", "b", "c")}, "3 labels"),
        ({"golden": Golden(inputs=(np.zeros((2, 3), np.int8),), outputs=(np.zeros((1, 2), np.int8),))}, "golden"),
        ({"golden": Golden(inputs=(np.zeros((2, 3), np.uint8),), outputs=(np.zeros((2, 2), np.int8),))}, "golden"),
        ({"golden": Golden(inputs=(np.zeros((0, 3), np.int8),), outputs=(np.zeros((0, 2), np.int8),))}, "golden"),
        ({"golden": Golden(inputs=(), outputs=())}, "golden"),
        ({"golden_tolerance": float("nan")}, "tolerance"),
        ({"preprocess": {"scale": float("inf")}}, "JSON cannot carry"),
        ({"preprocess": 3}, "not a struct"),
    ],
)
def test_what_does_not_fit_is_not_sealed(parts, signer, change, message):
    with pytest.raises(UserError, match=message):
        seal(**(parts | change), signers=(signer,))


def test_a_bundle_has_a_signer_and_its_own_evidence(parts, signer):
    with pytest.raises(UserError, match="needs a signer"):
        seal(**parts, signers=())
    foreign = msgspec.structs.replace(parts["evidence"], program_digest="sha256:00")
    with pytest.raises(UserError, match="another program"):
        seal(**(parts | {"evidence": foreign}), signers=(signer,))
