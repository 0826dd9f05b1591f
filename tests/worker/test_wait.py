"""
Tests of the wait for the end of a request.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from redis import Redis

from certworker.state.domain_records import RECORDS
from certworker.worker.producer import request_certificate
from certworker.worker.wait import NOT_ENDED, POLLING_SHARE, JobOutcome, wait_for
from tests.worker.sample_tasks import push, worker_thread

NAMES = ("a.example.org",)


class TestFollow:
    def test_an_issued_request_has_its_outcome(self, connection: Redis) -> None:
        """
        The outcome of an issued request is `issued`.
        """
        job_id = request_certificate(NAMES, connection=connection)

        with worker_thread(connection):
            assert [JobOutcome("issued", "issued")] == wait_for(
                connection, [(job_id, NAMES)], timeout_seconds=10
            )

    def test_a_failed_request_has_its_message(self, connection: Redis) -> None:
        """
        The outcome of a failed request has the code and the whole message.
        """
        push(connection, "job", "sample.fail", status="queued")

        with worker_thread(connection):
            (ended,) = wait_for(connection, [("job", NAMES)], timeout_seconds=10)

        assert not ended.ok
        assert ("failed", "fs.full") == (ended.state, ended.code)
        assert ended.text.startswith("[fs.full] The disk of")

    def test_a_wait_without_a_worker_ends(self, connection: Redis) -> None:
        """
        Without a worker, the wait ends at its timeout, and the outcome names the command that shows the
        state.
        """
        job_id = request_certificate(NAMES, connection=connection)

        (ended,) = wait_for(connection, [(job_id, NAMES)], timeout_seconds=0.3)

        assert not ended.ok
        assert ended.text.endswith("certworker status a.example.org")

    def test_the_outcome_of_an_earlier_request_does_not_count(self, connection: Redis) -> None:
        """
        A repeated request does not return the outcome of the earlier one.
        """
        job_id = request_certificate(NAMES, connection=connection)
        with worker_thread(connection):
            wait_for(connection, [(job_id, NAMES)], timeout_seconds=10)

        request_certificate(NAMES, connection=connection)

        (ended,) = wait_for(connection, [(job_id, NAMES)], timeout_seconds=0.3)
        assert not ended.ok

    def test_the_timeout_is_that_of_all_jobs_together(self, connection: Redis) -> None:
        """
        The timeout of a wait does not grow with the number of jobs.
        """
        last = (request_certificate("d.org", connection=connection), ("d.org",))
        with worker_thread(connection):
            wait_for(connection, [last], timeout_seconds=10)
        waiting = [(request_certificate(name, connection=connection), (name,)) for name in ("a.org", "b.org")]
        seconds, pauses = count(step=20), list[float]()
        ended = wait_for(
            connection,
            [*waiting, last],
            timeout_seconds=45,
            clock=lambda: next(seconds),
            sleep=pauses.append,
        )

        # Each round takes 20 seconds in this test, so two rounds exceed the timeout.
        late = "not ended after 45 s; see its state: certworker status"
        assert [
            JobOutcome(NOT_ENDED, f"{late} a.org"),
            JobOutcome(NOT_ENDED, f"{late} b.org"),
            JobOutcome("issued", "issued"),
        ] == ended
        assert 160 > next(seconds)
        # Polls take a fifth of the time.
        assert {20 / POLLING_SHARE} == set(pauses)

    def test_each_outcome_is_reported_as_soon_as_it_is_known(self, connection: Any) -> None:
        """
        An ended job behind a waiting one is reported immediately. An expired job has the outcome of its
        record.
        """
        first = (request_certificate("a.org", connection=connection), ("a.org",))
        with worker_thread(connection):
            wait_for(connection, [first], timeout_seconds=10)
        never = (request_certificate("b.org", connection=connection), ("b.org",))
        issued, failed_job = ("job-1", ("c.org",)), ("job-2", ("d.org",))
        updated = {"updated": "2026-01-01T00:00:00Z"}
        connection.hset(RECORDS + "c.org", mapping={"state": "issued", **updated})
        failed = {"state": "failed", "code": "dns.no_record", "message": "m.", "remedy": "r.", **updated}
        connection.hset(RECORDS + "d.org", mapping=failed)
        reported: list[JobOutcome] = []

        wait_for(connection, [never, first, issued, failed_job], timeout_seconds=0.3, report=reported.append)

        failure = JobOutcome("failed", "[dns.no_record] m. r.")
        assert [JobOutcome("issued", "issued"), JobOutcome("issued", "issued"), failure] == reported
        assert "dns.no_record" == failure.code

    def test_a_poll_reads_each_job_with_one_command(self, connection: Redis) -> None:
        """
        A poll of 3,000 jobs sends one command for each job, and few others.
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
