"""
Tests of the host that follows the stream: what it serves after each kind of entry.
"""

from __future__ import annotations

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from certworker.replication.follower import LONGEST_PAUSE_SECONDS
from certworker.replication.sealing import ReplicationKeys
from certworker.replication.stream import ENTRIES_PER_READ, PUBLISHED, BundleStream
from certworker.storage.metadata import CertificateMetadata, build, new_directory
from certworker.traefik import reload_interval
from tests.replication.hosts import KEY, Mirror, Origin, answering, entries_of, files_of
from tests.servers.worker import wait_until

A, B = "a.example.org", "b.example.org"


def test_a_mirror_serves_the_same_files(origin: Origin, mirror: Mirror) -> None:
    """
    The mirror has the same files as the worker, under its own paths, and names them in Traefik's file.
    """
    stored = origin.issue(A, B, token=5)
    wildcard = origin.issue("*.example.org", token=6)

    assert ["stored", "stored"] == mirror.follow()
    for name in (A, B):
        assert mirror.serves(name, stored)
        assert files_of(origin.store, name) == mirror.files(name)
    assert mirror.serves("*.example.org", wildcard)
    assert [(A, B), ("*.example.org",)] == mirror.published
    assert stored.metadata == mirror.store.metadata(A)
    assert 0o600 == 0o777 & (mirror.store.links.domain_dir(A) / "privkey.pem").stat().st_mode


def test_a_renewal_replaces_the_certificate(origin: Origin, mirror: Mirror) -> None:
    """
    A higher token wins. A name with a later certificate keeps it.
    """
    both = origin.issue(A, B, token=5)
    mirror.follow()
    alone = origin.issue(A, token=8)

    assert ["stored"] == mirror.follow()
    assert mirror.serves(A, alone)
    assert mirror.serves(B, both)


def test_old_entries_change_nothing(origin: Origin, mirror: Mirror, connection: Redis) -> None:
    """
    A program that writes old entries again rolls nothing back: neither a renewal nor a removal.
    """
    origin.issue(A, token=5)
    renewed = origin.issue(A, token=7)
    origin.issue(B, token=6)
    origin.store.remove(B)
    mirror.follow()
    mirror.published.clear()
    entries = entries_of(connection)

    for entry in [*entries, *reversed(entries)]:
        connection.xadd(PUBLISHED, entry)

    assert {"outdated"} == set(mirror.follow())
    assert [] == mirror.published
    assert mirror.serves(A, renewed)
    assert [A] == list(mirror.store.names())
    assert mirror.traefik.files(B) is None


def test_a_removed_name_returns_with_a_later_certificate(origin: Origin, mirror: Mirror) -> None:
    """
    A removal reaches the mirror, and ends with the next certificate.
    """
    origin.issue(A, token=5)
    mirror.follow()
    origin.store.remove(A)
    assert ["removed"] == mirror.follow()
    assert [] == list(mirror.store.names())
    assert mirror.traefik.files(A) is None
    assert [A] == mirror.removed

    again = origin.issue(A, token=9)

    assert ["stored"] == mirror.follow()
    assert mirror.serves(A, again)


def test_a_removal_spares_a_certificate_that_is_linked_meanwhile(origin: Origin, mirror: Mirror) -> None:
    """
    A later certificate is linked while the removal waits for the lock: it stays, and Traefik has its file.
    """
    origin.issue(A, token=5)
    mirror.follow()
    origin.store.remove(A, 6)
    later = origin.signer.certificate(A)
    metadata = CertificateMetadata.of(later, authority="a", kind="private", generation=7)
    directory = new_directory(mirror.store.links.generations, 7)
    build(directory, later, metadata)

    with ThreadPoolExecutor() as threads:
        with mirror.store.changing():
            following = threads.submit(mirror.follow)
            wait_until(lambda: mirror.traefik.files(A) is None or None, lambda: str(mirror.outcomes))
            mirror.store.links.activate([A], directory)
        assert ["outdated"] == following.result()

    assert later.fullchain_pem == mirror.files(A)["fullchain.pem"]
    assert (directory / "fullchain.pem", directory / "privkey.pem") == mirror.traefik.files(A)
    assert [] == list(mirror.store.links.removed.all())
    assert [] == mirror.removed


