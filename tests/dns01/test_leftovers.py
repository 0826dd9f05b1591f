"""
Tests of the deletion of leftovers; tests/dns01/test_solver.py has those with killed workers.
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
    A worker with a clock.
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
        Create records whose order has no lease.
        """
        self.changes.create(list(records), self.provider, ORDER)
        self.now += timedelta(minutes=1)


@pytest.fixture
def world(connection: Redis, tmp_path: Path) -> World:
    """
    Return a worker.
    """
    return World(connection, tmp_path / "dns01")


class TestDeletion:
    def test_the_records_of_a_killed_worker_are_deleted(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The list is empty afterwards.
        """
        world.left_by_a_killed_worker(*TWO)
        caplog.set_level("INFO")

        world.leftovers.delete_all()

        assert (set(), 0) == (world.provider.records, world.connection.hlen(RECORDS))
        assert 2 == caplog.text.count("deleted the TXT record of an interrupted order")

    def test_young_records_and_those_with_a_lease_are_left_alone(self, world: World) -> None:
        """
        Their order may be running.
        """
        world.changes.create([RECORD], world.provider, ORDER)
        world.leftovers.delete_all()
        world.now += timedelta(minutes=10)
        with world.locks.hold([LEASE_PREFIX + ORDER]):
            world.leftovers.delete_all()

        assert {RECORD} == world.provider.records

    def test_after_a_loss_of_redis_running_orders_have_time_to_renew_their_leases(self, world: World) -> None:
        """
        The first pass only restores the list.
        """
        world.left_by_a_killed_worker(RECORD)
        world.connection.flushall()

        world.leftovers.delete_all()
        assert {RECORD} == world.provider.records
        world.now += timedelta(minutes=1)
        world.leftovers.delete_all()

        assert set() == world.provider.records

    def test_a_worker_without_the_provider_does_not_delay_the_one_that_has_it(
        self, world: World, connection: Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        It logs once where the record is.
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
    def test_an_invalid_time_delays_nothing(self, world: World, field: str) -> None:
        """
        Entries of the year 9999 would fill the list.
        """
        world.left_by_a_killed_worker(RECORD)
        (entry,) = world.records.all().values()
        changed = {"created": replace(entry, created=YEAR_9999), "again": replace(entry, again=YEAR_9999)}
        world.records._store([changed[field]])

        world.leftovers.delete_all()

        assert set() == world.provider.records

    @pytest.mark.parametrize("zone", ["example.com", "gone.example.net"])
    def test_a_record_of_a_zone_that_is_gone_is_dropped_after_a_month(
        self, world: World, zone: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Such records would fill the list. The last attempt may still delete one.
        """
        lost = replace(RECORD, fqdn=f"_acme-challenge.{zone}", zone=zone)
        world.left_by_a_killed_worker(lost)
        world.provider.failure = ProviderFailed(provider="memory", fqdn="x", reason="out of order")
        world.leftovers.delete_all()
        assert 1 == world.connection.hlen(RECORDS)

        world.now += LONGEST_TRIED
        world.another_worker().delete_all()

        assert 0 == world.connection.hlen(RECORDS)
        assert f"of _acme-challenge.{zone} is left after 30 days" in caplog.text

    def test_a_busy_zone_is_left_to_the_next_pass(
        self, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The maintenance does not wait for slow providers.
        """
        monkeypatch.setattr("certworker.dns01.record_changes.PATIENCE_SECONDS", 0.1)
        world.left_by_a_killed_worker(RECORD)
        world.connection.set(f"{LOCKS}{LOCK_PREFIX}example.com", "another worker", px=60_000)

        world.leftovers.delete_all()

        assert ({RECORD}, "") == (world.provider.records, caplog.text)

    def test_a_pass_ends_after_a_minute(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Another pass deletes the rest.
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
        A provider that is down for a week is tried again within hours.
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
