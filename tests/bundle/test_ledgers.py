"""The ledger in a bundle: it comes back as it went in, belongs to the recipe, and is as tamper-proof as the rest."""

from __future__ import annotations

import pytest

from marram.bundle import inspect, seal
from marram.bundle import open as open_bundle
from marram.bundle.container import pack, unpack
from marram.core.codec import encode
from marram.core.errors import IntegrityError, UserError
from marram.core.ledger import Entry, Ledger
from marram.core.recipe import Fold, Quantise


@pytest.fixture(scope="module")
def ledger():
    return Ledger(
        base="sha256:00",
        material="sha256:01",
        priced_for="phone",
        start={"accuracy_validation": 0.9, "instructions": None},
        entries=(
            Entry(decision=Fold(), figures={"accuracy_validation": 0.9, "instructions": 12.0}),
            Entry(decision=Quantise(calibration="mse"), figures={"accuracy_validation": 0.89, "instructions": 12.0}),
        ),
    )


def test_it_comes_back_as_it_went_in(parts, signer, ledger):
    data = seal(**parts, ledger=ledger, signers=(signer,))
    assert open_bundle(data, [signer.public_key]).ledger == ledger
    assert inspect(data).ledger == ledger
    assert data == seal(**parts, ledger=ledger, signers=(signer,))


def test_bundles_without_one_still_open(sealed, signer):
    assert open_bundle(sealed, [signer.public_key]).ledger is None
    assert "ledger.msgpack" not in unpack(sealed)


def test_a_ledger_of_another_recipe_is_refused(parts, signer, ledger):
    other = Ledger(base="", material="", priced_for=None, start={}, entries=ledger.entries[:1])
    with pytest.raises(UserError, match="another recipe"):
        seal(**parts, ledger=other, signers=(signer,))
    with pytest.raises(UserError, match="another recipe"):
        seal(**{**parts, "recipe": None}, ledger=ledger, signers=(signer,))


def test_a_changed_ledger_is_refused(parts, signer, ledger):
    members = unpack(seal(**parts, ledger=ledger, signers=(signer,)))
    better = Ledger(base="", material="", priced_for=None, start={"accuracy_validation": 1.0}, entries=ledger.entries)
    with pytest.raises(IntegrityError, match=r"ledger\.msgpack"):
        open_bundle(pack({**members, "ledger.msgpack": encode(better)}), [signer.public_key])
    with pytest.raises(IntegrityError, match=r"ledger\.msgpack"):
        open_bundle(pack({name: data for name, data in members.items() if name != "ledger.msgpack"}), [signer.public_key])