def test_entries_that_miss_each_other_end_in_the_same_state(origin: Origin, mirror: Mirror) -> None:
    """
    A certificate for two names arrives after a later one for the first name: each name gets its latest.
    """
    both = origin.issue(A, B, token=5)
    alone = origin.issue(A, token=8)
    stream = mirror.connection
    first, second = entries_of(stream)
    stream.delete(PUBLISHED)
    for entry in (second, first):
        stream.xadd(PUBLISHED, entry)

    assert ["stored", "stored"] == mirror.follow()
    assert mirror.serves(A, alone)
    assert mirror.serves(B, both)


def test_bad_entries_are_counted_and_change_nothing(
    tmp_path: Path, origin: Origin, mirror: Mirror, connection: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Each bad entry is counted by its code and logged. The mirror serves what it had, and reads on.
    """
    stored = origin.issue(A, token=5)
    mirror.follow()
    stranger = Origin(tmp_path / "stranger", connection, ReplicationKeys.generate())
    stranger.issue(A, token=99)
    good, strange = entries_of(connection)
    newer = bytearray(good[b"bundle"])
    newer[2] = 9
    bad: list[dict[Any, Any]] = [
        {**good, b"bundle": good[b"bundle"][:500]},
        {**good, b"names": b'["../../etc"]'},
        {**good, b"names": b"\xff" * 10},
        {**good, b"bundle": bytes(newer)},
        {b"bundle": bytes(100_000_000)},
        {b"other": b""},
    ]
    for entry in bad:
        connection.xadd(PUBLISHED, entry)
    later = origin.issue(B, token=6)

    with caplog.at_level(logging.WARNING):
        outcomes = mirror.follow()

    assert [
        "replication.wrong_key",
        "replication.damaged",
        "replication.damaged",
        "replication.damaged",
        "replication.newer_version",
        "replication.too_large",
        "replication.damaged",
        "stored",
    ] == outcomes
    logged = [getattr(record, "code", "") for record in caplog.records]
    assert 4 == len(set(logged)) == len(logged)
    assert mirror.serves(A, stored)
    assert mirror.serves(B, later)
    assert strange[b"bundle"] != good[b"bundle"]


def test_a_key_is_replaced_without_a_gap(tmp_path: Path, connection: Redis) -> None:
    """
    The new key is added to all hosts, becomes the first one, and the old one is removed.
    """
    new = ReplicationKeys.generate()
    for number, (sealing, known) in enumerate([(KEY, (KEY, new)), (new, (new, KEY)), (new, (new,))]):
        Origin(tmp_path / "origin", connection, sealing).issue(A, token=number + 1)
        mirror = Mirror(tmp_path / "mirror", connection, known)
        assert ["stored"] == mirror.follow()


def test_the_position_survives_a_restart(origin: Origin, mirror: Mirror) -> None:
    """
    A new process continues after the last entry that is in service.
    """
    origin.issue(A, token=5)
    mirror.follow()
    again = Mirror(mirror.directory, mirror.connection)
    origin.issue(B, token=6)

    assert ["stored"] == again.follow()
    assert [(B,)] == again.published


def test_an_emptied_redis_is_a_gap(origin: Origin, mirror: Mirror, connection: Redis) -> None:
    """
    The mirror reports lost entries, and continues with those that follow.
    """
    origin.issue(A, token=5)
    mirror.follow()
    connection.flushall()
    mirror.follow()
    assert 1 == mirror.gaps

    later = origin.issue(B, token=6)

    assert ["stored"] == mirror.follow()
    assert mirror.serves(B, later)
    assert 1 == mirror.gaps


def test_files_of_another_program_are_replaced_as_a_pair(origin: Origin, mirror: Mirror) -> None:
    """
    A host that served its own certificate before gets the one of the workers.
    """
    directory = mirror.store.links.domain_dir(A)
    directory.mkdir(parents=True)
    own = origin.signer.certificate(A)
    (directory / "fullchain.pem").write_bytes(own.fullchain_pem)
    (directory / "privkey.pem").write_bytes(own.key.pem)

    stored = origin.issue(A, token=5)

    assert ["stored"] == mirror.follow()
    assert mirror.serves(A, stored)


def test_a_name_that_cannot_be_written_delays_no_other(
    origin: Origin, mirror: Mirror, connection: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Another program blocks the directory of one name, Traefik's file of a second, and the record of a third.

    Each is logged once and skipped, even without another entry. The next comparison serves the first.
    """
    blocked, unserved, kept = "blocked.org", "unserved.org", "kept.org"
    old = origin.issue(kept, token=1)
    mirror.follow()
    in_the_way = mirror.store.links.domain_dir(blocked)
    in_the_way.write_text("a file of another program")
    (mirror.traefik.directory / f"{unserved}.yml" / "x").mkdir(parents=True)
    (mirror.store.directory / ".certworker" / "removed" / kept / "x").mkdir(parents=True)

    with caplog.at_level(logging.WARNING):
        shared = origin.issue(A, blocked, token=2)
        assert ["fs.io", "stored"] == mirror.follow()
        origin.issue(unserved, token=3)
        assert ["fs.io", "stored"] == mirror.follow()
        origin.store.remove(kept)
        assert ["fs.io"] == mirror.follow()
    good = origin.issue(B, token=4)
    origin.issue(blocked, token=5)
    assert ["fs.io", "stored"] == sorted(mirror.follow())

    assert {blocked, unserved, kept} == set(mirror.volume.skipped)
    assert [blocked, unserved, kept] == [getattr(record, "domain", "") for record in caplog.records]
    assert mirror.serves(A, shared)
    assert mirror.serves(B, good)
    assert mirror.serves(kept, old)
    assert not mirror.store.links.generation(blocked)
    connection.delete(PUBLISHED)
    with answering(origin):
        assert mirror.compare()
        assert {blocked, kept} == set(mirror.volume.skipped)
        in_the_way.unlink()
        shutil.rmtree(mirror.store.directory / ".certworker" / "removed" / kept)
        assert mirror.compare()

    assert {} == mirror.volume.skipped
    assert [A, B, blocked, unserved] == list(mirror.store.names())
    assert mirror.traefik.files(kept) is None


def test_an_unusable_volume_loses_no_entry(origin: Origin, mirror: Mirror) -> None:
    """
    The position does not move while the volume cannot be written.
    """
    stored = origin.issue(A, token=5)
    generations = mirror.store.links.generations
    generations.parent.mkdir(parents=True)
    generations.write_text("a file of another program")
    with pytest.raises(Exception, match="generations"):
        mirror.follow()
    generations.unlink()

    assert ["stored"] == mirror.follow()
    assert mirror.serves(A, stored)
    assert 1 == len(BundleStream(mirror.connection).read("0-0").entries)


def test_with_many_certificates_traefik_gets_time_between_reloads(
    origin: Origin, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The second change waits for the interval that grows with the number of certificates. A job ends the wait.

    All entries that have waited are one burst.
    """
    monkeypatch.setattr(reload_interval, "FEW_CERTIFICATES", -1)
    monkeypatch.setattr(reload_interval, "SHARE", 0.001)
    first = origin.issue("a.org", token=1)
    mirror.follower.hurry()
    mirror.follower.step()
    assert mirror.serves("a.org", first)
    second = origin.issue("b.org", token=2)

    assert LONGEST_PAUSE_SECONDS == mirror.follower.step()
    assert ["a.org"] == list(mirror.store.names())
    mirror.follower.hurry()
    mirror.follower.step()
    assert mirror.serves("b.org", second)
    for number in range(ENTRIES_PER_READ + 1):
        origin.issue(f"n{number}.org", token=3 + number)
    mirror.follower.hurry()
    mirror.follower.step()
    mirror.follower.step()
    assert ENTRIES_PER_READ + 3 == mirror.store.links.count()
