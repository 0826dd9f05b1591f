"""
Tests that a forced request is repeated until one certificate is issued, and then never again.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from certworker.app import App
from certworker.errors.ca import CaUnreachable
from certworker.issuance.importing import CertificateImport
from certworker.job_slot import NO_SLOT, JobSlot, running_in
from certworker.own_certificates import Pem
from certworker.redis.codec import decode_text
from certworker.runtime import build_tasks
from certworker.state.domain_records import RECORDS
from certworker.state.forced_request import BEGUN, REQUEST
from certworker.state.priority_queues import PRIORITY_QUEUE
from certworker.worker import tasks
from certworker.worker.fair_scheduling import FairScheduler
from certworker.worker.producer import request_certificate
from certworker.worker.slots import Slots
from tests.app_fixture import open_app
from tests.certificate_builder import Wanted, key_pem
from tests.faults.service import NAME, in_service
from tests.servers.faulty_authority import FaultyAuthority

FIRST_RUN = replace(NO_SLOT, run="issue-1:first")
SECOND_RUN = replace(NO_SLOT, run="issue-1:second", abandoned_run="issue-1:first")
THIRD_RUN = replace(NO_SLOT, run="issue-1:third", abandoned_run="issue-1:second")
ANOTHER_JOB = replace(NO_SLOT, run="issue-1:another")


def run(app: App, slot: JobSlot = NO_SLOT, **arguments: object) -> dict[str, Any]:
    """
    Run a job for NAME, or with the given *arguments*.
    """
    with running_in(slot):
        names = {} if "domains" in arguments else {"domain": NAME}
        return build_tasks(app)["certworker.issue"](**(names | arguments))


def orders(authority: FaultyAuthority) -> int:
    """
    Return how many orders the CA received.
    """
    return sum(request.kind == "newOrder" for request in authority.requests)


def check_now(app: App, *names: str) -> list[dict[str, Any]]:
    """
    Make *names* due, check them, and run the jobs that follow. Return the results.
    """
    now = app.clock()
    app.agenda.put_many(dict.fromkeys(names or (NAME,), now))
    replace(app.due_names, clock=lambda: now + timedelta(seconds=1)).enqueue()
    return run_waiting(app)


def scheduler_of(app: App, slots: Slots) -> FairScheduler:
    """
    Return the scheduler of a worker with *slots*.
    """
    return FairScheduler(
        app.connection,
        slots,
        private_names=True,
        wildcards=False,
        is_proven=app.issuance.ownership.is_proven,
        clock=app.clock,
    )


def run_waiting(app: App) -> list[dict[str, Any]]:
    """
    Run the job of each request in the priority queues. Return the results.
    """
    scheduler = scheduler_of(app, Slots(1))
    results = []
    while dispatched := scheduler.dispatch():
        slot = replace(NO_SLOT, run=f"{dispatched.id}:1", was_deferred=True)
        results.append(run(app, slot, **json.loads(dispatched.fields["data"])[3]))
    return results


def is_pending(app: App, name: str = NAME) -> bool:
    """
    Return whether a forced request of *name* is pending.
    """
    record = app.records.read(name)
    assert record
    return bool(record.forced and record.forced.pending_since)


def fail_forced(app: App, authority: FaultyAuthority, slot: JobSlot = NO_SLOT, **arguments: object) -> None:
    """
    Run a forced job while the CA does not respond.
    """
    authority.stop()
    with pytest.raises(CaUnreachable):
        run(app, slot, force=True, **arguments)
    authority.start()


class TestRetry:
    def test_the_retry_of_a_forced_request_orders(self, app: App, app_authority: FaultyAuthority) -> None:
        """
        The check after a failed forced request orders a certificate, although the one in service is valid.
        One success ends the request.
        """
        before = run(app)["serial"]
        fail_forced(app, app_authority, by="root on host")
        assert is_pending(app)

        (result,) = check_now(app)

        assert "issued" == result["state"]
        assert result["serial"] == in_service(app, NAME) != before
        assert not is_pending(app)
        assert [] == check_now(app)
        assert "kept" == run(app)["state"]
        assert 2 == orders(app_authority)

    def test_each_retry_is_forced_until_one_succeeds(self, app: App, app_authority: FaultyAuthority) -> None:
        """
        The request is still pending after several failures. Each failure plans the next attempt.
        """
        before = run(app)["serial"]
        fail_forced(app, app_authority)
        for attempts in (2, 3):
            app_authority.stop()
            with pytest.raises(CaUnreachable):
                check_now(app)
            app_authority.start()
            record = app.records.read(NAME)
            assert record
            assert (attempts, True) == (record.attempts, is_pending(app))
            assert record.next_check
            assert record.next_check > app.clock()

        assert before != check_now(app)[0]["serial"]

    def test_an_ordinary_request_completes_a_pending_one(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        Any request for the same names completes the pending forced request.
        """
        before = run(app)["serial"]
        fail_forced(app, app_authority)

        assert before != run(app)["serial"]
        assert not is_pending(app)

    def test_the_retry_is_for_exactly_the_names_of_the_request(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        The retry for one name of a shared certificate orders for this name alone.
        """
        www = f"www.{NAME}"
        shared = run(app, domains=[NAME, www])["serial"]
        fail_forced(app, app_authority, domain=www)
        results = check_now(app, NAME, www)

        assert [(www,)] == [tuple(result["names"]) for result in results]
        assert shared == in_service(app, NAME) != in_service(app, www)

    def test_the_retry_has_all_names_of_the_request(self, app: App, app_authority: FaultyAuthority) -> None:
        """
        The retry for several names is one order for all of them.
        """
        names = (NAME, f"www.{NAME}")
        for name in names:
            run(app, domain=name)
        fail_forced(app, app_authority, domains=list(names))
        (result,) = check_now(app, *names)

        assert set(names) == set(result["names"])
        assert not any(is_pending(app, name) for name in names)
        assert 3 == orders(app_authority)

    def test_a_request_in_one_record_only_does_not_count(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        A forged request for two names, of which one record has none, causes no order.
        """
        names = (NAME, "other.localhost")
        for name in names:
            run(app, domain=name)
        forged = app.issuance.forced._new(names, "", "").as_json()
        app.connection.hset(RECORDS + NAME, REQUEST, forged)

        assert [] == check_now(app, *names)
        assert 2 == orders(app_authority)

    def test_the_removal_of_the_name_ends_the_request(self, app: App, app_authority: FaultyAuthority) -> None:
        """
        `certworker remove` ends the request.
        """
        run(app)
        fail_forced(app, app_authority)
        app.removal.remove(NAME)

        assert [] == check_now(app)[1:]
        assert not is_pending(app)

    def test_an_imported_certificate_ends_the_request(self, app: App, app_authority: FaultyAuthority) -> None:
        """
        An import while the request is pending puts the imported certificate into service, without an order.
        """
        run(app)
        fail_forced(app, app_authority)
        signed = Wanted([NAME]).sign()
        own = CertificateImport(app.certificates, app.locks, lambda _name, by: str(by), app.clock)
        own.run(NAME, Pem(signed.pem, key_pem(signed.key)), by="test", force=True)

        assert "imported" == run(app)["state"]
        assert not is_pending(app)
        assert [] == check_now(app)
        assert 1 == orders(app_authority)

    def test_an_invalid_token_causes_one_order(self, app: App, app_authority: FaultyAuthority) -> None:
        """
        If Redis loses the counter of the tokens, a pending request still ends after one success.
        """
        run(app)
        fail_forced(app, app_authority)
        begun = app.connection.hget(RECORDS + NAME, BEGUN)
        assert begun
        app.connection.hset(RECORDS + NAME, BEGUN, f"{decode_text(begun).split()[0]} {10**11}")

        assert "issued" == check_now(app)[0]["state"]
        assert [] == check_now(app)
        assert 2 == orders(app_authority)


class TestRepeatedJob:
    def test_a_job_that_is_repeated_after_its_success_orders_once(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        The next runs of a forced job, whose success was recorded before its worker was killed, order nothing.
        """
        run(app)
        issued = run(app, FIRST_RUN, force=True)

        for slot in (SECOND_RUN, THIRD_RUN):
            again = run(app, slot, force=True)
            assert ("kept", issued["serial"]) == (again["state"], again["serial"])
        assert 2 == orders(app_authority)

    def test_a_later_job_with_the_same_id_orders(self, app: App, app_authority: FaultyAuthority) -> None:
        """
        A second forced request has the same job id, and orders another certificate.
        """
        run(app)
        issued = run(app, FIRST_RUN, force=True)

        assert issued["serial"] != run(app, ANOTHER_JOB, force=True)["serial"]
        assert 3 == orders(app_authority)

    def test_a_job_that_is_repeated_before_its_order_orders(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        The next run of a job that ended before its order is the same request, and orders once.
        """
        before = run(app)["serial"]
        fail_forced(app, app_authority, FIRST_RUN, by="root on host")
        result = run(app, SECOND_RUN, force=True)

        record = app.records.read(NAME)
        assert record
        assert record.forced
        assert before != result["serial"]
        assert ("root on host", True) == (record.forced.by, record.forced.is_completed)
        assert 2 == orders(app_authority)


class TestDeferral:
    def test_a_job_that_waited_too_long_for_a_lock_is_retried_with_force(
        self, app: App, app_authority: FaultyAuthority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A forced job that ended because of a lock is forced at the check after the lease.
        """
        monkeypatch.setattr(tasks, "FORCED_WAIT_SECONDS", 0.0)
        before = run(app)["serial"]
        with app.locks.hold([NAME]):
            assert "waiting" == run(app, force=True, by="root on host")["state"]

        assert before != check_now(app)[0]["serial"]
        assert 2 == orders(app_authority)

    def defer(self, app: App, tenant: str | None = None) -> None:
        """
        Move a forced request from the queue to the priority queues.
        """
        request_certificate(NAME, force=True, by="root on host", tenant=tenant, connection=app.connection)
        slots = Slots(1)
        slots.take(tenant or NAME)
        scheduler_of(app, slots).drain_queue()
        assert 1 == len(app.priority_queues)

    def test_a_deferred_request_retains_its_requester(
        self, app: App, app_authority: FaultyAuthority, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The job of a deferred forced request logs who requested it.
        """
        run(app)
        self.defer(app)
        caplog.set_level("INFO")
        run_waiting(app)

        assert "forced issuance requested by root on host" in caplog.messages
        assert 2 == orders(app_authority)

    @pytest.mark.parametrize("tenant", [None, "acme"])
    def test_a_lost_priority_queue_loses_no_forced_request(
        self, app: App, app_authority: FaultyAuthority, tenant: str | None
    ) -> None:
        """
        If Redis evicts the priority queue, the check of the name repeats the request with force.
        """
        before = run(app)["serial"]
        self.defer(app, tenant)
        app.connection.delete(*app.connection.keys(f"{PRIORITY_QUEUE}*"))

        (result,) = check_now(app)

        assert before != result["serial"]
        record = app.records.read(NAME)
        assert record
        assert record.forced
        assert "root on host" == record.forced.by

    @pytest.mark.parametrize("tenant", [None, "acme"])
    def test_a_request_that_waits_for_long_is_ordered_once(
        self, app: App, app_authority: FaultyAuthority, tenant: str | None
    ) -> None:
        """
        The check of a name whose request still waits adds a second job. Only the first of both orders.
        """
        run(app)
        self.defer(app, tenant)
        results = check_now(app)

        assert ["issued", "kept"] == [result["state"] for result in results]
        assert 2 == orders(app_authority)

    def test_a_later_request_of_a_tenant_is_not_the_completed_one(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        A request that waited orders a certificate, although an earlier forced request is completed.
        """
        run(app)
        run(app, FIRST_RUN, force=True)
        self.defer(app, "acme")

        assert ["issued"] == [result["state"] for result in run_waiting(app)]
        assert 3 == orders(app_authority)


class TestLimits:
    def test_a_pending_request_obeys_the_budget(
        self, tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        A pending forced request places no order that the budget does not allow.
        """
        url, limits = app_authority.directory_url, tmp_path / "limits.json"
        limits.write_text(json.dumps({url: {"certificates_per_set": "2/7d"}}))
        with open_app(tmp_path, connection, url, http_port, CERTWORKER_LIMITS_FILE=str(limits)) as app:
            states = [run(app, force=True)["state"] for _ in range(3)]
            placed = orders(app_authority)

            assert ["issued", "issued", "waiting"] == states
            assert is_pending(app)
            assert ["waiting"] * 2 == [check_now(app)[0]["state"] for _ in range(2)]
            assert placed == orders(app_authority) == 2
