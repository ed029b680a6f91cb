"""Spaces: the sub-architectures of one Graph that a search may choose from, as variables with few values each.

What can vary is found on the Graph itself, so a space exists for any model, whatever file it came from: how many channels each
dependency group keeps, which blocks are left out, how far kernels are cropped, and whether the input is averaged down first. A
choice of values is a list of decisions, which a Recipe can replay, and a smaller Graph with its part of the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from marram.compress.structure.cutting import Slices, narrowed, slices
from marram.compress.structure.downsampling import downsampled
from marram.compress.structure.groups import Group, groups
from marram.compress.structure.kernels import croppable, cropped, kernel_slices
from marram.compress.structure.skipping import skipped, spans
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.core.recipe import Crop, Decision, Downsample, Narrow, Skip
from marram.search.trials import Value, Variable

Values = Mapping[str, Value]
"""A value for each variable of a space, by its name."""

_WIDTH, _SKIP, _KERNEL, _INPUT = "width:", "skip:", "kernel:", "input"
_GRANULE = 4  # kernels for SIMD cores take channels by twos and fours: what is left over costs nearly as much as the rest


class SpaceOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may vary. ``widths`` are shares of a group's channels, ``downsampling`` factors of the input."""

    widths: tuple[float, ...] = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
    skips: bool = True
    kernels: bool = True
    downsampling: tuple[tuple[int, int], ...] = ((1, 1),)


class Space(msgspec.Struct, frozen=True, kw_only=True):
    """A Graph and the variables of its parts. Of a variable's choices the first is the least, the last the whole."""

    graph: Graph
    variables: tuple[Variable, ...]


class Subnet(msgspec.Struct, frozen=True, kw_only=True):
    """A sub-architecture: its Graph with its part of the weights, and from where in the whole Graph they are cut."""

    graph: Graph
    cuts: Slices


def space_of(graph: Graph, options: SpaceOptions | None = None) -> Space:
    """The space of a float Graph.

    Args:
        graph: with its BatchNorms, not folded: sub-architectures need statistics of their own.
        options: what may vary.

    Raises:
        UserError: nothing can vary, or a share is not above 0 and at most 1.
    """
    asked = options or SpaceOptions()
    if not asked.widths or not all(0 < share <= 1 for share in asked.widths):
        raise UserError(f"widths {asked.widths} are not shares above 0 and at most 1")
    variables = [_width_variable(group, asked.widths) for group in groups(graph)]
    if asked.skips:
        variables += [Variable(name=_SKIP + span.name, choices=(1, 0)) for span in spans(graph)]
    if asked.kernels:
        variables += [_kernel_variable(name, graph, smaller) for name, smaller in croppable(graph).items()]
    if len(asked.downsampling) > 1:
        factors = sorted(set(asked.downsampling), reverse=True)
        variables.append(Variable(name=_INPUT, choices=tuple(f"{rows}x{columns}" for rows, columns in factors)))
    variables = [variable for variable in variables if len(variable.choices) > 1]
    if not variables:
        raise UserError("nothing in this model can be narrowed, left out or cropped", where=f"graph {graph.name}")
    return Space(graph=graph, variables=tuple(variables))


def _width_variable(group: Group, shares: Sequence[float]) -> Variable:
    granule = _GRANULE if group.unit == 1 and group.size >= 2 * _GRANULE else 1
    kept = {min(group.size, max(granule, round(group.size * share / granule) * granule)) for share in shares}
    return Variable(name=_WIDTH + group.name, choices=tuple(sorted(kept | {group.size})))


def _kernel_variable(name: str, graph: Graph, smaller: tuple[tuple[int, int], ...]) -> Variable:
    """The kernels of one node; one that no longer looks around would be another layer."""
    node = next(node for node in graph.nodes if node.name == name)
    _, rows, columns, _ = graph.tensors[node.inputs[1]].shape
    sizes = sorted({*(size for size in smaller if max(size) > 1), (rows, columns)})
    return Variable(name=_KERNEL + name, choices=tuple(f"{height}x{width}" for height, width in sizes))


def whole(space: Space) -> dict[str, Value]:
    """The values of the whole Graph."""
    return {variable.name: variable.choices[-1] for variable in space.variables}


def least(space: Space) -> dict[str, Value]:
    """The values of the least sub-architecture: the fewest channels and blocks, the smallest kernels and input."""
    return {variable.name: variable.choices[0] for variable in space.variables}


