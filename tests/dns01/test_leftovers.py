"""
Tests of the deletion of leftover records. tests/dns01/test_solver.py tests it with killed workers.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from certworker.dns01.delegation import Delegations
from certworker.dns01.leftovers import LEASE_PREFIX, LONGEST_DELAY, LONGEST_TRIED, PASS, Leftovers
from certworker.dns01.propagation import Propagation
from certworker.dns01.provider import Providers, TxtRecord
from certworker.dns01.provider_state import ProviderState
from certworker.dns01.record_changes import RecordChanges
from certworker.dns01.txt_records import RECORDS, TxtRecords
from certworker.dns01.zone_lock import LOCK_PREFIX, ZoneLocks
from certworker.errors.dns01 import ProviderFailed
from certworker.state.locks import LOCKS, DomainLocks
from certworker.state.once_per import LOGGED, LOGGED_TTL, OncePer
from tests.dns01.test_record_changes import ORDER, RECORD, TWO, Memory

YEAR_9999 = datetime(9999, 12, 31, tzinfo=UTC)


class World:
    """
    Hold the parts of a worker, with a clock.
    """

    def __init__(self, connection: Redis, directory: Path) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.provider = Memory()
        self.connection = connection
        self.locks = DomainLocks(connection, highest_token=lambda: 0)
        self.records = TxtRecords(connection, directory, clock=self.clock)
        self.changes = RecordChanges(
            self.records,
            ZoneLocks(connection, self.locks),
            ProviderState(connection, clock=self.clock),
            OncePer(connection, LOGGED, LOGGED_TTL),
        )
        self.leftovers = self.another_worker()

    def another_worker(self) -> Leftovers:
        """
        Return the removal of leftovers of a worker that has just started.
        """
        return Leftovers(
            providers=Providers({"example.com": self.provider}),
            delegations=Delegations([], private=True),
            propagation=Propagation(1),
            records=self.records,
            changes=self.changes,
            locks=self.locks,
            clock=self.clock,
        )

    def clock(self) -> datetime:
        """
        Return the time.
        """
        return self.now

    def left_by_a_killed_worker(self, *records: TxtRecord) -> None:
        """
        Create records whose order has no lease, as a killed worker leaves them.
        """
        self.changes.create(list(records), self.provider, ORDER)
        self.now += timedelta(minutes=1)


@pytest.fixture
def world(connection: Redis, tmp_path: Path) -> World:
    """
    Return the parts of a worker.
    """
    return World(connection, tmp_path / "dns01")


class TestDeletion:
    def test_the_records_of_a_killed_worker_are_deleted(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The records of a killed worker are deleted, and the list is empty afterwards.
        """
        world.left_by_a_killed_worker(*TWO)
        caplog.set_level("INFO")

        world.leftovers.delete_all()

        assert (set(), 0) == (world.provider.records, world.connection.hlen(RECORDS))
        assert 2 == caplog.text.count("deleted a TXT record of an earlier order")

    def test_young_records_and_those_with_a_lease_are_not_deleted(self, world: World) -> None:
        """
        Young records and records with a lease are not deleted, because their order may be running.
        """
        world.changes.create([RECORD], world.provider, ORDER)
        world.leftovers.delete_all()
        world.now += timedelta(minutes=10)
        with world.locks.hold([LEASE_PREFIX + ORDER]):
            world.leftovers.delete_all()

        assert {RECORD} == world.provider.records

    def test_the_first_pass_after_a_loss_of_redis_deletes_no_record(self, world: World) -> None:
        """
        The first pass after a loss of Redis only restores the list, so that running orders can renew
        their leases.
        """
        world.left_by_a_killed_worker(RECORD)
        world.connection.flushall()

        world.leftovers.delete_all()
        assert {RECORD} == world.provider.records
        world.now += timedelta(minutes=1)
        world.leftovers.delete_all()

        assert set() == world.provider.records

    def test_a_worker_without_the_provider_leaves_the_record_to_others(
        self, world: World, connection: Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A worker without the provider logs the record once, and a worker with the provider deletes it.
        """
        world.left_by_a_killed_worker(RECORD)
        without = World(connection, tmp_path / "dns01")
        without.now = world.now
        without.leftovers._providers = Providers({})

        without.leftovers.delete_all()
        without.leftovers.delete_all()
        assert ["dns01.left_behind"] == [line.__dict__.get("code") for line in caplog.records]
        world.leftovers.delete_all()

        assert set() == world.provider.records

    @pytest.mark.parametrize("field", ["created", "again"])
    def test_an_invalid_time_does_not_delay_the_deletion(self, world: World, field: str) -> None:
        """
        An entry with a time in the year 9999 is deleted like any other.
        """
        world.left_by_a_killed_worker(RECORD)
        (entry,) = world.records.all().values()
        changed = {"created": replace(entry, created=YEAR_9999), "again": replace(entry, again=YEAR_9999)}
        world.records._store([changed[field]])

        world.leftovers.delete_all()

        assert set() == world.provider.records

    @pytest.mark.parametrize("zone", ["example.com", "gone.example.net"])
    def test_a_record_that_cannot_be_deleted_is_dropped_after_a_month(
        self, world: World, zone: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A record that cannot be deleted for a month leaves the list, and the log names it.
        """
        lost = replace(RECORD, fqdn=f"_acme-challenge.{zone}", zone=zone)
        world.left_by_a_killed_worker(lost)
        world.provider.failure = ProviderFailed(provider="memory", fqdn="x", reason="out of order")
        world.leftovers.delete_all()
        assert 1 == world.connection.hlen(RECORDS)

        world.now += LONGEST_TRIED
        world.another_worker().delete_all()

        assert 0 == world.connection.hlen(RECORDS)
        assert f"of _acme-challenge.{zone} after 30 days" in caplog.text

    def test_a_busy_zone_is_skipped_until_the_next_pass(
        self, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A pass skips a zone whose lock another worker holds, so it does not wait for slow providers.
        """
        monkeypatch.setattr("certworker.dns01.record_changes.LEFTOVER_TIMEOUT_SECONDS", 0.1)
        world.left_by_a_killed_worker(RECORD)
        world.connection.set(f"{LOCKS}{LOCK_PREFIX}example.com", "another worker", px=60_000)

        world.leftovers.delete_all()

        assert ({RECORD}, "") == (world.provider.records, caplog.text)

    def test_a_pass_ends_after_a_minute(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A pass ends after a minute, and the next pass deletes the other records.
        """
        world.left_by_a_killed_worker(*TWO)
        withdraw = world.provider.withdraw

        def slowly(record: TxtRecord) -> None:
            world.now += 2 * PASS
            withdraw(record)

        monkeypatch.setattr(world.provider, "withdraw", slowly)

        world.leftovers.delete_all()
        assert 1 == len(world.provider.records)
        world.leftovers.delete_all()
        assert 0 == len(world.provider.records)

    def test_the_pause_after_a_failure_has_a_limit(self, world: World) -> None:
        """
        The pause after failed deletions has a limit, and a later attempt succeeds.
        """
        world.left_by_a_killed_worker(RECORD)
        world.provider.failure = ProviderFailed(provider="memory", fqdn="x", reason="out of order")
        for _ in range(14):
            world.leftovers.delete_all()
            entry = world.records.get(RECORD)
            assert entry
            assert entry.again
            assert timedelta(0) < entry.again - world.now <= LONGEST_DELAY
            world.now = entry.again

        world.provider.failure = None
        world.leftovers.delete_all()
        assert set() == world.provider.records
