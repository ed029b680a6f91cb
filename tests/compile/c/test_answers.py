"""One routine for all places that are equal, and another one for each that is not."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from tests.compile.c.recurrent_models import recurrent_graph

from marram.compile.c.answers import Answers
from marram.compile.c.families import FAMILIES
from marram.compile.c.geometry import rows_of
from marram.compile.c.layers import layers_of
from marram.compile.c.lowering import lower
from marram.compile.c.place import Place
from marram.core.graph import Quantisation
from marram.core.operators import Dense


def dense_places() -> list[Place]:
    """The Dense of two steps that follow each other."""
    found = [one for one in layers_of(lower(recurrent_graph("lstm", length=6))).layers if isinstance(one.node.op, Dense)]
    alike = [one for one in found if one.site.constants[1] is found[4].site.constants[1]]
    return [Place(name=one.name, site=one.site, in_rows=(1,), out_rows=rows_of(one.site.output.shape)[0]) for one in alike[1:3]]


def changed(place: Place, what: str) -> Place:
    site, out = place.site, place.site.output
    changes = {
        "constant": {"constants": (None, np.roll(site.constant(1), 1), *site.constants[2:])},
        "operator": {"node": msgspec.structs.replace(site.node, op=Dense(activation="relu"))},
        "quantisation": {
            "outputs": (msgspec.structs.replace(out, quantisation=Quantisation(scales=(0.5,), zero_points=(3,))),),
        },
    }
    if what in changes:
        return msgspec.structs.replace(place, site=msgspec.structs.replace(site, **changes[what]))
    return msgspec.structs.replace(place, lean=True)


def test_steps_that_are_equal_share_a_routine():
    one, other = dense_places()
    assert one.site.node.name != other.site.node.name
    answers = Answers(FAMILIES["portable"])
    assert answers.of(one) is answers.of(other)


@pytest.mark.parametrize("what", ["constant", "operator", "quantisation", "leanness"])
def test_places_that_differ_do_not(what):
    one, _ = dense_places()
    answers = Answers(FAMILIES["portable"])
    assert answers.of(one) is not answers.of(changed(one, what))