def decisions_of(space: Space, values: Values, cutter: Cutter | None = None) -> tuple[Decision, ...]:
    """The decisions that make a sub-architecture of the space's Graph, those that change nothing left out.

    Args:
        space: the space.
        values: one for each of its variables.
        cutter: of the space's Graph, where there is one already.

    Raises:
        UserError: a value is missing or not one of its variable's.
    """
    _check(space, values)
    left_out = tuple(name for name, value in _named(values, _SKIP) if value == 1)
    kernels = {name: _pair(value) for name, value in _named(values, _KERNEL) if value != _choices(space, _KERNEL + name)[-1]}
    short = skipped(space.graph, left_out) if left_out else space.graph
    known = {node.name for node in short.nodes}
    kernels = {name: size for name, size in kernels.items() if name in known}
    keep = _kept((cutter or Cutter(space.graph)).groups_without(left_out), values)
    factor = _pair(values.get(_INPUT, "1x1"))
    found: list[Decision] = []
    if left_out:
        found.append(Skip(spans=left_out))
    if kernels:
        found.append(Crop(kernels=kernels))
    if keep:
        found.append(Narrow(keep=keep))
    if factor != (1, 1):
        found.append(Downsample(factor=factor))
    return tuple(found)


class Cutter:
    """Cuts sub-architectures out of one Graph; it remembers the groups of its shortened forms, which take longest to find."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._groups: dict[tuple[str, ...], tuple[Group, ...]] = {}

    def cut(self, decisions: Sequence[Decision]) -> Subnet:
        """What decisions of ``decisions_of`` make of the Graph.

        Raises:
            UserError: a decision is of another kind, or does not fit the Graph.
        """
        graph, left_out, taken = self.graph, (), dict.fromkeys(self.graph.constants, ())  # type: Graph, tuple[str, ...], Slices
        for decision in decisions:
            match decision:
                case Skip():
                    left_out = decision.spans
                    graph = skipped(graph, left_out)
                case Crop():
                    _add(taken, kernel_slices(graph, decision.kernels))
                    graph = cropped(graph, decision.kernels)
                case Narrow():
                    chosen = {name: np.arange(count) for name, count in decision.keep.items()}
                    found = self.groups_without(left_out)
                    _add(taken, slices(graph, chosen, found=found))
                    graph = narrowed(graph, chosen, found=found)
                case Downsample():
                    graph = downsampled(graph, decision.factor)
                case _:
                    raise UserError(f"{type(decision).__name__} makes no part of a Graph")
        return Subnet(graph=graph, cuts={name: cut for name, cut in taken.items() if name in graph.constants})

    def groups_without(self, left_out: tuple[str, ...]) -> tuple[Group, ...]:
        """The groups of the Graph without some spans; neither kernels nor the input's size change them."""
        if left_out not in self._groups:
            self._groups[left_out] = groups(skipped(self.graph, left_out) if left_out else self.graph)
        return self._groups[left_out]


def _kept(found: Sequence[Group], values: Values) -> dict[str, int]:
    """How many channels the groups of a shortened Graph keep: where groups have merged, the most that one was to keep."""
    wanted = {name: int(value) for name, value in _named(values, _WIDTH)}
    keep = {}
    for group in found:
        counts = [wanted[name] for name in dict.fromkeys((group.name, *group.producers)) if name in wanted]
        if counts and max(counts) < group.size:
            keep[group.name] = max(counts)
    return keep


def _named(values: Values, prefix: str) -> list[tuple[str, Value]]:
    return [(name.removeprefix(prefix), value) for name, value in values.items() if name.startswith(prefix)]


def _pair(text: Value) -> tuple[int, int]:
    height, width = str(text).split("x")
    return int(height), int(width)


def _choices(space: Space, name: str) -> tuple[Value, ...]:
    return next(variable.choices for variable in space.variables if variable.name == name)


def _check(space: Space, values: Values) -> None:
    for variable in space.variables:
        if values.get(variable.name) not in variable.choices:
            raise UserError(f"{values.get(variable.name)!r} is none of {variable.choices}", where=f"variable {variable.name}")


def _add(taken: Slices, more: Slices) -> None:
    for name, cut in more.items():
        taken[name] = (*taken[name], *cut)
