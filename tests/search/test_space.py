from __future__ import annotations

import numpy as np
import pytest
from tests.search.nets import net

from marram.core.errors import UserError
from marram.core.recipe import Crop, Downsample, Fold, Narrow, Skip
from marram.model import interpret
from marram.model.counts import counts
from marram.search.space import Cutter, SpaceOptions, decisions_of, least, space_of, whole


def drawn(space, seed):
    generator = np.random.default_rng(seed)
    return {variable.name: variable.choices[generator.integers(len(variable.choices))] for variable in space.variables}


@pytest.mark.parametrize(("name", "options"), [("conv1d", {}), ("resnet8", {"blocks": 2, "channels": 8})])
def test_what_varies_is_found_and_cut(name, options):
    space = space_of(net(name, **options), SpaceOptions(downsampling=((1, 1), (1, 2)) if name == "conv1d" else ((1, 1),)))
    kinds = {variable.name.split(":")[0] for variable in space.variables}
    assert kinds == ({"width", "kernel", "input"} if name == "conv1d" else {"width", "skip", "kernel"})
    cutter = Cutter(space.graph)
    assert decisions_of(space, whole(space), cutter) == ()
    smallest = counts(cutter.cut(decisions_of(space, least(space), cutter)).graph)
    for seed in range(12):
        part = cutter.cut(decisions_of(space, drawn(space, seed), cutter)).graph
        (output,) = interpret(part, np.zeros((2, *part.input_tensors[0].shape[1:]), np.float32))
        assert output.shape == (2, 3)
        assert smallest.macs <= counts(part).macs <= counts(space.graph).macs
        assert smallest.parameters <= counts(part).parameters <= counts(space.graph).parameters


@pytest.mark.parametrize(("name", "options"), [("conv1d", {}), ("resnet8", {"blocks": 2, "channels": 8})])
def test_cuts_are_what_the_part_has_of_the_whole_weights(name, options):
    space = space_of(net(name, **options))
    cutter = Cutter(space.graph)
    for seed in range(6):
        found = cutter.cut(decisions_of(space, drawn(space, seed), cutter))
        for constant, value in found.graph.constants.items():
            if constant not in space.graph.constants:
                continue  # made by the cut itself
            taken = space.graph.constants[constant]
            for axis, indices in found.cuts[constant]:
                taken = np.take(taken, indices, axis=axis)
            assert np.array_equal(taken, value)


def test_merged_groups_keep_the_most_that_one_was_to_keep():
    space = space_of(net("resnet8", blocks=2, channels=8))
    values = whole(space) | {variable.name: 1 for variable in space.variables if variable.name.startswith("skip:")}
    values |= {variable.name: variable.choices[0] for variable in space.variables if variable.name.startswith("width:stem")}
    decisions = decisions_of(space, values)
    assert {type(decision) for decision in decisions} <= {Skip, Crop, Narrow, Downsample}
    (skip,) = (decision for decision in decisions if isinstance(decision, Skip))
    assert len(skip.spans) == sum(variable.name.startswith("skip:") for variable in space.variables)


def test_bad_values_are_refused():
    space = space_of(net())
    with pytest.raises(UserError, match="is none of"):
        decisions_of(space, whole(space) | {space.variables[0].name: 3})
    with pytest.raises(UserError, match="makes no part"):
        Cutter(space.graph).cut((Fold(),))
    with pytest.raises(UserError, match="not shares"):
        space_of(net(), SpaceOptions(widths=(0.0, 1.0)))
    with pytest.raises(UserError, match="nothing in this model"):
        space_of(net(), SpaceOptions(widths=(1.0,), skips=False, kernels=False))
