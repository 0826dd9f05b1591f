"""
Tests of the bundles: what they contain, and which of them are rejected.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from certworker.errors import CertworkerError
from certworker.replication.bundle import (
    LARGEST_ENTRY,
    RemovedName,
    copy_of,
    encode,
    opened_entry,
    sealed_entry,
)
from certworker.replication.sealing import ReplicationKeys
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.replica import Copy
from tests.replication.hosts import decoded
from tests.storage.authority import Signer

KEYS = ReplicationKeys([ReplicationKeys.generate()])


@pytest.fixture
def copy(store: CertificateStore) -> Copy:
    """
    Store a certificate for two names.
    """
    certificate = Signer().certificate("example.org", "*.example.org")
    stored = store.store(certificate, authority="a", kind="public", token=7)
    return copy_of(stored, stored.metadata.names)


def changed(copy: Copy, names: tuple[str, ...] | None = None, **content: object) -> dict[str, bytes]:
    """
    Return the entry of *copy* with other *names* or another *content*, encrypted with the right key.
    """
    _, opened = opened_entry(encode(copy, KEYS), KEYS)
    text = json.dumps({**json.loads(opened), **content})
    return sealed_entry("certificate", names or copy.metadata.names, text.encode(), KEYS)


def test_a_bundle_has_the_whole_certificate(copy: Copy) -> None:
    """
    The other host gets the same chain, key, metadata and identifier.
    """
    found = decoded(encode(copy, KEYS), KEYS)

    assert isinstance(found, Copy)
    assert (copy.identifier, copy.metadata, 7) == (found.identifier, found.metadata, found.token)
    assert copy.certificate.fullchain_pem == found.certificate.fullchain_pem
    assert copy.certificate.key.pem == found.certificate.key.pem


def test_a_bundle_has_the_names_in_service(copy: Copy) -> None:
    """
    The bundle has the names that are linked to the certificate. An earlier version has no list.
    """
    found = decoded(changed(copy, serving=["example.org"]), KEYS)
    earlier = json.loads(opened_entry(encode(copy, KEYS), KEYS)[1])
    del earlier["serving"]
    entry = sealed_entry("certificate", copy.metadata.names, json.dumps(earlier).encode(), KEYS)

    assert isinstance(found, Copy)
    assert ("example.org",) == found.serving
    again = decoded(entry, KEYS)
    assert isinstance(again, Copy)
    assert copy.serving == again.serving
    invalid: tuple[object, ...] = (["other.org"], "example.org", 5, [[]])
    for serving in invalid:
        with pytest.raises(CertworkerError) as raised:
            decoded(changed(copy, serving=serving), KEYS)
        assert "replication.damaged" == raised.value.code


def test_a_removal_has_its_token() -> None:
    """
    A removal names the token of the removed certificate.
    """
    removed = RemovedName("example.org", 12)

    assert removed == decoded(encode(removed, KEYS), KEYS)


def test_redis_sees_no_key(copy: Copy) -> None:
    """
    The entry has the names in clear text, and nothing else of the certificate.
    """
    entry = encode(copy, KEYS)

    assert b'["example.org", "*.example.org"]' == entry["names"]
    assert {"kind", "names", "bundle"} == set(entry)
    assert b"PRIVATE" not in entry["bundle"]
    assert b"example" not in entry["bundle"]


def test_names_and_kind_belong_to_the_bundle(copy: Copy) -> None:
    """
    A bundle under other names, or as another kind, is rejected.
    """
    entry = encode(copy, KEYS)

    for change in (
        {"names": b'["other.org"]'},
        {"kind": b"removal"},
        {"bundle": entry["bundle"][:-1]},
        {"bundle": b""},
    ):
        with pytest.raises(CertworkerError) as raised:
            decoded({**entry, **change}, KEYS)
        assert "replication.damaged" == raised.value.code


@pytest.mark.parametrize(
    "name", ["../../etc", "/etc/passwd", ".certworker", "a/../b.org", "", "A.org", "x" * 300]
)
def test_a_name_with_a_path_is_rejected(copy: Copy, name: str) -> None:
    """
    Even with the right key, a bundle cannot name a path.
    """
    metadata = json.loads(copy.metadata.as_json()) | {"names": [name]}

    for names in ((name,), ("example.org",)):
        with pytest.raises(CertworkerError) as raised:
            decoded(changed(copy, names, metadata=json.dumps(metadata)), KEYS)
        assert "replication.damaged" == raised.value.code


def test_invalid_content_is_rejected(copy: Copy) -> None:
    """
    A key that does not match, another certificate, invalid types and a wrong generation are rejected.
    """
    other = Signer().certificate("example.org")
    invalid: list[dict[str, Any]] = [
        {"key": other.key.pem.decode()},
        {"key": "no key"},
        {"fullchain": other.fullchain_pem.decode(), "key": other.key.pem.decode()},
        {"fullchain": ""},
        {"generation": "../live"},
        {"generation": "000000000009-01234567"},
        {"generation": 7},
        {"metadata": "{}"},
        {"metadata": None},
        {"metadata": "[" * 100_000},
    ]

    for content in invalid:
        with pytest.raises(CertworkerError) as raised:
            decoded(changed(copy, **content), KEYS)
        assert raised.value.code in ("replication.damaged", "replication.too_large"), content


def test_a_large_entry_is_rejected_before_its_decryption() -> None:
    """
    Neither side handles an entry above the limit.
    """
    with pytest.raises(CertworkerError) as raised:
        decoded({"bundle": bytes(LARGEST_ENTRY + 1)}, KEYS)
    assert "replication.too_large" == raised.value.code
    with pytest.raises(CertworkerError) as raised:
        sealed_entry("certificate", ("example.org",), bytes(LARGEST_ENTRY), KEYS)
    assert "replication.too_large" == raised.value.code


def test_a_bundle_of_a_later_kind_is_ignored(copy: Copy) -> None:
    """
    A kind that this version does not know changes nothing, and is no error.
    """
    assert decoded(sealed_entry("later", ("example.org",), b"{}", KEYS), KEYS) is None


def test_the_names_of_a_bundle_are_those_of_its_metadata(copy: Copy) -> None:
    """
    A bundle with fewer names than its metadata is rejected.
    """
    fewer = replace(copy.metadata, names=("example.org",))

    with pytest.raises(CertworkerError):
        decoded(changed(copy, metadata=fewer.as_json().decode()), KEYS)
