"""
Test that a new tenant does not wait behind a backlog, and that no waiting request is lost.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import cast

import pytest
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from certworker.job_slot import current_slot
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

#: RQ's registry of running jobs: JOB:EXECUTION.
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
    Return the names that the sample worker issued, in order.
    """
    return [json.loads(note)[0] for note in connection.lrange("sample:issued", 0, -1)]


def backlog(count: int) -> list[str]:
    """
    Return *count* names of one tenant.
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


def queued_or_started(connection: Redis) -> set[str]:
    """
    Return the names of jobs on the queue, in the intermediate list, or started.
    """
    started = (raw.partition(b":")[0] for raw in cast("list[bytes]", connection.zrange(STARTED_KEY, 0, -1)))
    lists = [cast("list[bytes]", connection.lrange(key, 0, -1)) for key in (QUEUE_KEY, INTERMEDIATE)]
    calls = [connection.hget(f"rq:job:{raw_id.decode()}", "data") for raw_id in chain(*lists, started)]
    return {json.loads(call or b"")[3]["domain"] for call in calls}


class TestBacklog:
    def test_a_new_tenant_starts_at_once(self, connection: Redis) -> None:
        """
        The request of a new tenant starts soon, with five thousand names of another tenant on the
        queue.
        """
        connection.set("sample:pause", "1")
        with worker_thread(connection, slots=16):
            push_many(connection, backlog(BACKLOG))
            push_many(connection, ["www.newcomer.localhost"])
            assert eventually(lambda: "www.newcomer.localhost" in issued(connection))

            assert issued(connection).index("www.newcomer.localhost") < BACKLOG / 20
            assert eventually(lambda: len(waiting(connection) | set(issued(connection))) > BACKLOG)
            connection.delete("sample:pause")

    def test_a_new_tenant_starts_at_once_with_many_tenants(self, connection: Redis) -> None:
        """
        The request of a new tenant starts soon, with one waiting domain of each of five hundred
        tenants.
        """
        connection.set("sample:pause", "0.4")
        push_many(connection, [f"www.customer{number}.localhost" for number in range(500)])
        with worker_thread(connection, slots=4):
            assert eventually(lambda: len(waiting(connection)) > 400)
            time.sleep(2)
            before = len(issued(connection))
            push_many(connection, ["www.newcomer.localhost"])
            assert eventually(lambda: "www.newcomer.localhost" in issued(connection))
            connection.delete("sample:pause")

            # With four slots, the new tenant gets one of the next few free slots.
            assert issued(connection).index("www.newcomer.localhost") - before < 40

    def test_the_job_of_a_deferred_request_ends_as_waiting(self, connection: Redis) -> None:
        """
        The job of a deferred request finishes with the state `waiting`. The agenda contains its name, and
        its record has the same state.
        """
        connection.set("sample:pause", "2")
        push_many(connection, backlog(10))
        with worker_thread(connection, slots=2):
            end = end_of(connection, "shop9-big-localhost")
            record = DomainRecords(connection).read("shop9.big.localhost")
            connection.delete("sample:pause")

        job = Job.fetch("shop9-big-localhost", connection, JSONSerializer)
        assert ("finished", {"state": "waiting", "names": ["shop9.big.localhost"]}) == end
        assert end[1] == job.return_value()
        assert connection.ttl("rq:job:shop9-big-localhost") > 0
        assert connection.zscore("rq:finished:certificates", "shop9-big-localhost")
        assert "shop9.big.localhost" in Agenda(connection)
        assert record
        assert ("waiting", "") == (record.state, record.code)

    def test_a_deferred_request_does_not_postpone_a_renewal(self, connection: Redis) -> None:
        """
        A deferred request leaves an earlier next check of its name unchanged.
        """
        names, agenda = backlog(100), Agenda(connection)
        soon = datetime.now(UTC) + timedelta(minutes=2)
        agenda.put(names[-1], soon)
        connection.set("sample:pause", "1")
        push_many(connection, names)
        with worker_thread(connection, slots=2):
            assert eventually(lambda: agenda.next_checks(names[-2:])[names[-2]])
            next_checks = agenda.next_checks(names[-2:])
            connection.delete("sample:pause")

        assert next_checks[names[-1]] == soon
        assert (next_checks[names[-2]] or soon) > soon

    def test_a_deferred_request_retains_its_flags(self, connection: Redis) -> None:
        """
        The job of a deferred request runs with the flags of the request.
        """
        connection.set("sample:pause", "0.3")
        push_many(connection, backlog(3))
        request_certificate("www.big.localhost", force=True, connection=connection)
        with worker_thread(connection, slots=2):
            assert eventually(lambda: len(issued(connection)) == 4)

        assert b'["www.big.localhost", true]' in connection.lrange("sample:issued", 0, -1)

    def test_a_job_knows_whether_its_request_was_deferred(self, connection: Redis) -> None:
        """
        Only the job of a request from a priority queue has `was_deferred`.
        """

        def issue(domain: str) -> dict[str, object]:
            connection.rpush("sample:issued", json.dumps([domain, current_slot().was_deferred]))
            eventually(lambda: len(waiting(connection)) == 5 or len(issued(connection)) > 1)
            return {"state": "issued", "names": [domain]}

        push_many(connection, backlog(6))
        with worker_thread(connection, slots=1, functions={"certworker.issue": issue}):
            assert eventually(lambda: len(issued(connection)) == 6)

        notes = [json.loads(note) for note in connection.lrange("sample:issued", 0, -1)]
        assert [False, *[True] * 5] == [was_deferred for _, was_deferred in notes]

    def test_the_domains_of_a_tenant_count_as_one_tenant(self, connection: Redis) -> None:
        """
        Jobs with the same tenant share the slots of one tenant, regardless of their domains.
        """
        connection.set("sample:pause", "0.5")
        with connection.pipeline() as pipeline:
            for number in range(20):
                arguments = {"domain": f"www.shop{number}.localhost", "tenant": "project"}
                call = json.dumps(["certworker.issue", None, [], arguments])
                pipeline.hset(f"rq:job:job{number}", "data", call)
                pipeline.rpush(QUEUE_KEY, f"job{number}")
            pipeline.execute()
        with worker_thread(connection, slots=4):
            assert eventually(lambda: len(waiting(connection)) > 10)
            assert len(issued(connection)) <= 3
            records = DomainRecords(connection)
            # A name has its tenant shortly after it joins a priority queue.
            assert eventually(
                lambda: {"project"} == {records.tenant_of(name) for name in waiting(connection)}
            )
            connection.delete("sample:pause")

    def test_a_deferred_request_has_times_of_the_workers_clock(self, connection: Redis) -> None:
        """
        The record and the next check of a deferred request have times of the worker's clock.
        """
        now = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
        slots = Slots(1)
        slots.take("big.localhost")
        push_many(connection, backlog(3))
        self.drain(connection, slots, now)
        record = DomainRecords(connection).read("shop1.big.localhost")

        assert record
        assert now == record.updated
        assert now + timedelta(minutes=15) == Agenda(connection).next_check("shop1.big.localhost")

    def drain(self, connection: Redis, slots: Slots, now: datetime) -> None:
        """
        Move waiting requests to the priority queues. Only the tenant `acme` has proved its ownership.
        """
        FairScheduler(
            connection,
            slots,
            private_names=True,
            wildcards=True,
            is_proven=lambda _names, tenant: tenant in (None, "acme"),
            clock=lambda: now,
        ).drain_queue()

    @pytest.mark.parametrize(("tenant", "is_recorded"), [(None, True), ("acme", True), ("rival", False)])
    def test_a_deferred_forced_request_is_recorded_unless_a_proof_is_missing(
        self, connection: Redis, tenant: str | None, is_recorded: bool
    ) -> None:
        """
        A pending forced request affects every job for the name. So an unproven tenant must not record one.
        """
        slots = Slots(1)
        slots.take(tenant or "big.localhost")
        request_certificate("a.big.localhost", force=True, tenant=tenant, connection=connection)
        self.drain(connection, slots, datetime.now(UTC))
        record = DomainRecords(connection).read("a.big.localhost")

        assert record
        assert is_recorded is (record.forced is not None)

    def test_following_a_deferred_request_does_not_end_early(self, connection: Redis) -> None:
        """
        `certworker request --wait` does not report a deferred request as ended.
        """
        records, name = DomainRecords(connection), "shop9.big.localhost"
        connection.set("sample:pause", "0.2")
        push_many(connection, backlog(9))
        job = request_certificate(name, connection=connection)
        with worker_thread(connection, slots=2):
            end_of(connection, job)
            record = records.read(name)
            (ended,) = wait_for(connection, [(job, (name,))], timeout_seconds=0.5)

        assert record
        assert "waiting" == record.state
        assert ended.text.startswith("not ended after")

    def test_jobs_without_a_request_do_not_wait(self, connection: Redis) -> None:
        """
        A check of the agenda starts as soon as a slot is free, and a rejected job ends.
        """
        connection.set("sample:pause", "1")
        push_many(connection, backlog(100))
        push(connection, "look", "certworker.look")
        push(connection, "odd", "os.system", "true")
        with worker_thread(connection, slots=4):
            assert "finished" == end_of(connection, "look")[0]
            assert "failed" == end_of(connection, "odd")[0]
            connection.delete("sample:pause")


@pytest.mark.slow
class TestDeath:
    def test_a_worker_killed_while_it_drains_the_queue_loses_no_name(
        self, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        No name is lost when the worker is killed at four points of its work.
        """
        names = backlog(1_200)
        connection.set("sample:pause", "5")
        push_many(connection, names)
        lost = set[str]()
        for share in (0.95, 0.6, 0.3, 0.0):
            with worker_process(redis_server, slots=4, lease_seconds=1) as worker:
                assert eventually(partial(is_shorter, connection, share * len(names)))
                worker.kill()
            lost |= set(names) - waiting(connection) - queued_or_started(connection) - set(issued(connection))

        connection.set("sample:pause", "0")
        with worker_process(redis_server, slots=16, lease_seconds=1):
            assert eventually(lambda: not set(names) - set(issued(connection)), 60)
        assert set() == lost
