"""An integer Graph -> C11 source for it alone: lowered, routed to kernels, planned, written."""

from __future__ import annotations

import msgspec

from marram.compile.c.answers import Answers
from marram.compile.c.constant_traffic import array_bytes, macs_of, own_arrays, weights_of
from marram.compile.c.families import Family
from marram.compile.c.front_ends import Version, in_bands
from marram.compile.c.geometry import activations_of, keeps_axes, rows_of
from marram.compile.c.layers import Layer, Layers, layers_of
from marram.compile.c.lowering import lower
from marram.compile.c.place import Place, Routine
from marram.compile.c.text.arenas import check_regions
from marram.compile.c.text.constant_sharing import constant_names
from marram.compile.c.text.emission import header_text, source_text
from marram.compile.c.text.repetition import Functions, functions_of
from marram.compile.c.text.sources import identifier
from marram.compile.memory import (
    Form,
    MemoryPlan,
    Problem,
    Region,
    Task,
    Weights,
    plan_in_regions,
    plan_memory,
    settled,
)
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.core.operators import operator_name
from marram.model.counts import counts


class LayerRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One layer of generated C: its name, its node, its operator and its sizes.

    ``function`` is the name of the function it calls without the model's prefix: its own name, or that of the first layer
    of those that share it.
    """

    name: str
    function: str
    node: str
    operator: str
    macs: int
    weight_bytes: int
    table_bytes: int
    scratch_bytes: int
    out_shape: tuple[int, ...]


class Generated(msgspec.Struct, frozen=True, kw_only=True):
    """C source for one model: ``files`` by name (``<model>.h``, ``<model>.c``), the graph that it computes, its plan."""

    name: str
    family: str
    graph: Graph
    files: dict[str, str]
    layers: tuple[LayerRecord, ...]
    plan: MemoryPlan


class Assembled(msgspec.Struct, frozen=True, kw_only=True):
    """Layers, the routine of each, the functions that they have and share, and where everything stands.

    ``banded`` is the graph that they are of where a front in bands of columns was put in place of the one given.
    """

    found: Layers
    routines: tuple[Routine, ...]
    functions: Functions
    plan: MemoryPlan
    banded: Graph | None = None


def generate(
    graph: Graph,
    family: Family,
    *,
    name: str | None = None,
    arena_limit_bytes: int | None = None,
    pack_weights: bool = False,
    memories: tuple[Region, ...] = (),
    flash_cost: float | None = None,
) -> Generated:
    """C source of an integer Graph for a kernel family.

    Args:
        graph: quantised; a Quantise at its input and a Dequantise at its output are left to the caller.
        family: which kernels.
        name: prefix of every name in the C; None takes the graph's.
        arena_limit_bytes: what the arena may hold; None asks for the fastest plan. Where no plan fits, the front of the graph
            may be made in bands of columns, some of which are then made twice.
        pack_weights: layers whose weights fit 4 or 2 bits have them so in flash: less of it, more instructions.
        memories: where there are several, each with what it has for an arena and copies; ``arena_limit_bytes`` is not for them.
        flash_cost: with ``memories``, how many cycles a byte read from flash waits: constants that wait less in one of the
            memories are copied there as far as it has room. None leaves all of them in flash.

    Raises:
        UserError: floats inside, an operator or shape without a kernel, or an accumulator that can overflow; memories that
            cannot be, or in which the values find no room.
    """
    check_regions(memories)
    if memories and arena_limit_bytes is not None:
        raise UserError(
            f"a limit of {arena_limit_bytes} bytes for one arena, and several memories, were asked for at once",
            where="arena_limit_bytes",
            hint="Give each memory the size that it may have for its arena.",
        )
    lowered = lower(graph)
    prefix = identifier(name or graph.name)
    found = layers_of(lowered, pack_weights=pack_weights)
    if memories:
        made = spread(found, family, prefix, lowered, memories=memories, flash_cost=flash_cost)
    else:
        made = assembled(found, family, prefix, arena_limit_bytes=arena_limit_bytes, graph=lowered, pack_weights=pack_weights)
    files = {
        f"{prefix}.h": header_text(prefix, lowered, made.plan, family),
        f"{prefix}.c": source_text(
            prefix, lowered, made.found, routines=made.routines, functions=made.functions, plan=made.plan, family=family
        ),
    }
    return Generated(
        name=prefix, family=family.name, graph=lowered, files=files, layers=records_of(lowered, made), plan=made.plan
    )


def assembled(
    found: Layers,
    family: Family,
    prefix: str,
    *,
    arena_limit_bytes: int | None,
    graph: Graph | None = None,
    pack_weights: bool = False,
    answers: Answers | None = None,
) -> Assembled:
    """Layers with the family's routines in a plan of the arena; errors as ``generate`` has them.

    Where no plan fits the limit, and ``graph``, of which the layers are, is given, its front may be made in bands. ``answers``
    are the family's that are known already; those that are missing are added to them.
    """
    answers = answers or Answers(family)
    plan = plan_memory(_problem(found, answers), budget_bytes=arena_limit_bytes)
    banded: Graph | None = None
    if graph is not None and arena_limit_bytes is not None and plan.arena_bytes > arena_limit_bytes:
        version = in_bands(
            Version(graph=graph, found=found, plan=plan),
            arena_limit_bytes,
            lambda layers: _problem(layers, answers),
            pack_weights=pack_weights,
        )
        banded, found, plan = version.graph, version.found, version.plan
    routines = _routines(found, plan, answers)
    functions = functions_of(prefix, found, routines, plan)
    return Assembled(found=found, routines=routines, functions=functions, plan=plan, banded=banded)


def spread(
    found: Layers, family: Family, prefix: str, graph: Graph, *, memories: tuple[Region, ...], flash_cost: float | None
) -> Assembled:
    """As ``assembled``, over several memories; ``graph`` is the lowered one that the layers are of."""
    answers = Answers(family)
    problem = _problem(found, answers)
    weights: tuple[Weights, ...] = ()
    if flash_cost is not None:
        fastest = tuple(_answer(layer, found, {}, answers, lean=False) for layer in found.layers)
        weights = weights_of(graph, found, fastest)
    plan = plan_in_regions(problem, memories, weights, flash_cost=flash_cost, macs=macs_of(graph, found))
    routines = _routines(found, plan, answers)
    if plan.copies:
        plan = settled(problem, plan, {each.task: each.size_bytes for each in weights_of(graph, found, routines)})
    return Assembled(found=found, routines=routines, functions=functions_of(prefix, found, routines, plan), plan=plan)


def _routines(found: Layers, plan: MemoryPlan, answers: Answers) -> tuple[Routine, ...]:
    rings = {slot.name: slot.rows for slot in plan.slots if slot.kind == "ring"}
    return tuple(_answer(layer, found, rings, answers, lean=lean) for layer, lean in zip(found.layers, plan.lean, strict=True))


def _place(layer: Layer, found: Layers, rings: dict[str, int], *, lean: bool) -> Place:
    """A layer with its buffers: rings as given, all else whole. A view in another shape is whole in its own shape."""
    tensors = [
        tensor for tensor, constant in zip(layer.site.inputs, layer.site.constants, strict=True) if tensor and constant is None
    ]
    in_rows = tuple(rings.get(name, rows_of(tensor.shape)[0]) for name, tensor in zip(layer.inputs, tensors, strict=True))
    out_rows = rings.get(layer.outputs[0], rows_of(layer.site.output.shape)[0])
    del found
    return Place(
        name=layer.name,
        site=layer.site,
        in_rows=in_rows,
        out_rows=out_rows,
        lean=lean,
        weight_bits=layer.weight_bits,
        at_column=layer.at_column,
    )


def _problem(found: Layers, answers: Answers) -> Problem:
    tasks = tuple(
        Task(
            name=layer.name,
            inputs=layer.inputs,
            outputs=layer.outputs,
            form=_former(layer, found, answers),
            kin=_kin(layer),
        )
        for layer in found.layers
    )
    return Problem(
        tasks=tasks, values=found.values, inputs=found.inputs, outputs=found.outputs, align_bytes=answers.family.align_bytes
    )


def _kin(layer: Layer) -> str:
    """What bands have in common that are made with the same weights."""
    pairs = zip(layer.node.inputs, layer.site.constants, strict=False)
    return next((name for name, constant in pairs if constant is not None), "") if layer.banded else ""


def _former(layer: Layer, found: Layers, answers: Answers):  # type: ignore[no-untyped-def]  # noqa: ANN202
    made: dict[tuple[tuple[int, ...], int, bool], Form] = {}

    def form(in_rows: tuple[int, ...], out_rows: int, lean: bool) -> Form:  # noqa: FBT001
        key = (in_rows, out_rows, lean)
        if key not in made:
            rings = {
                name: rows
                for name, rows in (*zip(layer.inputs, in_rows, strict=True), (layer.outputs[0], out_rows))
                if rows != found.values[name].rows
            }
            answer = _answer(layer, found, rings, answers, lean=lean)
            made[key] = Form(
                scratch_bytes=answer.scratch_bytes,
                windows=answer.windows,
                columns=answer.columns,
                traversal=answer.traversal,
                block=answer.block,
                instructions=answer.instructions,
                call_instructions=answer.call_instructions,
            )
        return made[key]

    return form


def _answer(layer: Layer, found: Layers, rings: dict[str, int], answers: Answers, *, lean: bool) -> Routine:
    """The family's routine; it makes all rows in one call where the rows of its values are not those of its tensors."""
    answer = answers.of(_place(layer, found, rings, lean=lean))
    if answer.windows is None or _keeps_rows(layer, found):
        return answer
    rows = rows_of(layer.site.output.shape)[0] if keeps_axes(layer.site) else layer.site.output.shape[1]
    body = f"const int row_begin = 0, row_end = {rows};\n{answer.body}"
    return msgspec.structs.replace(answer, windows=None, columns=None, body=body)


