"""
Tests of the loops of a host: two workers with separate volumes, and a mirror.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from threading import Event, Thread

import pytest
from redis import Redis

from certworker.replication.membership import REPORTS_SECONDS, Host, Membership
from certworker.replication.nodes import FRESH, Nodes
from certworker.replication.sealing import ReplicationKeys
from certworker.replication.stream import BundleStream
from certworker.traefik.config import TraefikConfig
from tests.replication.hosts import KEY, Mirror, Origin
from tests.servers.worker import wait_until


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """
    Stop all loops after the test.
    """
    with ExitStack() as opened:
        yield opened


def leaps() -> Callable[[], float]:
    """
    Return a clock on which the wait of a new volume ends soon.
    """
    return map(float, count(step=int(REPORTS_SECONDS))).__next__


def member(origin: Origin, stack: ExitStack, clock: Callable[[], float] | None = None) -> Membership:
    """
    Return the membership of the worker *origin*, which is stopped after the test.
    """
    traefik = TraefikConfig(origin.directory / "config")
    traefik.directory.mkdir(parents=True)
    host = Host(
        origin.connection,
        origin.store,
        traefik,
        lambda _outcome: None,
        lambda _names: None,
        lambda _name: None,
    )
    membership = Membership(host, ReplicationKeys([KEY]), origin.directory / "accounts", clock or leaps())
    stack.callback(membership.stop)
    return membership


def test_a_second_worker_has_everything_before_its_first_job(
    tmp_path: Path, origin: Origin, stack: ExitStack
) -> None:
    """
    A worker on a new host gets the certificates and the accounts of the others, although the stream is lost.
    """
    account = origin.directory / "accounts" / "ca" / "key.pem"
    account.parent.mkdir(parents=True)
    stored = origin.issue("a.org", token=1)
    account.write_bytes(stored.certificate.key.pem)
    origin.connection.flushall()
    first = member(origin, stack)
    first.catch_up(Event())
    first.start()
    nodes = Nodes(origin.connection)
    wait_until(lambda: nodes.others("0" * 16) or None, lambda: str(nodes.all()))
    origin.connection.delete("certworker:published")

    other = Origin(tmp_path / "other", origin.connection)
    member(other, stack).catch_up(Event())

    assert ["a.org"] == list(other.store.names())
    assert account.read_bytes() == (tmp_path / "other" / "accounts" / "ca" / "key.pem").read_bytes()


def test_a_new_volume_waits_for_the_report_of_another_host(
    tmp_path: Path, origin: Origin, stack: ExitStack
) -> None:
    """
    After a loss of Redis, a worker on a new host is not complete before the others have reported again.
    """
    origin.issue("a.org", token=7)
    origin.connection.flushall()
    first, other = member(origin, stack), Origin(tmp_path / "other", origin.connection)
    waited, now = list[float](), 0.0

    def clock() -> float:
        waited.append(now)
        if len(waited) == 3:
            first.catch_up(Event())
            first.start()
        return now

    second = member(other, stack, clock)
    second.catch_up(Event())

    assert ["a.org"] == list(other.store.names())
    assert 7 == other.store.links.highest_token()


def test_a_first_worker_is_complete_after_a_wait(origin: Origin, stack: ExitStack) -> None:
    """
    A worker that is alone is complete once the others have had time to report; with names, immediately.
    """
    now, nodes = 0.0, Nodes(origin.connection)
    alone, stop = member(origin, stack, lambda: now), Event()
    waiting = Thread(target=alone.catch_up, args=(stop,))
    waiting.start()
    stop.set()
    waiting.join()
    alone.start()
    wait_until(lambda: nodes.all() or None, lambda: "no report")
    assert [False] == [node.is_complete for node in nodes.all()]

    now = REPORTS_SECONDS

    wait_until(lambda: nodes.others("0" * 16) or None, lambda: str(nodes.all()))


@pytest.mark.parametrize("days", [-1, 1])
def test_the_clocks_of_the_hosts_do_not_matter(
    tmp_path: Path, origin: Origin, stack: ExitStack, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """
    A new host, whose clock differs from that of Redis, finds the other worker and gets its certificates.
    """
    read_time = origin.connection.time

    def shifted() -> tuple[int, int]:
        seconds, microseconds = read_time()
        return seconds + days * 86_400, microseconds

    monkeypatch.setattr(origin.connection, "time", shifted)
    stored = origin.issue("a.org", token=1)
    first = member(origin, stack)
    first.catch_up(Event())
    first.start()
    nodes = Nodes(origin.connection)
    wait_until(lambda: nodes.others("0" * 16) or None, lambda: str(nodes.all()))
    assert FRESH > abs(datetime.now(UTC) + timedelta(days=days) - nodes.all()[0].seen)
    origin.connection.delete("certworker:published")

    mirror = Mirror(tmp_path / "other", origin.connection)
    assert mirror.compare(is_answered=bool(nodes.others("0" * 16)))
    assert mirror.serves("a.org", stored)
    first.stop()
    assert [] == nodes.others("0" * 16)


def test_a_job_waits_for_the_certificates_of_other_hosts(
    tmp_path: Path, origin: Origin, stack: ExitStack
) -> None:
    """
    After a worker has locked a name, its volume has what other workers published for the name before.
    """
    other = Origin(tmp_path / "other", origin.connection)
    membership = member(other, stack)
    membership.catch_up(Event())
    membership.start()
    for token in range(1, 6):
        stored = origin.issue("a.org", token=token)
        membership.wait_until_current()

        found = other.store.current("a.org")
        assert found is not None
        assert stored.metadata == found.metadata


def test_a_lost_stream_is_noticed(
    tmp_path: Path, origin: Origin, stack: ExitStack, connection: Redis
) -> None:
    """
    After Redis was emptied, a comparison finds what the stream had.
    """
    first = member(origin, stack)
    first.catch_up(Event())
    first.start()
    other = Origin(tmp_path / "other", origin.connection)
    second = member(other, stack)
    nodes = Nodes(connection)
    wait_until(lambda: nodes.others("0" * 16) or None, lambda: str(nodes.all()))
    second.catch_up(Event())
    second.start()
    origin.issue("a.org", token=1)
    end = BundleStream(connection).end()
    wait_until(lambda: second.follower.position == end or None, lambda: "the name did not arrive")
    second.follower.loop.stop()
    origin.issue("b.org", token=2)
    connection.delete("certworker:published")

    second.follower.step()

    wait_until(lambda: ["a.org", "b.org"] == list(other.store.names()) or None, lambda: "no comparison")


def test_a_host_with_a_gap_does_not_answer(
    origin: Origin, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A worker that has missed entries is not complete before its next comparison, and reports that immediately.
    """
    worker, nodes = member(origin, stack), Nodes(origin.connection)
    (reporting,) = (loop for loop in worker.loops if loop.heartbeat.name == "node")
    worker.catch_up(Event())
    origin.issue("a.org", token=1)
    worker.follower.step()
    origin.connection.delete("certworker:published")
    woken: list[bool] = []
    monkeypatch.setattr(reporting, "wake", lambda: woken.append(True))
    worker.follower.step()
    assert woken
    reporting.start()

    wait_until(lambda: nodes.all() or None, lambda: "no report")
    assert [False] == [node.is_complete for node in nodes.all()]


