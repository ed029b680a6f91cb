"""Opening: nothing passes that was not signed, and each refusal says why."""

from __future__ import annotations

import json

import numpy as np
import pytest

from marram.bundle import FileSigner, inspect, new_key, seal
from marram.bundle import open as open_bundle
from marram.bundle.container import pack, unpack
from marram.bundle.signatures import sign
from marram.core.codec import digest, encode
from marram.core.errors import IntegrityError, UserError


@pytest.fixture
def trust(signer):
    return (signer.public_key,)


def resealed(sealed, signer, *, manifest=lambda fields: None, **members):
    """The bundle with members changed and everything signed anew by a holder of the key, manifest digests kept right."""
    parts = unpack(sealed) | {name.replace("__", "."): content for name, content in members.items() if content is not None}
    for name, content in members.items():
        if content is None:
            del parts[name.replace("__", ".")]
    fields = json.loads(parts["manifest.json"])
    fields["members"] = [
        {"name": name, "size_bytes": len(content), "digest": digest(content)}
        for name, content in sorted(parts.items())
        if name not in {"manifest.json", "signatures.json"}
    ]
    manifest(fields)
    parts["manifest.json"] = json.dumps(fields).encode()
    parts["signatures.json"] = sign(parts["manifest.json"], (signer,))
    return pack(parts)


def test_a_flipped_bit_anywhere_is_refused(sealed, trust):
    rng = np.random.default_rng(20260101)
    for place in np.concatenate([np.arange(400), rng.integers(0, len(sealed), 800), len(sealed) - 1 - np.arange(400)]):
        changed = bytearray(sealed)
        changed[place] ^= 1 << int(rng.integers(8))
        with pytest.raises(IntegrityError):
            open_bundle(bytes(changed), trust)
        with pytest.raises(IntegrityError):
            inspect(bytes(changed))


def test_a_change_with_all_checksums_put_right_is_refused(sealed, trust):
    """Each member in turn, changed by someone who can pack but not sign."""
    for name, content in unpack(sealed).items():
        for place in {0, len(content) // 2, len(content) - 1}:
            changed = bytearray(content)
            changed[place] ^= 4
            with pytest.raises(IntegrityError):
                open_bundle(pack(unpack(sealed) | {name: bytes(changed)}), trust)


def test_truncated_or_lengthened_files_are_refused(sealed, trust):
    rng = np.random.default_rng(7)
    for length in {0, 1, 21, 22, len(sealed) - 1, *map(int, rng.integers(0, len(sealed), 200))}:
        with pytest.raises(IntegrityError):
            open_bundle(sealed[:length], trust)
    with pytest.raises(IntegrityError):
        open_bundle(sealed + b"\0", trust)


def test_members_added_or_taken_away_are_refused(sealed, signer, trust):
    members = unpack(sealed)
    for name in members:
        with pytest.raises(IntegrityError, match=name.replace(".", r"\.")):
            open_bundle(pack({key: value for key, value in members.items() if key != name}), trust)
    with pytest.raises(IntegrityError, match=r"extra\.txt"):
        open_bundle(pack(members | {"extra.txt": b"hello"}), trust)
    with pytest.raises(IntegrityError, match=r"extra\.txt"):
        open_bundle(resealed(sealed, signer, extra__txt=b"signed, and still not of the format"), trust)


def test_a_stranger_s_signature_is_not_enough(parts, signer, tmp_path):
    new_key(tmp_path / "stranger")
    stranger = FileSigner(tmp_path / "stranger")
    by_stranger = seal(**parts, signers=(stranger,))
    with pytest.raises(IntegrityError, match="no trusted key") as caught:
        open_bundle(by_stranger, (signer.public_key,))
    assert stranger.key_id() in str(caught.value)
    by_both = seal(**parts, signers=(stranger, signer))
    assert open_bundle(by_both, (signer.public_key,)).signers == (signer.public_key,)
    assert set(open_bundle(by_both, (signer.public_key, stranger.public_key)).signers) == {
        signer.public_key,
        stranger.public_key,
    }


def test_a_signature_moved_from_another_bundle_is_refused(parts, sealed, signer, trust):
    other = unpack(seal(**(parts | {"version": "1.3.0"}), signers=(signer,)))
    mixed = unpack(sealed) | {"signatures.json": other["signatures.json"]}
    with pytest.raises(IntegrityError, match="not valid for this manifest"):
        open_bundle(pack(mixed), trust)


def test_labels_or_program_of_another_version_are_refused(parts, sealed, signer, trust):
    other = unpack(seal(**(parts | {"contract": "# another\n"}), signers=(signer,)))
    with pytest.raises(IntegrityError, match=r"contract\.toml: the content is not the one"):
        open_bundle(pack(unpack(sealed) | {"contract.toml": other["contract.toml"]}), trust)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.update(format_version=2), "this marram reads 1"),
        (lambda f: f.update(format_version=0), "no format 0"),
        (lambda f: f.update(format_version="1"), "cannot be read"),
        (lambda f: f.update(surprise=1), "surprise"),
        (lambda f: f.pop("labels"), "labels"),
        (lambda f: f.update(labels=["one"]), "labels do not fit"),
        (lambda f: f.update(version="newest"), "not a version"),
        (lambda f: f["lineage"].update(contract="sha256:00"), "lineage"),
        (lambda f: f["lineage"].update(recipe=None), "recipe"),
        (lambda f: f["program"].update(target="wristband"), "another program"),
        (lambda f: f["program"].update(blob="licence.txt"), "contradicts"),
        (lambda f: f["program"].update(format="onnx"), "contradicts"),
        (lambda f: f["members"].append(f["members"][0]), "contradicts"),
        (lambda f: f["members"].pop(), "does not belong"),
        (lambda f: f["members"][0].update(size_bytes=1), "not the one that was signed"),
    ],
)
def test_a_signed_manifest_that_lies_is_refused(sealed, signer, trust, change, message):
    with pytest.raises(IntegrityError, match=message):
        open_bundle(resealed(sealed, signer, manifest=change), trust)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"golden__msgpack": encode({"inputs": [], "outputs": []})}, "golden"),
        ({"golden__msgpack": b"\xc1"}, "Golden"),
        ({"evidence__msgpack": b""}, "Evidence"),
        ({"licence__txt": b"\xff\xfe"}, "UTF-8"),
        ({"recipe__msgpack": None}, "recipe"),
        ({"golden__msgpack": None}, "golden"),
    ],
)
def test_signed_members_that_make_no_sense_are_refused(sealed, signer, trust, members, message):
    with pytest.raises(IntegrityError, match=message):
        open_bundle(resealed(sealed, signer, **members), trust)


