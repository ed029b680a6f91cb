"""What a family answers at each place of a model, asked once for all places that are equal."""

from __future__ import annotations

from collections.abc import Hashable

from marram.compile.c.families import Family, routine
from marram.compile.c.place import Place, Routine
from marram.core.graph import Tensor


class Answers:
    """The routines of one family for one model.

    Places are equal where the operator, the shapes, dtypes and quantisation of its tensors and the constants are, as at the
    steps of an unrolled recurrent layer: makers may not read more than these. Constants are known by their identity.
    """

    def __init__(self, family: Family) -> None:
        self.family = family
        self._made: dict[Hashable, tuple[Place, Routine]] = {}  # the place keeps its constants, and so their identities

    def of(self, place: Place) -> Routine:
        """The routine for a place.

        Raises:
            UserError: as ``families.routine`` does.
        """
        key = _kind(place)
        if key not in self._made:
            self._made[key] = place, routine(place, self.family)
        return self._made[key][1]


def _kind(place: Place) -> Hashable:
    """All of a place but its names."""
    site = place.site
    names = [tensor.name for tensor in site.inputs if tensor is not None]
    return (
        site.node.op,
        tuple(names.index(name) for name in names),  # which inputs are the same tensor
        tuple(map(_form, site.inputs)),
        tuple(map(_form, site.outputs)),
        tuple(map(id, site.constants)),
        tuple(getattr(place, field) for field in Place.__struct_fields__ if field not in {"name", "site"}),
    )


def _form(tensor: Tensor | None) -> Hashable:
    return None if tensor is None else (tensor.shape, tensor.dtype, tensor.quantisation)
