"""
Two hosts with separate volumes and one Redis, without a CA and without processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from redis import Redis

from certworker.errors import CertworkerError
from certworker.replication.accounts import Accounts
from certworker.replication.answers import Answers
from certworker.replication.bundle import Fields, RemovedName, decode, opened_entry
from certworker.replication.comparison import Comparison
from certworker.replication.follower import PAUSE_SECONDS, Follower, Volume
from certworker.replication.publisher import Publisher, open_store
from certworker.replication.sealing import ReplicationKeys
from certworker.replication.stream import PUBLISHED, BundleStream
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.keypair import StoredCertificate
from certworker.storage.replica import Copy
from certworker.supervision import Faults
from certworker.traefik.config import TraefikConfig
from tests.storage.authority import Signer

#: The key of all hosts and of the processes of the crash test.
KEY = "0123456789012345678901234567890123456789012="


@dataclass
class Origin:
    """
    A host that publishes its certificates.
    """

    directory: Path
    connection: Redis
    key: str = KEY
    signer: Signer = field(default_factory=Signer)
    rejected: list[CertworkerError] = field(default_factory=list)

    def __post_init__(self) -> None:
        """
        Open the volume.
        """
        self.store = open_store(self.directory / "certificates", [self.key], self.connection)

    def issue(self, *names: str, token: int) -> StoredCertificate:
        """
        Put a new certificate for *names* into service, and publish it.
        """
        certificate = self.signer.certificate(*names)
        stored = self.store.store(certificate, authority="a", kind="private", token=token)
        self.store.mark_published(stored)
        return stored


@dataclass
class Mirror:
    """
    A host that follows the stream.
    """

    directory: Path
    connection: Redis
    keys: tuple[str, ...] = (KEY,)
    outcomes: list[str] = field(default_factory=list)
    published: list[tuple[str, ...]] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    gaps: int = 0

    def __post_init__(self) -> None:
        """
        Open the volume.
        """
        self.store = CertificateStore(self.directory / "certificates", on_change=lambda _names: None)
        self.traefik = TraefikConfig(self.directory / "config")
        self.traefik.directory.mkdir(parents=True, exist_ok=True)
        self.volume = Volume(
            self.store,
            self.traefik,
            ReplicationKeys(self.keys),
            observe=self.outcomes.append,
            published=self.published.append,
            removed=self.removed.append,
        )
        self.follower = Follower(
            BundleStream(self.connection), self.volume, on_gap=self.count_gap, faults=Faults("test")
        )

    def count_gap(self) -> None:
        """
        Count a gap in the stream.
        """
        self.gaps += 1

    def follow(self) -> list[str]:
        """
        Read the stream to its end, and return the new outcomes.
        """
        before = len(self.outcomes)
        while self.follower.step() != PAUSE_SECONDS:
            pass
        return self.outcomes[before:]

    def files(self, name: str) -> dict[str, bytes]:
        """
        Return the content of the files of *name* that readers find.
        """
        return files_of(self.store, name)

    def compare(self, *, is_worker: bool = False, is_answered: bool = True) -> bool:
        """
        Compare the names with those of another host.
        """
        return Comparison(
            self.connection,
            self.volume,
            "1" * 16,
            is_worker,
            Event(),
            is_answered=lambda: is_answered,
        ).run()

    def serves(self, name: str, stored: StoredCertificate) -> bool:
        """
        Return whether Traefik's file names the copy of *stored*, and readers find the same content.
        """
        files = self.traefik.files(name)
        directory = self.store.links.generations / stored.directory.name
        return (
            files == (directory / "fullchain.pem", directory / "privkey.pem")
            and self.files(name)["fullchain.pem"] == stored.certificate.fullchain_pem
            and self.files(name)["privkey.pem"] == stored.certificate.key.pem
        )


def decoded(fields: Fields, keys: ReplicationKeys) -> Copy | RemovedName | None:
    """
    Return the item in the entry *fields*.
    """
    kind, content = opened_entry(fields, keys)
    return decode(kind, content, fields)


def entries_of(connection: Redis) -> list[dict[Any, Any]]:
    """
    Return the fields of all entries on the stream.
    """
    entries: Any = connection.xrange(PUBLISHED)
    return [fields for _, fields in entries]


def files_of(store: CertificateStore, name: str) -> dict[str, bytes]:
    """
    Return the content of the files of *name* in *store*.
    """
    return {file.name: file.read_bytes() for file in store.links.domain_dir(name).iterdir()}


def answers_of(origin: Origin, clock: Callable[[], float] = time.monotonic) -> Answers:
    """
    Return what answers the comparisons of other nodes with the certificates of *origin*.
    """
    keys = ReplicationKeys([origin.key])
    return Answers(
        origin.connection,
        origin.store,
        Publisher(BundleStream(origin.connection), keys, lambda _error: None),
        "0" * 16,
        is_complete=lambda: True,
        accounts=Accounts(origin.directory / "accounts", keys).entries,
        reject=origin.rejected.append,
        clock=clock,
    )


@contextmanager
def answering(origin: Origin) -> Iterator[Answers]:
    """
    Answer the comparisons of other nodes with the certificates of *origin*.
    """
    answers = answers_of(origin)
    answers.step()  # finds the end of the stream
    answers.loop.start()
    try:
        yield answers
    finally:
        answers.loop.stop()
