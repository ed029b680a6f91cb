"""The ledger's arithmetic, by hand."""

from __future__ import annotations

from marram.core.codec import decode, encode
from marram.core.ledger import FIGURES, Entry, Ledger, Trial, changes, costs, gains
from marram.core.recipe import Fold, Quantise, Recipe

LEDGER = Ledger(
    base="sha256:00",
    material="sha256:01",
    priced_for=None,
    start={"accuracy_validation": 0.9, "weight_bytes": 400.0, "instructions": None},
    entries=(
        Entry(decision=Fold(), figures={"accuracy_validation": 0.9, "weight_bytes": 360.0, "instructions": 1000.0}),
        Entry(decision=Quantise(), figures={"accuracy_validation": 0.875, "weight_bytes": 90.0, "instructions": 1200.0}),
    ),
    trials=(Trial(recipe=Recipe(decisions=(Fold(),)), figures={"closeness_db": 31.0}, reason="less close"),),
)


def test_a_change_is_the_difference_to_the_stage_before():
    fold, quantise = changes(LEDGER)
    assert fold == {"accuracy_validation": 0.0, "weight_bytes": -40.0, "instructions": None}
    assert quantise == {"accuracy_validation": 0.875 - 0.9, "weight_bytes": -270.0, "instructions": 200.0}


def test_gains_and_costs_know_which_way_is_better():
    fold, quantise = changes(LEDGER)
    assert (gains(fold), costs(fold)) == ({"weight_bytes": -40.0}, {})
    assert gains(quantise) == {"weight_bytes": -270.0}
    assert set(costs(quantise)) == {"accuracy_validation", "instructions"}
    assert {FIGURES[name].better for name in ("accuracy_validation", "closeness_db")} == {"more"}


def test_its_recipe_and_its_encoding():
    assert LEDGER.recipe == Recipe(decisions=(Fold(), Quantise()))
    assert decode(encode(LEDGER), Ledger) == LEDGER
