"""
Tests of the publication of certificates and removals.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis

from certworker.replication.bundle import RemovedName
from certworker.replication.publisher import Publisher
from certworker.replication.sealing import ReplicationKeys
from certworker.replication.stream import BEGINNING, BundleStream
from certworker.storage.replica import Copy
from certworker.supervision import unexplained
from tests.replication.hosts import KEY, Mirror, Origin, decoded
from tests.servers.redis import RedisServer
from tests.storage.authority import Signer
from tests.storage.stored import make_newer


def published(connection: Redis) -> list[Copy | RemovedName | None]:
    """
    Return the items on the stream.
    """
    entries = BundleStream(connection).read(BEGINNING).entries
    return [decoded(entry.fields, ReplicationKeys([KEY])) for entry in entries]


def test_a_certificate_is_published_once_for_all_its_names(origin: Origin, connection: Redis) -> None:
    """
    One publication has one bundle.
    """
    stored = origin.issue("a.example.org", "b.example.org", token=3)

    (found,) = published(connection)
    assert isinstance(found, Copy)
    assert stored.directory.name == found.identifier
    assert ("a.example.org", "b.example.org") == found.metadata.names


def test_a_removal_is_published(origin: Origin, connection: Redis) -> None:
    """
    The removal of a name is a bundle, too, even if only other hosts have a certificate for it.
    """
    origin.issue("a.example.org", token=3)
    origin.store.remove("a.example.org", 5)
    origin.store.remove("elsewhere.example.org", 6)

    assert [RemovedName("a.example.org", 5), RemovedName("elsewhere.example.org", 6)] == published(
        connection
    )[1:]


def test_an_adopted_certificate_is_published(origin: Origin, mirror: Mirror) -> None:
    """
    The files of another program reach the other hosts, also under a name with an underscore.
    """
    certificate = Signer().certificate("a_b.example.org")
    place = origin.store.links.domain_dir("a_b.example.org")
    place.mkdir(parents=True)
    for file, content in (("fullchain.pem", certificate.fullchain_pem), ("privkey.pem", certificate.key.pem)):
        (place / file).write_bytes(content)
    assert origin.store.adopt("a_b.example.org") is not None

    assert ["stored"] == mirror.follow()
    assert certificate.key.pem == mirror.files("a_b.example.org")["privkey.pem"]


def test_a_failure_of_redis_does_not_affect_the_issuance(
    tmp_path: Path, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The certificate is in service on this host, and the log has the failure.
    """
    with Redis(port=own_redis.port) as connection:
        origin = Origin(tmp_path / "origin", connection)
        own_redis.kill()
        origin.issue("a.example.org", token=1)

    assert ["a.example.org"] == list(origin.store.names())
    assert ["redis.unreachable"] == [getattr(record, "code", "") for record in caplog.records]


def test_a_certificate_of_a_newer_version_has_no_entry(origin: Origin) -> None:
    """
    A certificate that a newer version stored has no entry, so that a comparison still has the other names.
    """
    newer = origin.issue("new.example.org", token=3)
    origin.issue("a.example.org", token=4)
    make_newer(newer.directory)
    publisher = Publisher(BundleStream(origin.connection), ReplicationKeys([KEY]), unexplained)

    found = [len(publisher.entries(origin.store, name)) for name in ("new.example.org", "a.example.org")]
    assert [0, 1] == found
