"""TFLite file -> Graph, or -> OpaqueModel where the file has operators that a Graph does not.

The operators are visited in the file's order; each is folded into a constant if all it reads is known, else translated by its
family's function from ``READERS``. A batch size that the file leaves open becomes 1.
"""

from __future__ import annotations

from pathlib import Path

from marram.core.errors import ModelFileError, UnsupportedOperator
from marram.core.graph import Graph, OpaqueModel, with_nodes
from marram.model.tflite import elementwise, layers, movement, normalisation, reductions
from marram.model.tflite.contents import Contents, load
from marram.model.tflite.folding import FOLDED, folded
from marram.model.tflite.importing import Import, Site

READERS = {**layers.READERS, **elementwise.READERS, **movement.READERS, **reductions.READERS}


def read(source: Path | bytes, *, name: str | None = None) -> Graph:
    """The Graph of a TFLite file, float or integer; operators and tensors keep the file's order and names.

    Args:
        source: the file's path or its bytes.
        name: what to call the Graph; the subgraph's own name or the file's stem where it is None.

    Raises:
        UserError: the file cannot be opened.
        ModelFileError: the file is damaged or hostile; names the byte, field or operator at fault.
        UnsupportedOperator: an operator, or a form of one, that the Graph does not have.
    """
    return _graph(load(source, name=name)[1])


def read_opaque(source: Path | bytes, *, name: str | None = None) -> OpaqueModel:
    """A TFLite file carried as it is, with its inputs, outputs and the operators that keep it from being a Graph.

    Args:
        source: the file's path or its bytes.
        name: what to call the model; as in ``read``.

    Raises:
        UserError: the file cannot be opened.
        ModelFileError: the file is damaged.
        UnsupportedOperator: an input or output is of a dtype that no Graph has.
    """
    data, contents = load(source, name=name)
    state = Import(contents, supported=tuple(sorted(READERS)))
    return OpaqueModel(
        name=contents.name,
        format="tflite",
        blob=data,
        inputs=tuple(state.described(contents.tensors[index]) for index in contents.inputs),
        outputs=tuple(state.described(contents.tensors[index]) for index in contents.outputs),
        unsupported=_unsupported(contents),
    )


def _unsupported(contents: Contents) -> tuple[str, ...]:
    """The operators without a translation; failing that, the first one whose form is refused."""
    try:
        _graph(contents)
    except UnsupportedOperator as error:
        inside = {index for match in normalisation.found(contents).values() for index in match.operators}
        names = {operator.name for operator in contents.operators if operator.index not in inside}
        return tuple(sorted(names - set(READERS) - set(FOLDED))) or (error.operator,)
    return ()


def _graph(contents: Contents) -> Graph:
    state = Import(contents, supported=tuple(sorted(READERS)))
    norms = normalisation.found(contents)
    inside = frozenset(index for match in norms.values() for index in match.operators)
    for operator in contents.operators:
        if operator.index in norms:
            normalisation.read(Site(state, operator), norms[operator.index])
        elif operator.index not in inside:
            _visit(Site(state, operator))
    graph = state.graph()
    return with_nodes(graph, graph.nodes)


def _visit(site: Site) -> None:
    operator = site.operator
    if not operator.outputs:
        raise ModelFileError("has no output", where=site.where)
    for index in operator.inputs:
        if index >= 0 and site.state.contents.tensors[index].variable:
            site.refuse("on a tensor that keeps its value between runs")
    value = folded(site)
    if value is not None:
        site.state.fold(operator.outputs[0], value)
    elif operator.name in READERS:
        READERS[operator.name](site)
    else:
        raise UnsupportedOperator(
            operator.name, node=str(operator.index), where=site.state.contents.where, supported=site.state.supported
        )