def test_a_failure_of_redis_does_not_end_the_start(
    tmp_path: Path, origin: Origin, stack: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    """
    A worker starts although Redis is full. It is not complete before a later comparison.
    """
    origin.issue("a.org", token=1)
    first = member(origin, stack)
    first.catch_up(Event())
    first.start()
    nodes = Nodes(origin.connection)
    wait_until(lambda: nodes.others("0" * 16) or None, lambda: str(nodes.all()))
    other = Origin(tmp_path / "other", origin.connection)
    second = member(other, stack)
    origin.connection.config_set("maxmemory", "1")
    try:
        second.catch_up(Event())
    finally:
        origin.connection.config_set("maxmemory", "0")
    assert "redis.oom" in {getattr(record, "code", "") for record in caplog.records}
    assert [] == list(other.store.names())

    second.start()

    wait_until(lambda: 2 == len(nodes.others("0" * 16)) or None, lambda: str(nodes.all()))
    assert ["a.org"] == list(other.store.names())


def test_a_mirror_ignores_accounts(origin: Origin, mirror: Mirror, stack: ExitStack) -> None:
    """
    A mirror stores no account key, although the stream has one.
    """
    account = origin.directory / "accounts" / "ca" / "key.pem"
    account.parent.mkdir(parents=True)
    account.write_bytes(origin.signer.certificate("x.org").key.pem)
    membership = member(origin, stack)
    membership.start()
    wait_until(lambda: mirror.connection.xlen("certworker:published") or None, lambda: "nothing is published")

    assert [] == mirror.follow()
    assert [] == list(mirror.directory.rglob("key.pem"))


def test_a_comparison_is_reported_immediately(
    tmp_path: Path, origin: Origin, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A host reports its names again immediately after a comparison.
    """
    first, nodes = member(origin, stack), Nodes(origin.connection)
    first.catch_up(Event())
    first.start()
    wait_until(lambda: nodes.others("0" * 16) or None, lambda: str(nodes.all()))
    other = Origin(tmp_path / "other", origin.connection)
    second = member(other, stack)
    loops = {loop.heartbeat.name: loop for loop in second.loops}
    second.catch_up(Event())
    reports: list[int] = []
    monkeypatch.setattr(loops["node"], "wake", lambda: reports.append(other.store.links.count()))
    # Without its follower, the host gets the name from the comparison.
    origin.issue("a.org", token=1)
    loops["comparison"].start()

    wait_until(lambda: reports or None, lambda: "the comparison woke no report")
    assert [1] == reports
