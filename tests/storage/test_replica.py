"""
Tests of the certificates of other hosts on this volume.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from certworker.storage import replica
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.replica import Copy, Result
from tests.storage.authority import Signer

A, B = "a.example.org", "b.example.org"


@pytest.fixture
def store(tmp_path: Path) -> CertificateStore:
    """
    Open a volume that records its removals.
    """
    return CertificateStore(tmp_path / "here", on_change=lambda _names: None)


def copy(tmp_path: Path, *names: str, token: int) -> Copy:
    """
    Return the copy of a new certificate on another volume.
    """
    there = CertificateStore(tmp_path / f"there{token}")
    stored = there.store(Signer().certificate(*names), authority="a", kind="private", token=token)
    return Copy(stored.directory.name, stored.certificate, stored.metadata, stored.metadata.names)


def put(store: CertificateStore, received: Copy) -> Result:
    """
    Put *received* into service.
    """
    (result,) = replica.put_into_service(store, [received])
    return result


def test_several_copies_of_a_name_end_with_the_latest(tmp_path: Path, store: CertificateStore) -> None:
    """
    The sequence of the copies in one call does not matter.
    """
    copies = [copy(tmp_path, A, B, token=5), copy(tmp_path, A, token=8), copy(tmp_path, A, token=7)]

    results = replica.put_into_service(store, copies)

    assert [(A, B), (A,), ()] == [result.new for result in results]
    assert [{B}, {A}, set()] == [set(result.linked) for result in results]


def test_many_copies_share_the_syncs_of_directories(
    tmp_path: Path, store: CertificateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A received certificate needs the syncs of its own files and directories; the other syncs are shared.
    """
    names = [f"{number}.example.org" for number in range(16)]
    copies = [copy(tmp_path, name, token=5 + number) for number, name in enumerate(names)]
    synced, sync = list[int](), os.fsync

    def counted(descriptor: int) -> None:
        synced.append(descriptor)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", counted)
    replica.put_into_service(store, copies)

    # Five files, their directory, and that of the name.
    assert len(synced) <= 7 * len(copies) + 10


def test_the_higher_token_wins_for_each_name(tmp_path: Path, store: CertificateStore) -> None:
    """
    A copy replaces only older certificates, and a second time nothing.
    """
    both, alone = copy(tmp_path, A, B, token=5), copy(tmp_path, A, token=8)
    put(store, alone)

    assert (B,) == put(store, both).new
    assert () == put(store, both).new
    assert (8, 5) == (replica.token_in_service(store, A), replica.token_in_service(store, B))
    assert 8 == store.links.highest_token()


def test_a_removal_needs_the_token_of_the_certificate(tmp_path: Path, store: CertificateStore) -> None:
    """
    The removal of an earlier certificate does not remove a later one. A removed certificate does not return.
    """
    earlier, later = copy(tmp_path, A, token=5), copy(tmp_path, A, token=8)
    put(store, later)

    assert not replica.remove(store, A, 7)
    assert replica.remove(store, A, 8)
    assert not replica.remove(store, A, 8)
    for old in (earlier, later):
        assert () == put(store, old).new
    assert [] == store.links.live()
    assert (A,) == put(store, copy(tmp_path, A, token=9)).new
    assert [] == list(store.links.removed.all())


def test_an_own_removal_is_recorded(tmp_path: Path, store: CertificateStore) -> None:
    """
    Each removal on a volume with other hosts records the token.
    """
    put(store, copy(tmp_path, A, token=5))
    store.remove(A)

    assert [(A, 5)] == list(store.links.removed.all())


def test_an_incomplete_generation_is_stored_again(tmp_path: Path, store: CertificateStore) -> None:
    """
    A generation without its key, for example after a disk error, is not linked.
    """
    received = copy(tmp_path, A, token=5)
    directory = put(store, received).linked[A]
    store.links.remove(A)
    store.links.removed.forget(A)
    (directory / "privkey.pem").unlink()

    again = put(store, received)

    assert (A,) == again.new
    assert again.linked[A] != directory
    assert store.current(A) is not None