@pytest.mark.parametrize(
    "member", [b"", b"[]", b"{}", b"[" * 100_000, b'[{"key_id": "x"}]', b'[{"key_id":"x","signature":"zz"}]']
)
def test_signatures_that_are_none(sealed, trust, member):
    with pytest.raises(IntegrityError, match=r"signatures\.json"):
        open_bundle(pack(unpack(sealed) | {"signatures.json": member}), trust)


def test_a_trusted_key_with_a_signature_that_is_no_hexadecimal(sealed, signer, trust):
    member = sign(b"x", (signer,)).replace(b'"signature": "', b'"signature": "zz')
    with pytest.raises(IntegrityError, match="not valid"):
        open_bundle(pack(unpack(sealed) | {"signatures.json": member}), trust)


def test_target_and_version_order(sealed, trust):
    assert open_bundle(sealed, trust, target="phone", newer_than="1.1.9").manifest.version == "1.2.0"
    with pytest.raises(IntegrityError, match="made for target phone"):
        open_bundle(sealed, trust, target="wristband")
    for held in ("1.2", "1.2.0", "1.10.0", "2"):
        with pytest.raises(IntegrityError, match="not newer"):
            open_bundle(sealed, trust, newer_than=held)
    with pytest.raises(UserError, match="not a version"):
        open_bundle(sealed, trust, newer_than="latest")


def test_files(tmp_path, sealed, trust):
    path = tmp_path / "tiny.mrm"
    with pytest.raises(UserError, match=r"tiny\.mrm: cannot be read"):
        open_bundle(path, trust)
    with pytest.raises(UserError, match="cannot be read"):
        inspect(tmp_path)
    path.write_bytes(sealed)
    assert open_bundle(path, trust).digest == open_bundle(str(path), trust).digest == open_bundle(sealed, trust).digest
    with pytest.raises(IntegrityError, match="larger than 100 bytes"):
        open_bundle(path, trust, size_limit_bytes=100)
    path.write_bytes(sealed[:-1])
    with pytest.raises(IntegrityError, match=r"tiny\.mrm: offset"):
        open_bundle(path, trust)
    with pytest.raises(UserError, match="no public key is trusted"):
        open_bundle(path, ())


def test_inspection_names_what_it_cannot_prove(sealed, signer, parts):
    seen = inspect(sealed)
    assert seen.claimed_signers == (signer.key_id(),)
    assert seen.size_bytes == len(sealed)
    assert seen.contract == parts["contract"]
    assert seen.manifest.program.runtime == "litert"
