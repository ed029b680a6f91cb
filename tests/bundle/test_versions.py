"""Versions are ordered number by number."""

from __future__ import annotations

import pytest

from marram.bundle.versions import version_order
from marram.core.errors import UserError


def test_order():
    versions = ["0.9", "1", "1.0.1", "1.2", "1.10", "2.0.0.1", "10"]
    assert sorted(versions, key=version_order) == versions
    assert version_order("1.2") == version_order("1.2.0")


@pytest.mark.parametrize("text", ["", "1.", "v1", "1.02", "1.2.3.4.5", "1.-2", "1 ", "\u0661", "1" * 20])
def test_what_is_no_version(text):
    with pytest.raises(UserError, match="not a version"):
        version_order(text)
