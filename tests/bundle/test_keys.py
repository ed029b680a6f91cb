"""Keys as files."""

from __future__ import annotations

import stat

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from marram.bundle.keys import FileSigner, checked_trust, key_id, new_key, public_key, verified
from marram.core.errors import UserError

PEM = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def test_a_signature_holds_for_its_message_and_key_alone(key_path, tmp_path):
    signer, other = FileSigner(key_path), new_key(tmp_path / "other.pem")
    signature = signer.sign(b"message")
    assert verified(signer.public_key, signature, b"message")
    assert not verified(signer.public_key, signature, b"massage")
    assert not verified(other, signature, b"message")
    assert not verified(signer.public_key, signature[:-1], b"message")
    assert not verified(signer.public_key, b"", b"message")


def test_signatures_are_those_of_rfc_8032(tmp_path):
    """Section 7.1, test 1."""
    secret = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    pem = ed25519.Ed25519PrivateKey.from_private_bytes(secret).private_bytes(*PEM)
    (tmp_path / "key").write_bytes(pem)
    signer = FileSigner(tmp_path / "key")
    assert signer.public_key == "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    first = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
    second = "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    assert signer.sign(b"").hex() == first + second


def test_the_public_key_file_and_its_id(key_path):
    written = public_key(f"{key_path}.pub")
    signer = FileSigner(key_path)
    assert written == signer.public_key
    assert key_id(written) == signer.key_id()


def test_the_private_key_is_for_its_owner_and_never_overwritten(key_path):
    assert stat.S_IMODE(key_path.stat().st_mode) == 0o600
    before = key_path.read_bytes()
    with pytest.raises(UserError, match="not overwritten"):
        new_key(key_path)
    assert key_path.read_bytes() == before


def test_what_is_not_a_key_is_said_to_be_none(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        FileSigner(tmp_path / "absent")
    noise = tmp_path / "noise"
    noise.write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(UserError, match="no private key"):
        FileSigner(noise)
    other_kind = tmp_path / "ec"
    other_kind.write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(*PEM))
    with pytest.raises(UserError, match="another kind"):
        FileSigner(other_kind)
    with pytest.raises(UserError, match="not a public key"):
        public_key(noise)
    with pytest.raises(UserError, match="cannot be read"):
        public_key(tmp_path / "absent.pub")


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be written"):
        new_key(tmp_path / "file" / "key")


def test_trust_needs_a_key(key_path):
    key = public_key(f"{key_path}.pub")
    assert checked_trust((key,)) == checked_trust(key) == {key}
    with pytest.raises(UserError, match="no public key is trusted"):
        checked_trust(())
    with pytest.raises(UserError, match="not a public key"):
        checked_trust((key.upper(),))
