"""Signatures over a manifest: who vouches for a bundle, as the member ``signatures.json``.

What is signed is a fixed prefix, which keeps the signature from meaning anything elsewhere, and the digest of the manifest's
bytes as they stand in the file. The manifest names every other member by digest, so the signature covers them all.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from marram.bundle.keys import PublicKey, key_id, verified
from marram.core.codec import digest, to_json
from marram.core.errors import IntegrityError
from marram.core.ports import Signer

SIGNERS_MAX = 16
_PREFIX = b"marram bundle manifest v1\n"


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One signature: the digest of the signer's public key and 64 bytes in hexadecimal."""

    key_id: str
    signature: str


def message(manifest: bytes) -> bytes:
    """What a signer signs for a manifest."""
    return _PREFIX + digest(manifest).encode()


def sign(manifest: bytes, signers: Iterable[Signer]) -> bytes:
    """The member ``signatures.json``: one entry for each signer, sorted by key."""
    signed = message(manifest)
    entries = [Signature(key_id=signer.key_id(), signature=signer.sign(signed).hex()) for signer in signers]
    return to_json(sorted(entries, key=lambda entry: entry.key_id))


def read(member: bytes) -> tuple[Signature, ...]:
    """The entries of ``signatures.json``.

    Raises:
        IntegrityError: it is not such a member, or not in its one form.
    """
    try:
        entries = msgspec.json.decode(member, type=tuple[Signature, ...])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise IntegrityError(f"the signatures cannot be read: {error}", where="signatures.json") from error
    if not 0 < len(entries) <= SIGNERS_MAX or to_json(entries) != member:
        raise IntegrityError("the signatures are too many, missing or not in their one form", where="signatures.json")
    return entries


def trusted_signers(manifest: bytes, member: bytes, trust: frozenset[PublicKey]) -> tuple[PublicKey, ...]:
    """The trusted keys that signed the manifest, sorted, at least one.

    Raises:
        IntegrityError: no trusted key signed it, or what claims to be by a trusted key is not.
    """
    by_id = {key_id(key): key for key in trust}
    entries = read(member)
    good: set[PublicKey] = set()
    for entry in entries:
        key = by_id.get(entry.key_id)
        if key is None:
            continue
        if not verified(key, _signature_bytes(entry), message(manifest)):
            raise IntegrityError(f"the signature of {entry.key_id} is not valid for this manifest", where="signatures.json")
        good.add(key)
    if not good:
        claimed = ", ".join(entry.key_id for entry in entries)
        raise IntegrityError("no trusted key signed it", where="signatures.json", hint=f"It names these signers: {claimed}.")
    return tuple(sorted(good))


def _signature_bytes(entry: Signature) -> bytes:
    try:
        return bytes.fromhex(entry.signature)
    except ValueError:
        return b""
