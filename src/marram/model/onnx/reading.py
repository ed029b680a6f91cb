"""ONNX file -> Graph, or -> OpaqueModel where the file has operators that a Graph does not.

The nodes are visited in the file's order; each is worked out now if all it reads is known, else translated by its family's
function from ``READERS``. Then transposes are cancelled, inputs and outputs turned to channels last, quantise-dequantise pairs
made integer operators. A batch size that the file leaves open becomes 1.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from marram.core import operators as ops
from marram.core.errors import ModelFileError, UnsupportedOperator, UserError
from marram.core.graph import DType, Graph, OpaqueModel, Tensor, with_nodes
from marram.model.layout import cancel_transposes, channels_last_inputs, channels_last_outputs
from marram.model.layout.rules import SPATIAL
from marram.model.onnx import convolution, elementwise, linear, movement, quantising, recurrent, reduction, resizing
from marram.model.onnx.activations import fuse_betas, fuse_clips
from marram.model.onnx.contents import Contents, FileValue, load
from marram.model.onnx.folding import folded
from marram.model.onnx.importing import Import, Site, concrete
from marram.model.onnx.integers import integers
from marram.model.onnx.joining import join
from marram.model.onnx.patterns import fused
from marram.model.spec import verify

READERS = {
    **convolution.READERS,
    **linear.READERS,
    **elementwise.READERS,
    **movement.READERS,
    **reduction.READERS,
    **resizing.READERS,
    **recurrent.READERS,
    **quantising.READERS,
}
_ALWAYS_KNOWN = frozenset({"Constant", "Shape", "Size"})
_LARGEST_NODE_COUNT = 10_000


def read(source: Path | bytes, *, name: str | None = None) -> Graph:
    """The Graph of an ONNX file, float or integer.

    Inputs and outputs of a channels-first image or sequence model come out channels last: (N,H,W,C) and (N,T,C). A file
    whose operators all stand between DequantizeLinear and QuantizeLinear gives an integer Graph; uint8 activations become
    int8 by shifting their zero points.

    Args:
        source: the file's path or its bytes.
        name: what to call the Graph; the file's stem or the graph's own name where it is None.

    Raises:
        UserError: the file cannot be opened.
        ModelFileError: the file is damaged or hostile; names the node or constant at fault.
        UnsupportedOperator: an operator, or a form of one, that the Graph does not have.
    """
    return _graph(load(source, name=name)[1])


def read_opaque(source: Path | bytes, *, name: str | None = None) -> OpaqueModel:
    """An ONNX file carried as it is, with its inputs, outputs and the operators that keep it from being a Graph.

    Args:
        source: the file's path or its bytes.
        name: what to call the model; as in ``read``.

    Raises:
        UserError: the file cannot be opened.
        ModelFileError: the file is damaged, or an input or output is of a dtype or shape outside the Graph's.
    """
    data, contents = load(source, name=name)
    return OpaqueModel(
        name=contents.name,
        format="onnx",
        blob=data,
        inputs=tuple(_described(value, contents.where) for value in contents.inputs),
        outputs=tuple(_described(value, contents.where) for value in contents.outputs),
        unsupported=_unsupported(contents),
    )


def _described(value: FileValue, where: str) -> Tensor:
    dtypes: dict[str, DType] = {
        "float32": "float32",
        "int8": "int8",
        "uint8": "uint8",
        "int16": "int16",
        "int32": "int32",
        "int64": "int64",
        "bool": "bool",
    }
    if value.dtype not in dtypes:
        raise ModelFileError(f"{value.name!r} is of {value.dtype}", where=where)
    return Tensor(name=value.name, shape=concrete(value, where), dtype=dtypes[value.dtype])


def _unsupported(contents: Contents) -> tuple[str, ...]:
    """The operators without a translation; failing that, the first one whose form is refused."""
    try:
        _graph(contents)
    except UnsupportedOperator as error:
        names = {node.operator for node in contents.nodes} - set(READERS) - _ALWAYS_KNOWN
        return tuple(sorted(names)) or (error.operator,)
    return ()


def _graph(contents: Contents) -> Graph:
    with np.errstate(all="ignore"):  # what is NaN or infinite then is refused by the spec
        return _settled(_imported(contents), contents)


def _imported(contents: Contents) -> Graph:
    """The Graph as the file has it: channels first, transposes around spatial operators."""
    if len(contents.nodes) > _LARGEST_NODE_COUNT:
        raise ModelFileError(f"has {len(contents.nodes)} nodes", where=contents.where)
    state = Import(contents, supported=tuple(sorted(READERS)))
    quantising.open_inputs(state)
    for node in fused(contents):
        site = Site(state, node)
        _check_names(site)
        value = folded(site)
        if value is not None:
            state.constants[node.outputs[0]] = value
            continue
        reader = READERS.get(node.operator)
        if reader is None:
            raise UnsupportedOperator(node.operator, node=node.name, where=contents.where, supported=state.supported)
        reader(site)
    return state.graph()


def _check_names(site: Site) -> None:
    """Every value is written once, by a node before those that read it."""
    if not site.node.outputs or not site.node.outputs[0]:
        site.damaged("gives nothing")
    for name in filter(None, site.node.outputs):
        if name in site.state.active or name in site.state.constants or name in site.state.stored:
            site.damaged(f"writes {name!r}, which is there already")
    for name in filter(None, site.node.inputs):
        if name not in site.state.active and name not in site.state.constants and name not in site.state.stored:
            site.damaged(f"reads {name!r}, which nothing before it provides")


def _settled(graph: Graph, contents: Contents) -> Graph:
    """The Graph in its final layout and dtypes; an image model's inputs and outputs are turned, unless they are so already."""
    spatial = any(isinstance(node.op, SPATIAL) for node in graph.nodes)
    turn = cancel_transposes if contents.channels_last or not spatial else _turned
    try:
        last = fuse_betas(fuse_clips(turn(join(with_nodes(graph, graph.nodes)))))
        whole = integers(last)
        done = whole if whole is last else turn(whole)
        stage = "integer" if any(isinstance(node.op, ops.Quantise) for node in graph.nodes) or _typed(done) else "float"
        verify(done, "integer" if stage == "integer" else "float")
    except UnsupportedOperator:
        raise
    except UserError as error:
        raise ModelFileError(error.what, where=contents.where, hint=_short(error.hint)) from error
    return done


def _turned(graph: Graph) -> Graph:
    return channels_last_outputs(channels_last_inputs(graph))


def _typed(graph: Graph) -> bool:
    return any(tensor.dtype != "float32" for tensor in graph.tensors.values())


def _short(hint: str | None) -> str | None:
    return None if hint is None else re.sub(r"\s+", " ", hint)[:2000]
