"""
Tests of the records of an order with real BIND servers, a real Redis, and processes that are killed.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from certworker.dns01.acme_dns import AcmeDns
from certworker.dns01.delegation import ZoneServer
from certworker.dns01.provider import Provider, TxtRecord
from certworker.dns01.provider_state import ProviderState
from certworker.dns01.solver import Dns01Solver, ProviderTest
from certworker.dns01.txt_records import RECORDS, TxtRecords
from certworker.dns01.zone_lock import LOCK_PREFIX
from certworker.errors.dns01 import (
    CnameElsewhere,
    LeftBehind,
    NotConfigured,
    NotVisible,
    ProviderFailed,
    ProviderRateLimited,
    ZoneLockLost,
)
from certworker.errors.name import NameTooLong
from certworker.state.locks import LOCKS
from tests.dns01.network import Network, change
from tests.dns01.worker import STEPS, arguments_of, challenge, provider_of, solver_of
from tests.servers.bind import Bind
from tests.servers.redis import RedisServer
from tests.servers.worker import wait_until

OWNER = "_acme-challenge.example.com"
OTHERS = "the text of another client"
HUB = "hub.far.net"
TWO = ("a.example.com", "b.example.com")


@dataclass
class Recorder:
    """
    Count the changes of a real provider, and raise the failure that a test sets.
    """

    real: Provider
    label: str = "recorder"
    created: list[TxtRecord] = field(default_factory=list)
    deleted: list[TxtRecord] = field(default_factory=list)
    #: Called before each change.
    before: Callable[[str, TxtRecord], None] = lambda *_: None

    def present(self, record: TxtRecord) -> None:
        """
        Create *record*.
        """
        self.before("present", record)
        self.real.present(record)
        self.created.append(record)

    def withdraw(self, record: TxtRecord) -> None:
        """
        Delete *record*.
        """
        self.before("withdraw", record)
        self.real.withdraw(record)
        self.deleted.append(record)


@dataclass(frozen=True)
class Net:
    """
    Hold the name servers of this module's tests.
    """

    network: Network
    example: Bind
    far: Bind


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    """
    Run name servers for example.com and far.net, with aliases from one to the other.
    """
    with Network(tmp_path_factory.mktemp("dns")) as network:
        aliases = [f"_acme-challenge.t{number} CNAME {HUB}." for number in range(50)]
        example = network.bind(
            "example.com", ["_acme-challenge.alias CNAME k1.far.net.", "*.sites A 192.0.2.7", *aliases]
        )
        far = network.bind("far.net")
        yield Net(network, example, far)


@pytest.fixture
def provider(net: Net) -> Recorder:
    """
    Return the provider of example.com.
    """
    return Recorder(provider_of(net.example.address))


@pytest.fixture
def solver(net: Net, provider: Recorder, connection: Redis, tmp_path: Path) -> Dns01Solver:
    """
    Return the solver of a worker that has only this provider.
    """
    return solver_with(net, connection, tmp_path, provider)


def solver_with(net: Net, connection: Redis, tmp_path: Path, provider: Provider) -> Dns01Solver:
    """
    Return a solver with *provider* for example.com.
    """
    return solver_of(connection, tmp_path / "dns01", net.network.resolver.address, {"example.com": provider})


def listed(connection: Redis, tmp_path: Path) -> int:
    """
    Return the number of records in the list, which is the same in Redis and in the files.
    """
    files = list((tmp_path / "dns01").glob("*.json"))
    assert len(files) == connection.hlen(RECORDS)
    return len(files)


def fail(step: str, failure: Exception) -> Callable[[str, TxtRecord], None]:
    """
    Return a hook that raises *failure* before each *step*.
    """

    def before(called: str, _record: TxtRecord) -> None:
        if called == step:
            raise failure

    return before


FAILED = ProviderFailed(provider="recorder", fqdn=OWNER, reason="out of order")


class TestPresenting:
    def test_records_exist_during_the_block(
        self, net: Net, solver: Dns01Solver, connection: Redis, tmp_path: Path
    ) -> None:
        """
        Both values of a name and its wildcard exist during the block, and are deleted after it.
        """
        both = [challenge("example.com", 1), challenge("example.com", 2)]

        with solver.presenting(both):
            assert {each.value for each in both} == net.example.txt(OWNER)
            assert 2 == listed(connection, tmp_path)

        assert set() == net.example.txt(OWNER)
        assert 0 == listed(connection, tmp_path)
        assert [] == connection.keys(f"{LOCKS}*")

    def test_values_of_other_clients_are_unchanged(self, net: Net, solver: Dns01Solver) -> None:
        """
        Values of another client at the same name remain.
        """
        change(net.example, "example.com", OWNER, OTHERS)
        try:
            with solver.presenting([challenge("example.com")]):
                assert {OTHERS, challenge("example.com").value} == net.example.txt(OWNER)
            assert {OTHERS} == net.example.txt(OWNER)
        finally:
            change(net.example, "example.com", OWNER, OTHERS, delete=True)

    def test_a_record_is_stored_before_it_is_created(
        self, solver: Dns01Solver, provider: Recorder, connection: Redis, tmp_path: Path
    ) -> None:
        """
        A record is in the list before its creation and during its deletion, so a crash cannot hide it.
        """
        stored: list[int] = []
        provider.before = lambda *_: stored.append(listed(connection, tmp_path))

        with solver.presenting([challenge("a.example.com"), challenge("b.example.com")]):
            pass

        assert [2, 2, 2, 1] == stored

    @pytest.mark.parametrize("end", [ValueError, KeyboardInterrupt, SystemExit])
    def test_records_are_deleted_after_any_exception(
        self, net: Net, solver: Dns01Solver, connection: Redis, tmp_path: Path, end: type[BaseException]
    ) -> None:
        """
        The records are deleted after any exception of the block, which is then raised.
        """
        with pytest.raises(end), solver.presenting([challenge("example.com")]):
            raise end

        assert set() == net.example.txt(OWNER)
        assert 0 == listed(connection, tmp_path)

    def test_a_failed_creation_leaves_no_record(
        self, net: Net, solver: Dns01Solver, provider: Recorder, connection: Redis, tmp_path: Path
    ) -> None:
        """
        After a failed creation, the solver deletes all records, including the failed one.
        """

        def before(step: str, record: TxtRecord) -> None:
            if step == "present" and record.name == "b.example.com":
                raise FAILED

        provider.before = before
        with (
            pytest.raises(ProviderFailed),
            solver.presenting([challenge("a.example.com"), challenge("b.example.com")]),
        ):
            pytest.fail("the block ran")

        assert set(TWO) == {record.name for record in provider.deleted}
        assert set() == net.example.txt("_acme-challenge.a.example.com")
        assert 0 == listed(connection, tmp_path)

    def test_each_zone_has_its_provider(self, net: Net, connection: Redis, tmp_path: Path) -> None:
        """
        Each zone has its own provider, also the zone to which an alias leads.
        """
        providers = {
            "example.com": Recorder(provider_of(net.example.address)),
            "far.net": Recorder(provider_of(net.far.address)),
        }
        solver = solver_of(connection, tmp_path / "dns01", net.network.resolver.address, providers)

        with solver.presenting([challenge("alias.example.com"), challenge("www.example.com")]):
            assert {challenge("x").value} == net.far.txt("k1.far.net")
            assert {challenge("x").value} == net.example.txt("_acme-challenge.www.example.com")

        assert ["k1.far.net"] == [record.fqdn for record in providers["far.net"].deleted]
        assert "alias.example.com" == providers["far.net"].created[0].name

    def test_an_empty_order_creates_no_record(self, solver: Dns01Solver) -> None:
        """
        The block runs without challenges.
        """
        with solver.presenting([]):
            pass

    def test_a_lost_lock_stops_the_changes(
        self, solver: Dns01Solver, provider: Recorder, connection: Redis
    ) -> None:
        """
        A worker that loses the lock on a zone creates no further record.
        """

        def steal(step: str, _record: TxtRecord) -> None:
            if step == "present":
                connection.set(f"{LOCKS}{LOCK_PREFIX}example.com", "another worker", px=500)

        provider.before = steal
        with (
            pytest.raises(ZoneLockLost, match=r"lost its lock on the zone example\.com"),
            solver.presenting([challenge("a.example.com"), challenge("b.example.com")]),
        ):
            pytest.fail("the block ran")

        assert ["a.example.com"] == [record.name for record in provider.created]


class TestPlan:
    def test_a_plan_changes_nothing(self, solver: Dns01Solver, provider: Recorder, connection: Redis) -> None:
        """
        A plan has the zone and the provider of a record, and changes nothing.
        """
        plan = solver.plan("www.example.com")

        assert ("example.com", provider) == (plan.location.zone, plan.served)
        assert [] == connection.keys("*")

    def test_a_challenge_with_a_too_long_name_is_a_failure(self, solver: Dns01Solver) -> None:
        """
        A challenge whose name exceeds the limit of DNS is a failure.
        """
        with pytest.raises(NameTooLong, match="259 characters"):
            solver.plan(".".join(["a" * 60] * 4))

    def test_a_zone_without_a_provider_is_a_failure(self, solver: Dns01Solver) -> None:
        """
        The failure names the zone without a provider.
        """
        with pytest.raises(NotConfigured, match=r"zone far\.net"), solver.presenting([challenge("far.net")]):
            pytest.fail("the block ran")

    def test_an_alias_into_a_zone_without_a_provider_is_a_failure(self, solver: Dns01Solver) -> None:
        """
        The failure has the alias and the zone without a provider.
        """
        with pytest.raises(CnameElsewhere, match=r"k1\.far\.net \(no provider serves the zone far\.net\)"):
            solver.plan("alias.example.com").served  # noqa: B018 (reading it raises)

    def test_a_host_of_a_wildcard_is_a_warning(self, solver: Dns01Solver) -> None:
        """
        The plan has a warning if the record hides the wildcard that resolves the host.
        """
        (warning,) = solver.plan("shop.sites.example.com").warnings

        assert "shop.sites.example.com resolves only through *.sites.example.com" in warning.message
        assert () == solver.plan("sites.example.com").warnings


class TestOfAProvider:
    def test_each_step_has_its_time(
        self, net: Net, solver: Dns01Solver, provider: Recorder, connection: Redis, tmp_path: Path
    ) -> None:
        """
        The test of a provider creates and deletes a record, leaves none, and has the time of each step.
        """
        durations = solver.test_provider("www.example.com")

        assert min(durations.created, durations.visible, durations.deleted) > 0
        assert "example.com" == durations.plan.location.zone
        assert provider.created == provider.deleted
        assert 43 == len(provider.created[0].value)
        assert 0 == listed(connection, tmp_path)

    def test_a_failed_test_leaves_no_record(
        self, net: Net, solver: Dns01Solver, provider: Recorder, connection: Redis, tmp_path: Path
    ) -> None:
        """
        A failed test of a provider raises the provider's failure and leaves no record.
        """
        provider.before = fail("present", FAILED)

        with pytest.raises(ProviderFailed):
            solver.test_provider("www.example.com")

        assert 0 == listed(connection, tmp_path)

    def test_a_test_without_a_deletion_fails(
        self, net: Net, solver: Dns01Solver, provider: Recorder, connection: Redis, tmp_path: Path
    ) -> None:
        """
        A test of a provider that does not delete the record reports the record that is left.
        """
        provider.before = fail("withdraw", FAILED)

        with pytest.raises(LeftBehind, match="was not deleted"):
            solver.test_provider("www.example.com")

        assert 1 == listed(connection, tmp_path)

    def test_a_server_without_a_route_does_not_count(self, solver: Dns01Solver) -> None:
        """
        The sentence about a test counts only name servers that this machine has a route to.
        """
        plan = solver.plan("www.example.com")
        servers = (*plan.location.servers, ZoneServer("ns9.example.com", ()))
        extended = replace(plan, location=replace(plan.location, servers=servers))

        assert str(ProviderTest(plan, 1.0, 2.0, 0.5)) == str(ProviderTest(extended, 1.0, 2.0, 0.5))

    def test_the_sentence_about_acme_dns_has_no_deletion(self, solver: Dns01Solver) -> None:
        """
        The sentence about a test states that acme-dns cannot delete the record.
        """
        provider = AcmeDns("http://127.0.0.1", Path("accounts.json"))
        plan = replace(solver.plan("www.example.com"), provider=provider)

        shown = str(ProviderTest(plan, 1.0, 2.0, 0.0))

        assert shown.startswith("acme-dns created ")
        assert shown.endswith("; acme-dns cannot delete it")


class TestExtraWait:
    def test_orders_wait_longer_after_an_invisible_record(
        self, net: Net, connection: Redis, tmp_path: Path, provider: Recorder
    ) -> None:
        """
        After a validation without a visible record, orders wait longer. Servers of an anycast address
        differ.
        """
        pauses: list[float] = []
        solver = solver_with(net, connection, tmp_path, provider)
        solver._pause = pauses.append
        unseen = NotVisible(record=OWNER, name="example.com", servers="Pebble", detail="no TXT record")

        with pytest.raises(NotVisible), solver.presenting([challenge("example.com")]):
            raise unseen
        assert [] == pauses
        for _ in range(2):
            with solver.presenting([challenge("example.com")]):
                pass

        assert [4.0, 3.6] == pauses

    def test_another_failure_does_not_change_the_extra_wait(
        self, solver: Dns01Solver, connection: Redis
    ) -> None:
        """
        A failure that is not a failed validation does not change the extra wait.
        """
        with pytest.raises(ProviderFailed), solver.presenting([challenge("example.com")]):
            raise FAILED

        assert 0 == ProviderState(connection, clock=lambda: datetime.now(UTC)).extra_wait_seconds("recorder")


class TestRateLimits:
    def test_a_rate_limit_of_the_provider_stops_all_workers(
        self, net: Net, connection: Redis, tmp_path: Path, provider: Recorder, solver: Dns01Solver
    ) -> None:
        """
        No worker sends a request until the rate limit resets.
        """
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=10)
        limited = ProviderRateLimited(provider="recorder", moment="later", until=until)
        provider.before = fail("present", limited)
        with pytest.raises(ProviderRateLimited), solver.presenting([challenge("example.com")]):
            pytest.fail("the block ran")
        provider.before = lambda *_: None

        another = solver_with(net, connection, tmp_path, provider)
        with pytest.raises(ProviderRateLimited) as caught, another.presenting([challenge("b.example.com")]):
            pytest.fail("the block ran")

        assert until == caught.value.until
        assert ([], []) == (provider.created, provider.deleted)


class TestLeftovers:
    def test_a_record_that_cannot_be_deleted_is_logged_and_deleted_later(
        self,
        net: Net,
        solver: Dns01Solver,
        provider: Recorder,
        connection: Redis,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        The order succeeds, the log names the record, and a later pass deletes it.
        """
        provider.before = fail("withdraw", FAILED)
        with solver.presenting([challenge("example.com")]):
            pass

        (line,) = [line for line in caplog.records if line.levelno == logging.WARNING]
        assert "dns01.left_behind" == line.__dict__["code"]
        assert f"of {OWNER} in the zone example.com was not deleted" in line.message
        assert 1 == listed(connection, tmp_path)

        provider.before = lambda *_: None
        sweep(solver, connection, tmp_path)

        assert 0 == listed(connection, tmp_path)
        assert set() == net.example.txt(OWNER)

    def test_failed_deletions_are_retried_after_growing_pauses(
        self,
        solver: Dns01Solver,
        provider: Recorder,
        connection: Redis,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        The pauses between failed deletions grow, and the log has one line a day.
        """
        provider.before = fail("withdraw", FAILED)
        with solver.presenting([challenge("example.com")]):
            pass
        record = provider.created[0]
        records = TxtRecords(connection, tmp_path / "dns01", clock=lambda: datetime.now(UTC))
        delays = []
        for _ in range(3):
            sweep(solver, connection, tmp_path)
            entry = records.get(record)
            assert entry
            assert entry.again
            delays.append(round((entry.again - datetime.now(UTC)) / timedelta(minutes=1)))
            solver.remove_leftovers()
            assert entry == records.get(record)

        assert [1, 2, 4] == delays
        assert 1 == len([line for line in caplog.records if line.levelno == logging.WARNING])
        provider.real.withdraw(record)

    def test_records_of_a_running_order_are_not_deleted(
        self, net: Net, solver: Dns01Solver, connection: Redis, tmp_path: Path, provider: Recorder
    ) -> None:
        """
        The records of a running order are not deleted, because its lease is renewed.
        """
        another = solver_with(net, connection, tmp_path, provider)

        with solver.presenting([challenge("example.com")]):
            age(connection, tmp_path)
            another.remove_leftovers()
            assert {challenge("example.com").value} == net.example.txt(OWNER)

        assert [1, 1] == [len(provider.created), len(provider.deleted)]

    def test_a_leftover_that_a_new_order_needs_is_not_deleted(
        self, net: Net, solver: Dns01Solver, connection: Redis, tmp_path: Path, provider: Recorder
    ) -> None:
        """
        A leftover that a new order needs is not deleted. The CA may repeat a challenge after a crash.
        """
        provider.before = fail("withdraw", FAILED)
        with solver.presenting([challenge("example.com")]):
            pass
        provider.before = lambda *_: None
        (old,) = TxtRecords(connection, tmp_path / "dns01", clock=lambda: datetime.now(UTC)).all().values()

        with solver.presenting([challenge("example.com")]):
            solver._leftovers.delete(old)
            assert {challenge("example.com").value} == net.example.txt(OWNER)

    def test_a_record_that_no_longer_exists_leaves_the_list(
        self, net: Net, solver: Dns01Solver, provider: Recorder, connection: Redis, tmp_path: Path
    ) -> None:
        """
        A record that the operator deleted leaves the list, even without its provider.
        """
        provider.before = fail("withdraw", FAILED)
        with solver.presenting([challenge("example.com")]):
            pass
        (record,) = provider.created
        without = solver_of(connection, tmp_path / "dns01", net.network.resolver.address, {})

        age(connection, tmp_path, timedelta(hours=1))
        without.remove_leftovers()
        assert 1 == listed(connection, tmp_path)

        provider.real.withdraw(record)
        age(connection, tmp_path, timedelta(hours=1))
        without.remove_leftovers()
        assert 1 == listed(connection, tmp_path), "the servers are not queried again within an hour"
        solver_of(connection, tmp_path / "dns01", net.network.resolver.address, {}).remove_leftovers()
        assert 0 == listed(connection, tmp_path)


class TestCrashes:
    @pytest.mark.parametrize("step", STEPS)
    def test_a_killed_worker_leaves_no_record(
        self, net: Net, redis_server: RedisServer, connection: Redis, tmp_path: Path, step: str
    ) -> None:
        """
        Another worker deletes the records of a killed worker after the lease of the order.
        """
        owner = f"_acme-challenge.{step}.example.com"
        change(net.example, "example.com", owner, OTHERS)
        killed = run(net, redis_server, tmp_path, step, f"{step}.example.com")
        assert -9 == killed.wait(60)
        assert 1 == listed(connection, tmp_path)

        solver = solver_with(net, connection, tmp_path, provider_of(net.example.address))
        wait_until(
            lambda: connection.keys(f"{LOCKS}*") == [] or None, lambda: "the lease of the killed worker lasts"
        )
        sweep(solver, connection, tmp_path)

        assert {OTHERS} == net.example.txt(owner)
        assert 0 == listed(connection, tmp_path)

    def test_fifty_wildcards_of_two_workers_lose_no_value(
        self, net: Net, redis_server: RedisServer, connection: Redis, tmp_path: Path
    ) -> None:
        """
        Two workers lose no value, although the provider replaces all values of the shared name.
        """
        change(net.far, "far.net", HUB, OTHERS)
        names = [f"t{number}.example.com" for number in range(50)]
        workers = [run(net, redis_server, tmp_path, "", *names[start::2], server=net.far) for start in (0, 1)]

        assert ["25\n", "25\n"] == [worker.communicate(timeout=300)[0] for worker in workers]
        assert {OTHERS} == net.far.txt(HUB)
        assert 0 == listed(connection, tmp_path)


def run(
    net: Net, redis: RedisServer, tmp_path: Path, last_step: str, *names: str, server: Bind | None = None
) -> subprocess.Popen[str]:
    """
    Start a worker that presents the challenges of *names*.
    """
    arguments = arguments_of(
        redis.url, tmp_path / "dns01", net.network.resolver.address, server or net.example
    )
    command = [sys.executable, "-m", "tests.dns01.worker", arguments, last_step, *names]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def age(connection: Redis, tmp_path: Path, by: timedelta = timedelta(minutes=5)) -> None:
    """
    Make all records in the list older, and their deletion due.
    """
    at = datetime.now(UTC) - by
    records = TxtRecords(connection, tmp_path / "dns01", clock=lambda: at)
    for entry in records.all().values():
        records.add([entry.record], order=entry.order, provider=entry.provider)
        for _ in range(entry.failures):
            current = records.get(entry.record)
            assert current
            records.postpone(current, at)


def sweep(solver: Dns01Solver, connection: Redis, tmp_path: Path) -> None:
    """
    Delete the leftovers as if they were old enough.
    """
    age(connection, tmp_path)
    solver.remove_leftovers()
