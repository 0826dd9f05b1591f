"""
Where the data of the page and the API is: the settings, Redis, the volume and the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from redis import Redis

from certworker.observability.history import History
from certworker.renewal.agenda import Agenda
from certworker.replication.publisher import open_store
from certworker.settings import Settings
from certworker.state.domain_records import DomainRecords
from certworker.storage.certificate_store import CertificateStore
from certworker.validity import now_in_utc


@dataclass(frozen=True)
class Sources:
    """
    The components that read and change the state of certworker, without those that only a worker needs.
    """

    settings: Settings
    connection: Redis
    agenda: Agenda
    records: DomainRecords
    history: History
    certificates: CertificateStore
    clock: Callable[[], datetime]

    @classmethod
    def of(cls, settings: Settings, connection: Redis, clock: Callable[[], datetime] = now_in_utc) -> Self:
        """
        Return the sources of the installation with these *settings*.
        """
        return cls(
            settings,
            connection,
            Agenda(connection),
            DomainRecords(connection),
            History(connection),
            open_store(settings.certificates_dir, settings.replication.keys, connection),
            clock,
        )
