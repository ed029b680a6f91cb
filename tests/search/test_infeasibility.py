from __future__ import annotations

import msgspec
import numpy as np
import pytest
from tests.search.nets import net

from marram.compile import device
from marram.core.contract import PromiseSection, TargetSection
from marram.core.evidence import Figure
from marram.model.counts import counts
from marram.search.choosing import Assessed
from marram.search.infeasibility import nearest, not_found, out_of_reach, proven
from marram.search.pricing import Device, excess, price
from marram.search.space import Cutter, decisions_of, least, space_of


def on(core: str = "cortex-m4", **budget) -> Device:
    section = TargetSection(device=core, **budget)
    return Device(name="target", target=device(core), section=section, in_c=True)


def parts(count: int):
    """The least part of a space, then random ones."""
    space = space_of(net())
    cutter, generator = Cutter(space.graph), np.random.default_rng(0)
    yield cutter.cut(decisions_of(space, least(space), cutter)).graph
    for _ in range(count):
        values = {one.name: one.choices[generator.integers(len(one.choices))] for one in space.variables}
        yield cutter.cut(decisions_of(space, values, cutter)).graph


@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m4"])
def test_no_part_is_priced_below_the_bounds_of_the_least(core):
    smallest, *others = parts(20)
    tiny = {"ram_kib": 1e-6, "flash_kib": 1e-6, "latency_ms": 1e-9, "energy_uj": 1e-9}
    bounds = {}
    for key, limit in tiny.items():
        answer = proven(smallest, on(core, **{key: limit}))
        if answer is not None:
            assert answer.binding == (key,)
            assert answer.bound > answer.budget
            bounds[key] = answer.bound
    assert set(bounds) >= {"ram_kib", "flash_kib", "latency_ms"}
    figures = {"ram_kib": ("ram_bytes", 1024), "flash_kib": ("flash_bytes", 1024), "latency_ms": ("latency_p90_us", 1000)}
    figures["energy_uj"] = ("energy_uj", 1)
    for graph in (smallest, *others):
        prices = price(graph, on(core))
        for key, bound in bounds.items():
            name, unit = figures[key]
            assert prices[name] / unit >= bound, key


def test_a_budget_above_the_bound_is_not_proven_impossible():
    smallest, *_ = parts(0)
    assert proven(smallest, on(flash_kib=counts(smallest).parameters / 1024 + 1, ram_kib=4, latency_ms=10)) is None
    assert proven(smallest, Device(name="h", target=device("host"), section=TargetSection(device="host"), in_c=False)) is None


def test_flash_that_fewer_bits_may_do_with_is_not_proven_too_small():
    smallest, *_ = parts(0)
    weights = sum(values.size for values in smallest.constants.values() if values.ndim > 1)
    tight = on(flash_kib=0.7 * weights / 1024)
    assert proven(smallest, tight) is not None
    assert proven(smallest, msgspec.structs.replace(tight, weight_bits=(8, 4))) is None


def test_the_nearest_is_named_without_a_proof():
    target = on(ram_kib=4.0, flash_kib=10.0)
    rows = [({"ram_bytes": 8192.0}, 0.9), ({"ram_bytes": 4500.0, "flash_bytes": 11000.0}, 0.3)]
    assessed = [
        Assessed(
            family="f",
            decisions=(),
            error=error,
            prices={"t": costs | {"weight_bytes": 1.0}},
            excess={"t": excess(costs | {"weight_bytes": 1.0, "constant_bytes": 1.0}, target)},
        )
        for costs, error in rows
    ]
    assert nearest(assessed, "t") is assessed[1]
    answer = not_found(assessed, "t", target.section)
    assert answer is not None
    assert (answer.kind, answer.bound, answer.binding) == ("not found", None, ("ram_kib", "flash_kib"))
    assert answer.nearest["ram_kib"] == pytest.approx(4500 / 1024)
    assert answer.nearest["flash_kib"] == pytest.approx(11000 / 1024)
    assert not_found(assessed, "other", target.section) is None
    other = Assessed(family="f", decisions=(), error=0.1, prices={"other": {}}, excess={"other": {}})
    counted = not_found([*assessed, other], "t", target.section)
    assert counted is not None
    assert counted.why.startswith("of 2 models")  # those that were priced for another target do not count


@pytest.mark.parametrize(("promised", "high", "reachable"), [(0.9, 0.85, False), (0.9, 0.91, True), (None, 0.1, True)])
def test_promises_above_the_float_model_are_told(promised, high, reachable):
    figure = Figure(name="accuracy", unit="share", value=0.8, low=0.7, high=high, confidence=0.95, method="test")
    answer = out_of_reach("t", PromiseSection(accuracy_min=promised), figure)
    assert (answer is None) == reachable
    assert out_of_reach("t", PromiseSection(accuracy_min=promised), None) is None
