"""Every operator has its rules."""

from __future__ import annotations

from typing import get_args

from marram.core.operators import Operator
from marram.model.reference.tables import EITHER, FLOAT, INTEGER
from marram.model.spec import RULES


def test_every_operator_has_a_float_rule() -> None:
    assert set(EITHER) | set(FLOAT) == set(get_args(Operator))
    assert not set(EITHER) & (set(FLOAT) | set(INTEGER))


def test_every_integer_operator_of_the_spec_has_an_integer_rule() -> None:
    assert set(EITHER) | set(INTEGER) >= {kind for kind, rule in RULES.items() if rule.integer}
