"""
Tests of the list of workers and their jobs.
"""

from __future__ import annotations

import json
import socket
from typing import Any

from redis import Redis

from certworker.app import App
from certworker.dashboard.sources import Sources
from certworker.dashboard.workers import LONGEST_WORD, WorkerInfo, running_jobs, workers
from certworker.settings import load
from certworker.version import __version__
from tests.servers.worker import WorkerProcess, wait_until

NAME = "shop.localhost"
RUNNING = "rq:wip:certificates"


def _reported(sources: Sources) -> list[WorkerInfo] | None:
    return [each for each in workers(sources) if each.version] or None


class TestWorkers:
    def test_a_worker_process_is_listed(self, worker: WorkerProcess, connection: Redis) -> None:
        """
        A running worker has its host, its process, its version, a heartbeat and its health.
        """
        sources = Sources.of(load(worker.environment), connection)
        worker.start()
        worker.wait_for_line("ready")
        (found,) = wait_until(lambda: _reported(sources), lambda: str(workers(sources)))

        assert worker.process is not None
        assert (socket.gethostname(), worker.process.pid, __version__) == (
            found.host,
            found.pid,
            found.version,
        )
        assert found.healthy is not None
        assert found.heartbeat is not None
        assert found.started is not None
        assert found.heartbeat >= found.started
        assert "idle" == found.state or found.jobs

    def test_invalid_values_of_other_programs_do_not_matter(self, app: App, sources: Sources) -> None:
        """
        A worker with invalid values is listed with what is valid; one that has expired is not.
        """
        connection = app.connection
        connection.sadd("rq:workers:certificates", "rq:worker:odd", "rq:worker:gone", "\x00")
        connection.hset(
            "rq:worker:odd",
            mapping={"birth": "x", "pid": "9" * 50, "hostname": "h" * 9_999, "last_heartbeat": "\x1b["},
        )
        (found,) = workers(sources)

        assert ("odd", 0, "", None, None) == (
            found.name,
            found.pid,
            found.version,
            found.heartbeat,
            found.healthy,
        )
        assert LONGEST_WORD == len(found.host)


class TestRunningJobs:
    def test_a_job_has_its_names_and_its_worker(self, app: App) -> None:
        """
        A running request has its names and its worker. Other members of the registry are ignored.
        """
        connection = app.connection
        call = json.dumps(["certworker.issue", None, [], {"domains": [NAME, "b.localhost"]}])
        fields: dict[Any, Any] = {
            "data": call,
            "worker_name": "w1",
            "started_at": "2026-11-29T01:00:00.000000Z",
        }
        connection.hset("rq:job:j1", mapping=fields)
        connection.hset("rq:job:j2", mapping={"data": "x" * 70_000, "started_at": "x"})
        connection.zadd(RUNNING, {"j1:e1": 1, "j2:e2": 2, "gone:e3": 3, "\x00": 4})
        connection.set("rq:job:wrong", "x")
        connection.zadd(RUNNING, {"wrong:e4": 5})
        first, second = running_jobs(connection)

        assert ("j1", (NAME, "b.localhost"), "w1") == (first.id, first.names, first.worker)
        assert first.started is not None
        assert 2026 == first.started.year
        assert ("j2", (), None) == (second.id, second.names, second.started)
