"""
Tests that a worker with a wrong clock leaves the jobs to others, and takes them again.
"""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest
from redis import Redis

from certworker.errors.ca import CaUnreachable
from certworker.supervision import Heartbeats
from certworker.worker.clock_watch import ClockWatch, is_wrong
from certworker.worker.health import REPORTS, Health
from certworker.worker.producer import queue_length, request_certificate
from tests.acme.clients import client_of
from tests.servers.faulty_authority import FaultyAuthority
from tests.worker.sample_tasks import end_of, eventually, worker_thread


class Machine:
    """
    A worker whose clock is ahead by *ahead*.
    """

    def __init__(self, authority: FaultyAuthority, directory: Path, connection: Redis) -> None:
        self.ahead = timedelta()
        self.connection = connection
        self.client = client_of(
            authority.directory_url, directory, clock=lambda: datetime.now(UTC) + self.ahead
        )
        self.retries: list[timedelta] = []
        self.watch = ClockWatch(self.client, connection, self.retries.append)

    def leaves_jobs(self, ahead: timedelta) -> bool:
        """
        Return whether the worker leaves jobs to others after its next check, with its clock *ahead*.
        """
        self.ahead = ahead
        self.watch.step()
        return self.watch.leaves_jobs()

    def report(self, worker: str, *, pid: int, healthy: bool = True, clock: bool | None = True) -> None:
        """
        Write the report of *worker* on this host.
        """
        report = {"host": socket.gethostname(), "pid": pid, "healthy": healthy, "clock": clock}
        self.connection.sadd(REPORTS, worker)
        self.connection.set(f"{REPORTS}:{worker}", json.dumps(report | {"scheduler": True, "stalled": []}))


@pytest.fixture
def machine(app_authority: FaultyAuthority, tmp_path: Path, connection: Redis) -> Machine:
    """
    Return a worker that is alone.
    """
    return Machine(app_authority, tmp_path / "state", connection)


RIGHT, HOUR, DAY = timedelta(), timedelta(hours=1), timedelta(days=1)
OTHER = os.getpid() + 1


@pytest.mark.parametrize("ahead", [DAY, -DAY])
def test_a_worker_leaves_jobs_while_its_clock_is_wrong(
    machine: Machine, ahead: timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Another worker has a correct clock. The beginning and the end are one log line each.
    """
    caplog.set_level("INFO")
    machine.report("other", pid=OTHER)

    assert not machine.leaves_jobs(RIGHT)
    # Another process starts after a change of the clock.
    machine.watch = ClockWatch(machine.client, machine.connection, machine.retries.append)
    assert [True, True] == [machine.leaves_jobs(ahead) for _ in range(2)]
    assert machine.watch.is_right() is False
    assert not machine.leaves_jobs(RIGHT)
    assert machine.watch.is_right()
    assert [-ahead, RIGHT] == [timedelta(hours=round(each / HOUR)) for each in machine.retries]

    first, second = caplog.messages
    assert "[clock.skew] the clock of this server is wrong, so this worker leaves the jobs" in first
    assert "timedatectl set-ntp true" in first
    assert "this worker takes jobs again: its clock is correct" == second


def test_a_worker_leaves_jobs_also_during_the_check(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A slow response of the CA does not give a job to a worker with a wrong clock.
    """
    machine.report("other", pid=OTHER)
    assert machine.leaves_jobs(DAY)
    seen = list[bool]()
    measure = machine.client.measure_clock

    def measured() -> timedelta | None:
        seen.append(machine.watch.leaves_jobs())
        return measure()

    monkeypatch.setattr(machine.client, "measure_clock", measured)
    assert machine.leaves_jobs(DAY)

    assert [True] == seen


@pytest.mark.parametrize(
    "other",
    [
        {"pid": OTHER, "clock": False},
        {"pid": OTHER, "clock": None},
        {"pid": OTHER, "healthy": False},
        # The report of this worker, from the time when its clock was correct.
        {"pid": os.getpid()},
    ],
)
def test_without_a_better_worker_it_takes_jobs(machine: Machine, other: dict[str, int | bool | None]) -> None:
    """
    No job waits for a worker that is unhealthy, or whose clock is wrong or unknown, too.
    """
    assert not machine.leaves_jobs(DAY)
    machine.report("other", **other)  # type: ignore[arg-type] # the values have the types of the parameters

    assert not machine.leaves_jobs(DAY)


def test_it_takes_jobs_after_the_end_of_the_other_worker(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The report of a killed worker expires. Then the worker with the wrong clock is the only one.
    """
    caplog.set_level("INFO")
    machine.report("other", pid=OTHER)
    assert machine.leaves_jobs(DAY)
    machine.connection.delete(f"{REPORTS}:other")

    assert not machine.leaves_jobs(DAY)
    assert "this worker takes jobs again: no worker with a correct clock is running" in caplog.text


def test_an_unreachable_ca_changes_nothing(machine: Machine, app_authority: FaultyAuthority) -> None:
    """
    Without a response, the clock is unknown, or as it was at the last response.
    """
    machine.report("other", pid=OTHER)
    app_authority.stop()
    assert not machine.leaves_jobs(DAY)
    assert machine.watch.is_right() is None
    app_authority.start()

    assert machine.leaves_jobs(DAY)
    app_authority.stop()
    assert machine.leaves_jobs(RIGHT)
    with pytest.raises(CaUnreachable):
        machine.client.measure_clock()


def test_a_right_clock_needs_one_request(machine: Machine, app_authority: FaultyAuthority) -> None:
    """
    While the clock is correct, the responses to orders are sufficient.
    """
    for _ in range(3):
        machine.leaves_jobs(RIGHT)

    assert ["directory"] == [each.kind for each in app_authority.requests]


def test_the_report_of_a_worker_has_its_clock(connection: Redis, machine: Machine) -> None:
    """
    The report tells other workers whether the clock is correct.
    """
    machine.watch.step()
    Health(connection, Heartbeats(), lambda: True, clock=machine.watch.is_right)._step()
    (worker,) = (each.decode() for each in connection.smembers(REPORTS))  # type: ignore[union-attr]

    assert json.loads(connection.get(f"{REPORTS}:{worker}") or "{}")["clock"] is True


def test_a_job_stays_on_the_queue_while_the_worker_leaves_it(connection: Redis) -> None:
    """
    The job runs as soon as the worker takes jobs again.
    """
    polls, takes = list[bool](), Event()

    def leaves_jobs() -> bool:
        polls.append(True)
        return not takes.is_set()

    with worker_thread(connection, leaves_jobs=leaves_jobs):
        job_id = request_certificate("a.org", connection=connection)
        before = len(polls)
        assert eventually(lambda: len(polls) > before + 2)
        assert 1 == queue_length(connection)
        takes.set()

        assert "finished" == end_of(connection, job_id)[0]


@pytest.mark.parametrize(("minutes", "wrong"), [(None, False), (59, False), (-61, True), (61, True)])
def test_the_limit_is_that_of_orders(minutes: int | None, wrong: bool) -> None:
    """
    A worker leaves jobs only if its orders would fail.
    """
    assert wrong is is_wrong(None if minutes is None else timedelta(minutes=minutes))
