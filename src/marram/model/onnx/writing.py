"""Graph -> ONNX file: float operators, integer ones between DequantizeLinear and QuantizeLinear, channels first inside."""

from __future__ import annotations

from typing import Any

from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Array, Graph, Tensor
from marram.core.operators import operator_name
from marram.model.four_bits import fit, packed
from marram.model.layout.cancelling import settle
from marram.model.onnx.contents import CHANNELS_LAST, INT4, LAYOUT_KEY
from marram.model.onnx.emission import emit
from marram.model.onnx.page import Page
from marram.model.spec import RULES, verify

IR_VERSION = 10
"""The newest that every runtime of research/toolchain.md reads."""
OPSET = 20
_OPSET_WITH_INT16_AND_INT4 = 21
_LARGEST_FILE = 2**31 - 1


def write(graph: Graph, *, pack: bool = False) -> bytes:
    """The bytes of an ONNX file that computes what the Graph computes; equal Graphs give equal bytes.

    Inputs and outputs keep the Graph's names, shapes and dtypes; transposes at the border turn images channels first. Integer
    operators are float ones between DequantizeLinear and QuantizeLinear: activations uint8 inside (zero point + 128),
    weights int8 by channel, biases int32.

    Args:
        graph: legal, float or integer.
        pack: weights that fit 4 bits stand so in the file (INT4, operator set 21); without it all of them take a byte each.

    Raises:
        UserError: the Graph is not legal, an operator's form does not exist in ONNX, nothing can be packed where that is
            asked, or the file would pass 2 GiB.
    """
    verify(graph, "integer" if _is_integer(graph) else "float")
    _need_int8_layers(graph)
    for name in (graph.name, *graph.tensors):
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise UserError(f"the name {name!r} cannot be written as UTF-8", where=f"graph {graph.name!r}")
    settled = settle(graph, first=True)
    page = Page(settled, packable(settled) if pack else frozenset())
    for node in page.graph.nodes:
        emit(page, node)
    for name in page.graph.outputs:
        page.leave(name)
    data: bytes = _model(graph, page).SerializeToString(deterministic=True)
    if len(data) > _LARGEST_FILE:
        raise UserError(f"an ONNX file of {len(data)} bytes is past the format's limit", where=f"graph {graph.name}")
    return data


def _is_integer(graph: Graph) -> bool:
    return any(tensor.dtype != "float32" for tensor in graph.tensors.values()) or any(
        isinstance(node.op, ops.Quantise | ops.Dequantise) for node in graph.nodes
    )


def _model(graph: Graph, page: Page) -> Any:
    from onnx import helper

    written = helper.make_graph(
        page.nodes,
        graph.name,
        [_declared(tensor) for tensor in graph.input_tensors],
        [_declared(tensor) for tensor in graph.output_tensors],
        [_constant(name, value, halves=name in page.halves) for name, value in page.constants.items()],
    )
    newer = page.halves or any(tensor.dtype == "int16" for tensor in graph.tensors.values())
    model = helper.make_model(
        written,
        opset_imports=[helper.make_opsetid("", _OPSET_WITH_INT16_AND_INT4 if newer else OPSET)],
        producer_name="marram",
        ir_version=IR_VERSION,
    )
    model.ClearField("producer_version")
    helper.set_model_props(model, {LAYOUT_KEY: CHANNELS_LAST})
    return model


def _declared(tensor: Tensor) -> Any:
    from onnx import TensorProto, helper

    kind = {"float32": TensorProto.FLOAT, "int8": TensorProto.INT8, "uint8": TensorProto.UINT8, "int16": TensorProto.INT16}
    if tensor.dtype not in kind:
        raise UserError(f"{tensor.dtype} is no dtype of an input or output", where=f"tensor {tensor.name}")
    return helper.make_tensor_value_info(tensor.name, kind[tensor.dtype], tensor.shape)


def _constant(name: str, value: Array, *, halves: bool) -> Any:
    from onnx import TensorProto, numpy_helper

    if halves:
        return TensorProto(name=name, data_type=INT4, dims=value.shape, raw_data=packed(value).tobytes())
    return numpy_helper.from_array(value, name)


def _need_int8_layers(graph: Graph) -> None:
    """Refuses layers on int16: no DequantizeLinear takes their int64 biases, and no runtime has the kernels."""
    for node in graph.nodes:
        weights = RULES[type(node.op)].weights
        if weights is not None and graph.tensors[node.inputs[0]].dtype == "int16":
            raise UserError(
                "works on int16 with a bias of int64, which has no form in ONNX",
                where=f"node {node.name} ({operator_name(node.op)})",
                hint="Write TFLite, or quantise without activation_bits.",
            )


def packable(graph: Graph) -> frozenset[str]:
    """Names of the weights that a packed file holds in 4 bits: those of every layer that they fit.

    Raises:
        UserError: there are none.
    """
    found = set()
    for node in graph.nodes:
        position = RULES[type(node.op)].weights
        weights = None if position is None else graph.constants.get(node.inputs[position])
        if weights is not None and fit(weights):
            found.add(node.inputs[position or 0])
    if not found:
        raise UserError(
            "no layer's weights fit 4 bits, so nothing can be packed",
            where=f"graph {graph.name}",
            hint="Quantise with weight_bits, or write without packing.",
        )
    return frozenset(found)