def _keeps_rows(layer: Layer, found: Layers) -> bool:
    """Whether the values of a layer have the rows that its own tensors have; views in other shapes do not."""
    shapes = [tensor.shape for tensor in (*activations_of(layer.site), layer.site.output)]
    names = [*layer.inputs, layer.outputs[0]]
    return keeps_axes(layer.site) and all(
        rows_of(shape)[:2] == (found.values[name].rows, found.values[name].width)
        for shape, name in zip(shapes, names, strict=True)
    )


def records_of(graph: Graph, made: Assembled) -> tuple[LayerRecord, ...]:
    """A record of each layer; ``graph`` is the lowered one that the layers are of."""
    per_node = {row.name: row for row in counts(made.banded or graph).per_node}
    layers, routines = made.found.layers, made.routines
    return tuple(
        LayerRecord(
            name=layer.name,
            function=layers[function].name,
            node=layer.node.name,
            operator=operator_name(layer.node.op),
            macs=per_node[layer.node.name].macs,
            weight_bytes=_own_bytes(layer, answer, names, "weights"),
            table_bytes=_own_bytes(layer, answer, names, "table"),
            scratch_bytes=answer.scratch_bytes,
            out_shape=layer.site.output.shape,
        )
        for layer, answer, names, function in zip(
            layers, routines, constant_names(layers, routines), made.functions.of, strict=True
        )
    )


def _own_bytes(layer: Layer, answer: Routine, names: dict[str, str], role: str) -> int:
    """Bytes of the constants of a role that do not stand in the source for an earlier layer."""
    return sum(array_bytes(array) for array in own_arrays(layer, answer, names) if array.role == role)
