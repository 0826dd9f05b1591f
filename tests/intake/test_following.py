"""
Following a request to its end.
"""

from __future__ import annotations

from itertools import count

from redis import Redis

from certworker.intake.following import Ended, follow
from certworker.intake.queue import request_certificate
from tests.intake.toys import push, worker_thread

NAMES = ("a.example.org",)


class TestFollow:
    def test_a_request_that_ends_well(self, connection: Redis) -> None:
        """
        The person who waits reads one word, and the exit code follows from it.
        """
        job_id = request_certificate(NAMES, connection=connection)

        with worker_thread(connection):
            assert [Ended(True, "issued")] == follow(connection, [(job_id, NAMES)], timeout_seconds=10)

    def test_a_request_that_fails(self, connection: Redis) -> None:
        """
        The sentence of the failure comes through whole, with its remedy.
        """
        push(connection, "job", "toy.fail", status="queued")

        with worker_thread(connection):
            (ended,) = follow(connection, [("job", NAMES)], timeout_seconds=10)

        assert not ended.well
        assert ended.told.startswith("[fs.full] The disk of")

    def test_a_request_that_nobody_takes(self, connection: Redis) -> None:
        """
        Without a worker the wait ends, too, and says where to look.
        """
        job_id = request_certificate(NAMES, connection=connection)

        (ended,) = follow(connection, [(job_id, NAMES)], timeout_seconds=0.3)

        assert not ended.well
        assert ended.told.endswith("certworker status a.example.org")

    def test_the_end_of_an_earlier_request_is_not_that_of_this_one(self, connection: Redis) -> None:
        """
        Whoever asks again after a failure must not be told of the old one.
        """
        job_id = request_certificate(NAMES, connection=connection)
        with worker_thread(connection):
            follow(connection, [(job_id, NAMES)], timeout_seconds=10)

        request_certificate(NAMES, connection=connection)

        (ended,) = follow(connection, [(job_id, NAMES)], timeout_seconds=0.3)
        assert not ended.well

    def test_the_time_is_that_of_all_jobs_together(self, connection: Redis) -> None:
        """
        A hundred names that nobody serves end the wait after five minutes, not after eight hours.
        """
        last = (request_certificate("d.org", connection=connection), ("d.org",))
        with worker_thread(connection):
            follow(connection, [last], timeout_seconds=10)
        waiting = [(request_certificate(name, connection=connection), (name,)) for name in ("a.org", "b.org")]
        seconds = count(step=10)
        ended = follow(connection, [*waiting, last], timeout_seconds=45, clock=lambda: next(seconds))

        # Each look at a job takes ten seconds here: the first job uses up the time, the last one has ended.
        late = "not ended after 45 s; to see how it stands: certworker status"
        assert [Ended(False, f"{late} a.org"), Ended(False, f"{late} b.org"), Ended(True, "issued")] == ended
        assert 100 > next(seconds)
