"""
Tests of the comparison with another host: what arrives without the stream.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from redis import Redis

from certworker.replication import answers, comparison
from certworker.replication.comparison import ANSWERS, COMPARISONS, portion_in
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.removed_names import SENT
from tests.replication.hosts import Mirror, Origin, answering, entries_of

A, B = "a.example.org", "b.example.org"


def test_a_new_host_gets_everything_in_portions(
    origin: Origin, mirror: Mirror, connection: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Each answer is bounded, and Redis has none of them afterwards.
    """
    monkeypatch.setattr(answers, "ANSWER_BYTES", 10_000)
    monkeypatch.setattr(comparison, "PORTION_BYTES", 100)
    stored = {
        name: origin.issue(name, token=token + 1) for token, name in enumerate(f"n{n}.org" for n in range(30))
    }
    shared = origin.issue("n5.org", "x.org", "y.org", token=50)
    connection.flushall()

    with answering(origin):
        assert mirror.compare()

    for name, certificate in (stored | dict.fromkeys(("n5.org", "x.org", "y.org"), shared)).items():
        assert mirror.serves(name, certificate)
    assert 30 == mirror.outcomes.count("stored")
    assert [] == list(connection.scan_iter(ANSWERS + "*"))
    assert 5 <= connection.xlen(COMPARISONS)


def test_only_differences_are_sent(origin: Origin, mirror: Mirror, connection: Redis) -> None:
    """
    A host that was away gets renewals, new names and removals, and nothing else.
    """
    same = origin.issue("same.org", token=1)
    origin.issue(A, token=2)
    origin.issue(B, token=3)
    mirror.follow()
    mirror.outcomes.clear()
    renewed = origin.issue(A, token=4)
    origin.store.remove(B)
    new = origin.issue("new.org", token=5)
    connection.flushall()

    with answering(origin):
        assert mirror.compare()
        assert ["removed", "stored", "stored"] == sorted(mirror.outcomes)
        assert mirror.compare()

    assert 3 == len(mirror.outcomes)
    assert [A, "new.org", "same.org"] == list(mirror.store.names())
    for name, certificate in ((A, renewed), ("new.org", new), ("same.org", same)):
        assert mirror.serves(name, certificate)


def test_a_name_that_was_removed_without_a_record_stays_away(origin: Origin, mirror: Mirror) -> None:
    """
    A name left a shared certificate before the host had a key: a new host serves the other name only.
    """
    alone = CertificateStore(origin.store.directory)
    shared = alone.store(origin.signer.certificate(A, B), authority="a", kind="private", token=1)
    alone.remove(B)

    with answering(origin):
        assert mirror.compare()

    assert mirror.serves(A, shared)
    assert [A] == mirror.store.links.live()
    assert mirror.traefik.files(B) is None


def test_a_later_certificate_of_this_host_stays(origin: Origin, mirror: Mirror) -> None:
    """
    A worker that is behind does not change a host that is ahead.
    """
    origin.issue(A, token=2)
    mirror.follow()
    behind = Origin(origin.directory / "behind", origin.connection)

    with answering(behind):
        assert mirror.compare()

    assert [A] == list(mirror.store.names())


def test_without_another_host_nothing_happens(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The comparison fails without a worker that answers, and a later one may succeed.
    """
    monkeypatch.setattr(comparison, "PATIENCE_SECONDS", 0.1)

    assert not mirror.compare(is_answered=False)
    assert not mirror.compare()


def test_an_answer_of_another_program_is_rejected(
    origin: Origin, mirror: Mirror, connection: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Only the right key ends a comparison, and changes a certificate.
    """
    monkeypatch.setattr(comparison, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(secrets, "token_hex", lambda _bytes: "f" * 16)
    end: dict[Any, Any] = {"kind": b"answer", "names": b'["ffffffffffffffff"]'}
    large: dict[Any, Any] = {"bundle": bytes(1_000_000)}
    for fields in (end, large):
        connection.xadd(ANSWERS + "f" * 16, fields)

    assert not mirror.compare()
    assert ["replication.damaged", "replication.damaged"] == mirror.outcomes


def test_repeated_bundles_do_not_grow_an_answer(
    origin: Origin, mirror: Mirror, connection: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A program writes an old bundle into an answer again and again: the comparison ends at the limit of an
    answer, and has applied nothing.
    """
    origin.issue(A, token=1)
    (bundle,) = entries_of(connection)
    monkeypatch.setattr(comparison, "MOST_ANSWER_BYTES", 100_000)
    monkeypatch.setattr(secrets, "token_hex", lambda _bytes: "f" * 16)
    stopped, written = Event(), list[int]()

    def write() -> None:
        # The limit ends the test without the limit of the comparison.
        while not stopped.is_set() and len(written) < 2_000:
            connection.xadd(ANSWERS + "f" * 16, bundle)
            written.append(1)

    with ThreadPoolExecutor() as threads:
        writing = threads.submit(write)
        assert not mirror.compare()
        stopped.set()
        writing.result()

    assert ["replication.too_large"] == mirror.outcomes
    assert [] == mirror.store.links.live()


PORTION: dict[str, Any] = {"id": "1", "node": "2", "is_worker": False, "after": "", "until": None}


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"id": 1}', b"\xff", b"[" * 10_000])
def test_an_invalid_portion_is_ignored(content: bytes) -> None:
    """
    Content without a portion is ignored.
    """
    assert portion_in(content) is None


@pytest.mark.parametrize("ranks", [None, {"a": "b"}, {"a": None}, []])
def test_a_portion_has_names_with_numbers(ranks: object) -> None:
    """
    A portion with other ranks is ignored.
    """
    assert portion_in(json.dumps({**PORTION, "ranks": {"a.org": 2}}).encode()) is not None
    assert portion_in(json.dumps({**PORTION, "ranks": ranks}).encode()) is None


def test_an_old_removal_is_not_sent(origin: Origin, mirror: Mirror) -> None:
    """
    A record that its host soon removes does not begin again on another host.
    """
    origin.store.remove("a.org", 5)
    record = origin.store.directory / ".certworker" / "removed" / "a.org"
    old = time.time() - (SENT + timedelta(days=1)).total_seconds()
    os.utime(record, (old, old), follow_symlinks=False)
    with answering(origin):
        assert mirror.compare()

    assert [] == list(mirror.store.links.removed.all())
