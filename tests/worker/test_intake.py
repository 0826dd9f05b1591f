"""
Test how a worker takes jobs from the queue.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis
from rq import Queue
from rq.suspension import suspend

from bench.round_trips import counted
from certworker.errors.worker import BadJob
from certworker.worker.intake import Intake
from certworker.worker.job_class import job_class_for
from certworker.worker.producer import QUEUE, QUEUE_KEY
from tests.worker.sample_tasks import eventually, push, sample_functions

INTERMEDIATE = f"{QUEUE_KEY}:intermediate"


@pytest.fixture
def intake(connection: Redis) -> Intake:
    """
    Return the intake of an empty queue.
    """
    intake = Intake(Queue(QUEUE, connection=connection))
    intake.take()  # loads the script
    return intake


class TestIntake:
    def test_a_job_is_taken_and_read_in_one_round_trip(self, connection: Redis, intake: Intake) -> None:
        """
        One round trip takes an id, counts the jobs that are left and reads the job.
        """
        push(connection, "first")
        push(connection, "second")
        with counted() as trips:
            taken = intake.take()

        assert (1, 1, b"first", False) == (len(trips), taken.left, taken.raw_id, taken.is_suspended)
        job = job_class_for(sample_functions(connection)).find(b"first", connection, taken.found)
        assert ("certworker.issue", None) == (job.func_name, job.failure)
        assert [b"first"] == connection.lrange(INTERMEDIATE, 0, -1)

    def test_no_job_is_taken_while_suspended(self, connection: Redis, intake: Intake) -> None:
        """
        While the workers are suspended, jobs stay on the queue.
        """
        push(connection, "job")
        suspend(connection)
        taken = intake.take()

        assert (True, 1, None) == (taken.is_suspended, taken.left, taken.raw_id)
        assert not connection.exists(INTERMEDIATE)

    def test_a_job_that_arrives_is_read(self, connection: Redis, intake: Intake) -> None:
        """
        A worker that waits gets the next job with its fields, in one round trip. Without a job, it gets none.
        """
        push(connection, "job")
        with counted() as trips:
            taken = intake.wait(0.01)

        assert taken is not None
        assert (b"job", 0, True) == (taken.raw_id, taken.left, bool(taken.found))
        assert 1 == len(trips)
        assert intake.wait(0.01) is None

    def test_a_job_is_read_although_redis_has_lost_the_script(
        self, connection: Redis, intake: Intake
    ) -> None:
        """
        A restarted Redis does not know the script. The worker then reads the job by its id.
        """
        connection.script_flush()
        push(connection, "job")
        taken = intake.wait(0.01)

        assert taken is not None
        assert (b"job", True) == (taken.raw_id, bool(taken.found))

    @pytest.mark.usefixtures("intake")
    def test_a_worker_reads_its_own_job_while_others_take_jobs(self, connection: Redis) -> None:
        """
        Two workers get jobs at the same moment, each with the fields of its own job.
        """
        for job_id in ("one", "two"):
            push(connection, job_id, "certworker.issue", f"{job_id}.localhost")
        connection.delete(QUEUE_KEY)
        workers = [Intake(Queue(QUEUE, connection=connection)) for _ in range(2)]
        with ThreadPoolExecutor(2) as threads:
            waiting = [threads.submit(worker.wait, 4) for worker in workers]
            assert eventually(lambda: connection.info("clients")["blocked_clients"] >= 2)
            # Redis gives both jobs to the workers before it runs another command.
            connection.rpush(QUEUE_KEY, "one", "two")
            taken = [each.result() for each in waiting]

        find = job_class_for(sample_functions(connection)).find
        jobs = [find(each.raw_id, connection, each.found) for each in taken if each and each.raw_id]
        assert {"one": ["one.localhost"], "two": ["two.localhost"]} == {job.id: job.args for job in jobs}

    def test_an_empty_id_is_an_id(self, connection: Redis, intake: Intake) -> None:
        """
        An empty id of another program is read like any other. The next job stays on the queue.
        """
        connection.rpush(QUEUE_KEY, "")
        push(connection, "job")
        taken = intake.wait(0.01)

        assert taken is not None
        assert (b"", 1) == (taken.raw_id, taken.left)

    @pytest.mark.parametrize("plant", ["nothing", "string"])
    def test_an_id_without_a_job_is_reported(self, connection: Redis, intake: Intake, plant: str) -> None:
        """
        An id whose job is missing, or is not a hash, has no fields.
        """
        connection.rpush(QUEUE_KEY, "lost")
        if plant == "string":
            connection.set("rq:job:lost", "x")
        taken = intake.take()

        assert taken.raw_id == b"lost"
        with pytest.raises(BadJob):
            job_class_for({}).find(b"lost", connection, taken.found)
