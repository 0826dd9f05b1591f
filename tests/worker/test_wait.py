"""
Following a request to its end.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from redis import Redis

from certworker.state.domain_records import RECORDS
from certworker.worker.producer import request_certificate
from certworker.worker.wait import NOT_ENDED, JobOutcome, wait_for
from tests.worker.sample_tasks import push, worker_thread

NAMES = ("a.example.org",)


class TestFollow:
    def test_a_request_that_ends_well(self, connection: Redis) -> None:
        """
        The outcome is one word, which decides the exit code.
        """
        job_id = request_certificate(NAMES, connection=connection)

        with worker_thread(connection):
            assert [JobOutcome("issued", "issued")] == wait_for(
                connection, [(job_id, NAMES)], timeout_seconds=10
            )

    def test_a_request_that_fails(self, connection: Redis) -> None:
        """
        The outcome has the whole message with its remedy.
        """
        push(connection, "job", "sample.fail", status="queued")

        with worker_thread(connection):
            (ended,) = wait_for(connection, [("job", NAMES)], timeout_seconds=10)

        assert not ended.ok
        assert ("failed", "fs.full") == (ended.state, ended.code)
        assert ended.text.startswith("[fs.full] The disk of")

    def test_a_request_that_no_worker_takes(self, connection: Redis) -> None:
        """
        Without a worker the wait ends and names the command for the state.
        """
        job_id = request_certificate(NAMES, connection=connection)

        (ended,) = wait_for(connection, [(job_id, NAMES)], timeout_seconds=0.3)

        assert not ended.ok
        assert ended.text.endswith("certworker status a.example.org")

    def test_the_end_of_an_earlier_request_is_not_that_of_this_one(self, connection: Redis) -> None:
        """
        A request after a failure does not return the earlier failure.
        """
        job_id = request_certificate(NAMES, connection=connection)
        with worker_thread(connection):
            wait_for(connection, [(job_id, NAMES)], timeout_seconds=10)

        request_certificate(NAMES, connection=connection)

        (ended,) = wait_for(connection, [(job_id, NAMES)], timeout_seconds=0.3)
        assert not ended.ok

    def test_the_time_is_that_of_all_jobs_together(self, connection: Redis) -> None:
        """
        Without a worker the wait for a hundred names takes as long as for one.
        """
        last = (request_certificate("d.org", connection=connection), ("d.org",))
        with worker_thread(connection):
            wait_for(connection, [last], timeout_seconds=10)
        waiting = [(request_certificate(name, connection=connection), (name,)) for name in ("a.org", "b.org")]
        seconds = count(step=20)
        ended = wait_for(connection, [*waiting, last], timeout_seconds=45, clock=lambda: next(seconds))

        # Each round takes 20 seconds here: two rounds use up the time.
        late = "not ended after 45 s; see its state: certworker status"
        assert [
            JobOutcome(NOT_ENDED, f"{late} a.org"),
            JobOutcome(NOT_ENDED, f"{late} b.org"),
            JobOutcome("issued", "issued"),
        ] == ended
        assert 160 > next(seconds)

    def test_each_end_is_reported_as_soon_as_it_is_known(self, connection: Any) -> None:
        """
        A job behind a waiting one is reported at once; an expired job has the outcome of its record.
        """
        first = (request_certificate("a.org", connection=connection), ("a.org",))
        with worker_thread(connection):
            wait_for(connection, [first], timeout_seconds=10)
        never = (request_certificate("b.org", connection=connection), ("b.org",))
        forgotten, gone = ("job-1", ("c.org",)), ("job-2", ("d.org",))
        updated = {"updated": "2026-01-01T00:00:00Z"}
        connection.hset(RECORDS + "c.org", mapping={"state": "issued", **updated})
        failed = {"state": "failed", "code": "dns.no_record", "message": "m.", "remedy": "r.", **updated}
        connection.hset(RECORDS + "d.org", mapping=failed)
        reported: list[JobOutcome] = []

        wait_for(connection, [never, first, forgotten, gone], timeout_seconds=0.3, report=reported.append)

        failure = JobOutcome("failed", "[dns.no_record] m. r.")
        assert [JobOutcome("issued", "issued"), JobOutcome("issued", "issued"), failure] == reported
        assert "dns.no_record" == failure.code

    def test_thousands_of_jobs_are_asked_for_together(self, connection: Redis) -> None:
        """
        A poll of 3,000 jobs takes a few commands.
        """
        jobs = [(f"job-{number}", (f"shop{number}.org",)) for number in range(3_000)]
        with connection.pipeline() as pipe:
            for job_id, _ in jobs:
                pipe.hset(f"rq:job:{job_id}", "status", "queued")
            pipe.execute()
        before = commands(connection)

        ended = wait_for(connection, jobs, timeout_seconds=0)

        assert {NOT_ENDED} == {end.state for end in ended}
        assert commands(connection) - before < 3_100


def commands(connection: Redis) -> int:
    """
    Return how many commands Redis has processed.
    """
    return int(connection.info("stats")["total_commands_processed"])
