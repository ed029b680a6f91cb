"""Flatbuffers: values -> bytes -> values, and bytes that lie."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as generated

from marram.core.errors import ModelFileError
from marram.model.tflite.flatbuffer import decode, defaults, encode
from marram.model.tflite.writing import write


def plain(value):
    """Values that compare by ``==``; what is absent is left out."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, tuple):
        return (value[0], plain(value[1]))
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


MODEL = {
    "version": 3,
    "description": "größer",
    "operator_codes": [{"builtin_code": 3, "version": 7}, {}],
    "buffers": [{}, {"data": np.arange(33, dtype=np.uint8)}],
    "subgraphs": [
        {
            "tensors": [{"shape": np.array([1, -2, 3]), "is_variable": True, "quantization": {"scale": np.array([0.5, 0.25])}}],
            "operators": [{"builtin_options": ("Conv2DOptions", {"stride_w": -5}), "inputs": np.array([-1, 0])}],
        }
    ],
}


def test_values_come_back():
    data = encode(MODEL)
    back = decode(data, where="file")
    assert back["description"] == "größer"
    assert plain(back["buffers"]) == [{"offset": 0, "size": 0}, {"data": list(range(33)), "offset": 0, "size": 0}]
    (subgraph,) = back["subgraphs"]
    assert plain(subgraph["tensors"][0])["quantization"]["scale"] == [0.5, 0.25]
    assert subgraph["tensors"][0]["shape"].tolist() == [1, -2, 3]
    name, options = subgraph["operators"][0]["builtin_options"]
    assert (name, options) == ("Conv2DOptions", defaults("Conv2DOptions") | {"stride_w": -5})
    assert options["dilation_w_factor"] == 1
    assert encode(back) == data


def test_the_official_reader_sees_the_same():
    model = generated.ModelT.InitFromObj(generated.Model.GetRootAs(encode(MODEL), 0))
    assert model.operatorCodes[0].version == 7
    assert model.subgraphs[0].tensors[0].shape.tolist() == [1, -2, 3]
    assert model.subgraphs[0].operators[0].builtinOptions.strideW == -5


def test_a_file_of_another_kind_is_refused():
    for data in (b"", b"TFL3", b"\x00" * 64, b"PK\x03\x04" + b"\x00" * 60):
        with pytest.raises(ModelFileError, match="TFL3"):
            decode(data, where="file")


def test_every_truncation_is_refused(draw):
    data = write(draw("dense", "int8"))
    for size in range(len(data)):
        with pytest.raises(ModelFileError, match=r"byte \d+"):
            decode(data[:size], where="file")


def test_a_fault_names_the_byte_and_the_fields():
    data = bytearray(encode(MODEL))
    at = data.index(struct.pack("<I3i", 3, 1, -2, 3))  # the length of the tensor's shape
    data[at : at + 4] = struct.pack("<I", 10**9)
    with pytest.raises(ModelFileError) as caught:
        decode(bytes(data), where="net.tflite")
    assert caught.value.where == f"net.tflite, byte {at}"
    assert "Model.subgraphs[0].tensors[0].shape" in caught.value.what


def test_sharing_cannot_multiply_the_work():
    data = bytearray(encode({"version": 3, "subgraphs": [{"tensors": [{"name": "t"}] * 2000}]}))
    assert len({id(tensor) for tensor in decode(bytes(data), where="file")["subgraphs"][0]["tensors"]}) == 2000
    # every element of the vector of tensors now points at the first tensor: one dict, not two thousand
    start = data.index(struct.pack("<I", 2000))
    first = start + 4 + struct.unpack_from("<I", data, start + 4)[0]
    for i in range(2000):
        place = start + 4 + 4 * i
        struct.pack_into("<I", data, place, first - place)
    tensors = decode(bytes(data), where="file")["subgraphs"][0]["tensors"]
    assert len({id(tensor) for tensor in tensors}) == 1


def test_overlapping_vectors_are_stopped():
    count = 400
    tensors = [{"shape": np.arange(2000)}] + [{"shape": np.array([7])}] * count
    data = bytearray(encode({"version": 3, "subgraphs": [{"tensors": tensors}]}))
    long = data.index(struct.pack("<I", 2000) + struct.pack("<2i", 0, 1))
    short = struct.pack("<Ii", 1, 7)
    at = data.find(short)
    redirected = 0
    while at >= 0:  # a table's field that points at a short shape points at the long one from now on
        for place in range(0, min(at, len(data) - 4), 4):
            if place + struct.unpack_from("<I", data, place)[0] == at and long > place:
                struct.pack_into("<I", data, place, long - place)
                redirected += 1
        at = data.find(short, at + 4)
    assert redirected > 10
    with pytest.raises(ModelFileError, match="shares its bytes"):
        decode(bytes(data), where="file")
