"""
Tests of the encryption of bundles.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.errors.replication import (
    BundleDamaged,
    BundleFromNewerVersion,
    ReplicationFailure,
    WrongReplicationKey,
)
from certworker.replication.sealing import ReplicationKeys

CONTEXT = b"certificate example.org"


def test_only_the_same_key_and_context_open_a_bundle() -> None:
    """
    A bundle opens with its key and its context, and its bytes do not contain the content.
    """
    keys = ReplicationKeys([ReplicationKeys.generate()])
    sealed = keys.seal(b"a private key", CONTEXT)

    assert b"a private key" == keys.open(sealed, CONTEXT)
    assert b"private" not in sealed
    assert sealed != keys.seal(b"a private key", CONTEXT)
    with pytest.raises(BundleDamaged):
        keys.open(sealed, b"certificate other.example.org")
    with pytest.raises(WrongReplicationKey):
        ReplicationKeys([ReplicationKeys.generate()]).open(sealed, CONTEXT)


def test_each_key_opens_and_the_first_one_seals() -> None:
    """
    Keys are replaced without a gap: first each host can open with the new one, then it seals, then the old
    one goes.
    """
    old, new = ReplicationKeys.generate(), ReplicationKeys.generate()
    sealed = ReplicationKeys([new, old]).seal(b"x", CONTEXT)

    assert b"x" == ReplicationKeys([old, new]).open(sealed, CONTEXT)
    assert b"x" == ReplicationKeys([new]).open(sealed, CONTEXT)
    with pytest.raises(WrongReplicationKey):
        ReplicationKeys([old]).open(sealed, CONTEXT)


@given(st.data())
def test_a_changed_bundle_does_not_open(data: st.DataObject) -> None:
    """
    A bundle that is shortened, or has another byte at any place, is rejected.
    """
    keys = ReplicationKeys([ReplicationKeys.generate()])
    sealed = keys.seal(b"content", CONTEXT)
    place = data.draw(st.integers(0, len(sealed) - 1))
    changed = bytearray(sealed)
    changed[place] ^= data.draw(st.integers(1, 255))

    for bad in (bytes(changed), sealed[:place], sealed + b"x"):
        with pytest.raises(ReplicationFailure):
            keys.open(bad, CONTEXT)


def test_a_newer_version_is_named() -> None:
    """
    A bundle of a later version is rejected before its decryption.
    """
    keys = ReplicationKeys([ReplicationKeys.generate()])
    sealed = bytearray(keys.seal(b"content", CONTEXT))
    sealed[2] = 2

    with pytest.raises(BundleFromNewerVersion, match="version 2"):
        keys.open(bytes(sealed), CONTEXT)
