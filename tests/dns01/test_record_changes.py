"""
Tests of the creation and the deletion of records, with a real Redis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from certworker.challenges.challenge import Dns01Challenge
from certworker.dns01.provider import TxtRecord
from certworker.dns01.provider_state import ProviderState
from certworker.dns01.record_changes import RecordChanges
from certworker.dns01.txt_records import RECORDS, TxtRecords
from certworker.dns01.zone_lock import ZoneLocks
from certworker.errors import CertworkerError
from certworker.errors.dns01 import ProviderFailed, ProviderRateLimited
from certworker.minutes import not_before
from certworker.state.locks import DomainLocks
from certworker.state.once_per import LOGGED, LOGGED_TTL, OncePer

ORDER, ANOTHER = "0" * 32, "1" * 32


def record_of(token: str) -> TxtRecord:
    """
    Return the record of a challenge for example.com.
    """
    challenge = Dns01Challenge("example.com", token, f"{token}.{'k' * 43}")
    return TxtRecord(
        challenge.fqdn, challenge.value, challenge.name, challenge.name, token, challenge.key_authorization
    )


RECORD = record_of("v" * 43)
TWO = [RECORD, record_of("w" * 43)]
#: The whole suite takes less, and this module is imported at its start.
UNTIL = datetime.now(UTC).replace(second=59, microsecond=0) + timedelta(hours=12)
LIMITED = ProviderRateLimited(provider="memory", moment="later", until=UNTIL)


@dataclass
class Memory:
    """
    Store records in memory, and raise the failure that a test sets.
    """

    label: str = "memory"
    records: set[TxtRecord] = field(default_factory=set)
    requests: int = 0
    failure: CertworkerError | None = None
    #: Called before each creation.
    before: Callable[[TxtRecord], object] = lambda _record: None

    def present(self, record: TxtRecord) -> None:
        """
        Create *record*.
        """
        self._count()
        self.before(record)
        self.records.add(record)

    def withdraw(self, record: TxtRecord) -> None:
        """
        Delete *record*.
        """
        self._count()
        self.records.discard(record)

    def _count(self) -> None:
        self.requests += 1
        if self.failure:
            raise self.failure


@pytest.fixture
def provider() -> Memory:
    """
    Return a provider without records.
    """
    return Memory()


@pytest.fixture
def changes(connection: Redis, tmp_path: Path) -> RecordChanges:
    """
    Return the record changes of a worker.
    """

    def clock() -> datetime:
        return datetime.now(UTC)

    locks = DomainLocks(connection, highest_token=lambda: 0)
    records = TxtRecords(connection, tmp_path / "dns01", clock=clock)
    return RecordChanges(
        records,
        ZoneLocks(connection, locks),
        ProviderState(connection, clock=clock),
        OncePer(connection, LOGGED, LOGGED_TTL),
    )


class TestChanges:
    def test_records_are_created_and_deleted(
        self, changes: RecordChanges, provider: Memory, connection: Redis
    ) -> None:
        """
        A created record is in the list until its deletion.
        """
        changes.create(TWO, provider, ORDER)
        assert (set(TWO), 2) == (provider.records, connection.hlen(RECORDS))

        changes.delete(TWO, provider, ORDER)
        assert (set(), 0) == (provider.records, connection.hlen(RECORDS))

    def test_the_deletion_of_an_unlisted_record_sends_no_request(
        self, changes: RecordChanges, provider: Memory, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The deletion of a record that is not in the list sends no request, for example after a busy
        zone.
        """
        changes.delete(TWO, provider, ORDER)

        assert (0, "") == (provider.requests, caplog.text)

    def test_a_worker_deletes_a_record_that_it_creates_after_its_lease(
        self, changes: RecordChanges, provider: Memory, connection: Redis, tmp_path: Path
    ) -> None:
        """
        A frozen worker deletes its late record although another worker has removed it from the list.
        """
        provider.before = TxtRecords(connection, tmp_path / "dns01", clock=lambda: datetime.now(UTC)).remove
        changes.create([RECORD], provider, ORDER)
        assert ({RECORD}, 1) == (provider.records, connection.hlen(RECORDS))

        changes.delete([RECORD], provider, ORDER)

        assert (set(), 0) == (provider.records, connection.hlen(RECORDS))

    def test_the_record_of_another_order_is_unchanged(
        self, changes: RecordChanges, provider: Memory, connection: Redis
    ) -> None:
        """
        The deletion of a record of another order changes nothing. A CA may repeat a challenge in a
        later order.
        """
        changes.create([RECORD], provider, ORDER)
        changes.create([RECORD], provider, ANOTHER)

        changes.delete([RECORD], provider, ORDER)

        assert ({RECORD}, 1) == (provider.records, connection.hlen(RECORDS))

    def test_each_failed_deletion_is_logged(
        self, changes: RecordChanges, provider: Memory, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log and the list have each record whose deletion failed.
        """
        changes.create(TWO, provider, ORDER)
        provider.failure = ProviderFailed(provider="memory", fqdn="x", reason="out of order")

        changes.delete(TWO, provider, ORDER)

        assert 2 == caplog.text.count("dns01.left_behind")
        assert 2 == connection.hlen(RECORDS)

    def test_a_refused_record_is_not_in_the_list(
        self, changes: RecordChanges, provider: Memory, connection: Redis
    ) -> None:
        """
        A record that the provider refused is not in the list.
        """
        provider.failure = LIMITED
        with pytest.raises(ProviderRateLimited):
            changes.create(TWO, provider, ORDER)

        assert 0 == connection.hlen(RECORDS)

    def test_a_refused_record_of_an_earlier_order_remains_in_the_list(
        self, changes: RecordChanges, provider: Memory, connection: Redis
    ) -> None:
        """
        A refused record remains in the list if an earlier order created the same record.
        """
        changes.create([RECORD], provider, ORDER)
        provider.failure = LIMITED
        with pytest.raises(ProviderRateLimited):
            changes.create(TWO, provider, ANOTHER)

        assert 1 == connection.hlen(RECORDS)


class TestLimits:
    def test_a_rate_limit_applies_to_creations_and_deletions(
        self, changes: RecordChanges, provider: Memory, connection: Redis
    ) -> None:
        """
        No further request is sent before a rate limit resets, neither to create nor to delete.
        """
        provider.failure = LIMITED
        with pytest.raises(ProviderRateLimited):
            changes.create(TWO, provider, ORDER)
        provider.failure = None

        changes.delete(TWO, provider, ORDER)
        with pytest.raises(ProviderRateLimited) as caught:
            changes.create(TWO, provider, ORDER)
        with pytest.raises(ProviderRateLimited):
            changes.refuse_paused("memory")

        assert (1, UNTIL) == (provider.requests, caught.value.until)
        assert f"before {not_before(UNTIL)}" in caught.value.message

    def test_a_rate_limit_applies_to_one_provider(self, changes: RecordChanges, provider: Memory) -> None:
        """
        A rate limit of one provider does not affect another one.
        """
        provider.failure = LIMITED
        with pytest.raises(ProviderRateLimited):
            changes.create(TWO, provider, ORDER)

        changes.create(TWO, Memory("another"), ANOTHER)
