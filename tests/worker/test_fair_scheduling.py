"""
Parking: a person never waits behind a backlog, and nothing that waits gets lost.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import cast

from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from certworker.renewal.agenda import Agenda
from certworker.state.domain_records import DomainRecords
from certworker.state.priority_queues import PRIORITY_QUEUE
from certworker.worker.bulk import INTERMEDIATE
from certworker.worker.fair_scheduling import FairScheduler
from certworker.worker.producer import QUEUE_KEY, queue_length, request_certificate
from certworker.worker.slots import Slots
from certworker.worker.wait import wait_for
from tests.servers.redis import RedisServer
from tests.worker.sample_tasks import end_of, eventually, push, worker_process, worker_thread

BACKLOG = 5_000

#: RQ's registry of the jobs that run: JOB:EXECUTION.
STARTED_KEY = "rq:wip:certificates"


def push_many(connection: Redis, names: list[str]) -> None:
    """
    Enqueue a request for each of *names* in one pipeline.
    """
    with connection.pipeline(transaction=False) as pipeline:
        for name in names:
            call = json.dumps(["certworker.issue", None, [], {"domain": name}])
            pipeline.hset(f"rq:job:{name.replace('.', '-')}", mapping={"data": call, "status": "queued"})
        pipeline.rpush(QUEUE_KEY, *(name.replace(".", "-") for name in names))
        pipeline.execute()


def issued(connection: Redis) -> list[str]:
    """
    Return the names that the worker of the test has issued, in order.
    """
    return [json.loads(note)[0] for note in connection.lrange("sample:issued", 0, -1)]


def backlog(count: int) -> list[str]:
    """
    Return names of one tenant.
    """
    return [f"shop{number}.big.localhost" for number in range(count)]


def is_shorter(connection: Redis, length: float) -> bool:
    """
    Return whether at most *length* jobs are on the queue.
    """
    return queue_length(connection) <= length


def waiting(connection: Redis) -> set[str]:
    """
    Return the names in the priority queues.
    """
    keys = [key.decode() for key in cast("list[bytes]", connection.keys(f"{PRIORITY_QUEUE}*:*"))]
    priority_queues = [key for key in keys if key.count(":") == 3]
    requests = [
        each for key in priority_queues for each in cast("list[bytes]", connection.zrange(key, 0, -1))
    ]
    return {json.loads(request)["domain"] for request in requests}


def on_the_way(connection: Redis) -> set[str]:
    """
    Return the names of jobs on the queue, in the intermediate list, or started.
    """
    started = (raw.partition(b":")[0] for raw in cast("list[bytes]", connection.zrange(STARTED_KEY, 0, -1)))
    lists = [cast("list[bytes]", connection.lrange(key, 0, -1)) for key in (QUEUE_KEY, INTERMEDIATE)]
    calls = [connection.hget(f"rq:job:{raw_id.decode()}", "data") for raw_id in chain(*lists, started)]
    return {json.loads(call or b"")[3]["domain"] for call in calls}


class TestBacklog:
    def test_a_newcomer_starts_at_once(self, connection: Redis) -> None:
        """
        Five thousand names of one tenant are on the queue before a request of another tenant.
        """
        connection.set("sample:nap", "1")
        with worker_thread(connection, slots=16):
            push_many(connection, backlog(BACKLOG))
            push_many(connection, ["www.newcomer.localhost"])
            assert eventually(lambda: "www.newcomer.localhost" in issued(connection))

            assert issued(connection).index("www.newcomer.localhost") < BACKLOG / 20
            assert eventually(lambda: len(waiting(connection) | set(issued(connection))) > BACKLOG)
            connection.delete("sample:nap")

    def test_a_newcomer_starts_at_once_beside_many_tenants(self, connection: Redis) -> None:
        """
        Each of five hundred tenants has one domain.
        """
        connection.set("sample:nap", "0.4")
        push_many(connection, [f"www.customer{number}.localhost" for number in range(500)])
        with worker_thread(connection, slots=4):
            assert eventually(lambda: len(waiting(connection)) > 400)
            time.sleep(2)
            before = len(issued(connection))
            push_many(connection, ["www.newcomer.localhost"])
            assert eventually(lambda: "www.newcomer.localhost" in issued(connection))
            connection.delete("sample:nap")

            # Four slots: the newcomer gets one of the next few that become free.
            assert issued(connection).index("www.newcomer.localhost") - before < 40

    def test_a_job_that_waits_has_ended_as_waiting(self, connection: Redis) -> None:
        """
        Its name is on the agenda and has a record, so the loss of the priority queue loses no name.
        """
        connection.set("sample:nap", "2")
        push_many(connection, backlog(10))
        with worker_thread(connection, slots=2):
            end = end_of(connection, "shop9-big-localhost")
            record = DomainRecords(connection).read("shop9.big.localhost")
            connection.delete("sample:nap")

        job = Job.fetch("shop9-big-localhost", connection, JSONSerializer)
        assert ("finished", {"state": "waiting", "names": ["shop9.big.localhost"]}) == end
        assert end[1] == job.return_value()
        assert connection.ttl("rq:job:shop9-big-localhost") > 0
        assert connection.zscore("rq:finished:certificates", "shop9-big-localhost")
        assert "shop9.big.localhost" in Agenda(connection)
        assert record
        assert ("waiting", "") == (record.state, record.code)

    def test_a_request_that_waits_does_not_postpone_a_renewal(self, connection: Redis) -> None:
        """
        Otherwise a short-lived certificate would expire after the loss of the priority queue.
        """
        names, agenda = backlog(100), Agenda(connection)
        soon = datetime.now(UTC) + timedelta(minutes=2)
        agenda.put(names[-1], soon)
        connection.set("sample:nap", "1")
        push_many(connection, names)
        with worker_thread(connection, slots=2):
            assert eventually(lambda: agenda.next_checks(names[-2:])[names[-2]])
            moments = agenda.next_checks(names[-2:])
            connection.delete("sample:nap")

        assert moments[names[-1]] == soon
        assert (moments[names[-2]] or soon) > soon

    def test_what_was_asked_for_is_kept(self, connection: Redis) -> None:
        """
        The job of a deferred request has the same flags.
        """
        connection.set("sample:nap", "0.3")
        push_many(connection, backlog(3))
        request_certificate("www.big.localhost", force=True, connection=connection)
        with worker_thread(connection, slots=2):
            assert eventually(lambda: len(issued(connection)) == 4)

        assert b'["www.big.localhost", true]' in connection.lrange("sample:issued", 0, -1)

    def test_the_tenant_is_that_of_the_job(self, connection: Redis) -> None:
        """
        The domains of a tenant count as one tenant.
        """
        connection.set("sample:nap", "0.5")
        with connection.pipeline() as pipeline:
            for number in range(20):
                asked = {"domain": f"www.shop{number}.localhost", "tenant": "project"}
                call = json.dumps(["certworker.issue", None, [], asked])
                pipeline.hset(f"rq:job:job{number}", "data", call)
                pipeline.rpush(QUEUE_KEY, f"job{number}")
            pipeline.execute()
        with worker_thread(connection, slots=4):
            assert eventually(lambda: len(waiting(connection)) > 10)
            assert len(issued(connection)) <= 3
            connection.delete("sample:nap")

    def test_what_waits_is_planned_by_the_clock_of_the_worker(self, connection: Redis) -> None:
        """
        A test of a year of renewals runs in seconds.
        """
        now = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
        slots = Slots(1)
        slots.take("big.localhost")
        push_many(connection, backlog(3))
        FairScheduler(connection, slots, private_names=True, wildcards=True, clock=lambda: now).drain_queue()
        record = DomainRecords(connection).read("shop1.big.localhost")

        assert record
        assert now == record.updated
        assert now + timedelta(minutes=15) == Agenda(connection).next_check("shop1.big.localhost")

    def test_whoever_follows_the_request_sees_its_end(self, connection: Redis) -> None:
        """
        `certworker request --wait` waits for the certificate.
        """
        records, name = DomainRecords(connection), "shop9.big.localhost"
        connection.set("sample:nap", "0.2")
        push_many(connection, backlog(9))
        job = request_certificate(name, connection=connection)
        with worker_thread(connection, slots=2):
            end_of(connection, job)
            record = records.read(name)
            (ended,) = wait_for(connection, [(job, (name,))], timeout_seconds=0.5)

        assert record
        assert "waiting" == record.state
        assert ended.text.startswith("not ended after")

    def test_jobs_that_are_no_requests_do_not_wait(self, connection: Redis) -> None:
        """
        A check of the agenda starts as soon as a slot is free, and a rejected job ends.
        """
        connection.set("sample:nap", "1")
        push_many(connection, backlog(100))
        push(connection, "look", "certworker.look")
        push(connection, "odd", "os.system", "true")
        with worker_thread(connection, slots=4):
            assert "finished" == end_of(connection, "look")[0]
            assert "failed" == end_of(connection, "odd")[0]
            connection.delete("sample:nap")


class TestDeath:
    def test_nothing_is_lost_when_a_worker_dies_while_it_clears_the_queue(
        self, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        Killed at four points of its work, it loses no name.
        """
        names = backlog(1_200)
        connection.set("sample:nap", "5")
        push_many(connection, names)
        lost = set[str]()
        for share in (0.95, 0.6, 0.3, 0.0):
            with worker_process(redis_server, slots=4, lease_seconds=1) as worker:
                assert eventually(partial(is_shorter, connection, share * len(names)))
                worker.kill()
            lost |= set(names) - waiting(connection) - on_the_way(connection) - set(issued(connection))

        connection.set("sample:nap", "0")
        with worker_process(redis_server, slots=16, lease_seconds=1):
            assert eventually(lambda: not set(names) - set(issued(connection)), 60)
        assert set() == lost
