"""
Tests of the names that a wildcard in service covers, and that need no certificate of their own.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from certworker.app import App
from certworker.errors import CertworkerError
from certworker.errors.ca import ServerInternal
from certworker.errors.name import Wildcard
from certworker.issuance.coverage import HANDOVER
from certworker.renewal.domain_status import STATES, backfill_progress, status_of
from certworker.runtime import build_tasks
from certworker.storage.keypair import StoredCertificate
from certworker.worker.producer import ISSUE, REMOVE
from tests.app_fixture import open_app
from tests.renewal.test_repair import requested
from tests.servers.fault_injection import Fault
from tests.servers.faulty_authority import FaultyAuthority
from tests.storage.authority import DAY, Signer

WILDCARD, BASE = "*.shop.localhost", "shop.localhost"
NAME, OTHER = f"a.{BASE}", f"b.{BASE}"

HOUR = timedelta(hours=1)


@dataclass
class Clock:
    """
    Return a time that a test can advance.
    """

    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        """
        Return the time in UTC.
        """
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock() -> Clock:
    """
    Return the clock of the app.
    """
    return Clock()


@pytest.fixture
def app(
    tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int, clock: Clock
) -> Iterator[App]:
    """
    Run an app that accepts wildcards.
    """
    url = app_authority.directory_url
    with open_app(tmp_path, connection, url, http_port, wildcards=True, clock=clock) as opened:
        yield opened


def stored(
    app: App, *names: str, ends: timedelta = 89 * DAY, kind: str | None = None, token: int = 1
) -> StoredCertificate:
    """
    Put a certificate for *names* into service.
    """
    authority = app.settings.authority
    found = app.certificates.store(
        Signer().certificate(*names, ends=ends),
        authority=authority.label,
        kind=kind or authority.kind,
        token=token,
    )
    app.traefik.publish(found)
    app.certificates.mark_published(found)
    return found


def orders(authority: FaultyAuthority) -> int:
    """
    Return how many orders the CA received.
    """
    return sum(request.kind == "newOrder" for request in authority.requests)


def has_own(app: App, name: str) -> bool:
    """
    Return whether *name* has its own files on the volume or for Traefik.
    """
    file = app.traefik.directory / f"{name}.yml"
    return app.certificates.links.generation(name) is not None or file.exists()


class TestCover:
    def test_a_covered_name_needs_no_order_and_no_file(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        A request for a covered name sends no request to the CA, writes no file and runs no preflight.
        """
        wildcard = stored(app, WILDCARD).metadata
        requests = len(app_authority.requests)

        result = build_tasks(app)[ISSUE](domain=NAME)

        assert ("covered", WILDCARD, [NAME]) == (result["state"], result["by"], result["names"])
        assert f"{wildcard.not_after:%Y-%m-%dT%H:%M:%SZ}" == result["not_after"]
        assert wildcard.serial == result["serial"]
        assert requests == len(app_authority.requests)
        assert not has_own(app, NAME)
        assert [NAME] == list(app.certificates.covered.names())
        assert NAME in app.agenda

    def test_the_status_has_the_wildcard(self, app: App) -> None:
        """
        The status of a covered name has the wildcard and its validity.
        """
        wildcard = stored(app, WILDCARD).metadata
        app.issuance.issue((NAME,))

        status = status_of(NAME, app.agenda, app.records, app.certificates, app.clock())

        assert ("covered", "covered", WILDCARD) == (status.state, status.detail, status.by)
        assert (wildcard.not_after, wildcard.serial, "") == (status.not_after, status.serial, status.code)
        assert status.state in STATES
        assert 0 == backfill_progress(app.agenda, app.certificates, app.issuers[0].budget).missing
        assert b'certworker_certificates{state="covered"} 1.0' in app.metrics.render()

    def test_a_repeated_request_writes_nothing_to_the_volume(self, app: App) -> None:
        """
        A repeated request for a covered name writes nothing to the volume, because some clients repeat
        it daily.
        """
        stored(app, WILDCARD)
        app.issuance.issue((NAME,))
        directory = app.certificates.directory / ".certworker" / "covered"
        before = directory.stat().st_mtime_ns

        assert "covered" == app.issuance.issue((NAME,)).state
        assert before == directory.stat().st_mtime_ns

    def test_a_covered_name_has_no_failure(self, app: App, app_authority: FaultyAuthority) -> None:
        """
        The record of a name has no failure and no attempts after a wildcard covers it.
        """
        app_authority.faults.fail("newOrder", Fault())
        with pytest.raises(ServerInternal):
            app.issuance.issue((NAME,))
        stored(app, WILDCARD)

        app.issuance.issue((NAME,))

        record = app.records.read(NAME)
        assert record
        assert ("covered", "", 0) == (record.state, record.code, record.attempts)
        assert "covered" == status_of(NAME, app.agenda, app.records, app.certificates, app.clock()).state

    @pytest.mark.parametrize(
        "names",
        [
            (BASE,),
            (f"a.{NAME}",),
            (NAME, BASE),
            ("a.blog.localhost",),
        ],
    )
    def test_a_name_that_is_not_covered_is_ordered(
        self, app: App, app_authority: FaultyAuthority, names: tuple[str, ...]
    ) -> None:
        """
        A name is ordered unless it has one label below the wildcard's base. All names of a request
        count.
        """
        stored(app, WILDCARD)

        assert "issued" == app.issuance.issue(names).state
        assert 1 == orders(app_authority)
        assert [] == list(app.certificates.covered.names())

    @pytest.mark.parametrize(
        "obstacle", ["expired", "due", "of another kind", "of another name", "not in service", "no files"]
    )
    def test_an_unusable_wildcard_covers_no_name(
        self, app: App, app_authority: FaultyAuthority, obstacle: str
    ) -> None:
        """
        A wildcard covers a name only if it is valid, not due, of the same kind of CA, and served.
        """
        ends = {"expired": -DAY, "due": 25 * DAY}.get(obstacle, 89 * DAY)
        wildcard = stored(app, WILDCARD, ends=ends, kind="staging" if obstacle == "of another kind" else None)
        if obstacle == "not in service":
            app.traefik.remove(WILDCARD)
        elif obstacle == "of another name":
            other = stored(app, "else.localhost")
            app.certificates.links.activate([WILDCARD], other.directory)
        elif obstacle == "no files":
            shutil.rmtree(wildcard.directory)

        assert "issued" == app.issuance.issue((NAME,)).state
        assert 1 == orders(app_authority)

    def test_a_forced_request_is_ordered(self, app: App, app_authority: FaultyAuthority) -> None:
        """
        A forced request orders a certificate. Afterwards, the name does not rely on the wildcard.
        """
        stored(app, WILDCARD)
        app.issuance.issue((NAME,))

        assert "issued" == app.issuance.issue((NAME,), force=True).state

        assert 1 == orders(app_authority)
        assert [] == list(app.certificates.covered.names())
        assert "kept" == app.issuance.issue((NAME,)).state
        status = status_of(NAME, app.agenda, app.records, app.certificates, app.clock())
        assert ("valid", "") == (status.state, status.by)

    def test_names_of_two_wildcards_have_the_earlier_expiry(self, app: App) -> None:
        """
        A request for names of two wildcards is covered, with the certificate that expires first.
        """
        stored(app, WILDCARD)
        first = stored(app, "*.blog.localhost", ends=60 * DAY, token=2).metadata

        outcome = app.issuance.issue((NAME, "a.blog.localhost"))

        assert ("covered", "*.blog.localhost", first) == (outcome.state, outcome.by, outcome.metadata)
        assert ["a.blog.localhost", NAME] == sorted(app.certificates.covered.names())

    def test_a_failed_write_to_the_volume_fails_the_request(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        A failed write to the volume fails the request, places no order and plans the next attempt.
        """
        stored(app, WILDCARD)
        (app.certificates.directory / ".certworker" / "covered").write_text("a file instead of the directory")

        with pytest.raises(CertworkerError) as caught:
            app.issuance.issue((NAME,))

        assert caught.value.code.startswith("fs.")
        assert 0 == orders(app_authority)
        assert NAME in app.agenda
        record = app.records.read(NAME)
        assert record
        assert caught.value.code == record.code

    def test_a_covered_name_needs_no_lock_of_the_wildcard(self, app: App) -> None:
        """
        A name is covered while the wildcard is locked, for example during its renewal.
        """
        stored(app, WILDCARD)

        with app.locks.hold([WILDCARD]):
            assert "covered" == app.issuance.issue((NAME,)).state


class TestOwnCertificate:
    def test_an_own_certificate_is_served_until_shortly_before_its_expiry(
        self, app: App, app_authority: FaultyAuthority, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The wildcard replaces the own certificate shortly before its expiry, and the log has it once.
        """
        caplog.set_level(logging.INFO, "certworker")
        own = stored(app, NAME, ends=20 * DAY).metadata
        stored(app, WILDCARD, token=2)

        outcome = app.issuance.issue((NAME,))
        assert ("kept", own.serial) == (outcome.state, outcome.metadata.serial)
        assert clock() < outcome.next_check <= clock() + 12 * HOUR
        clock.ahead = own.not_after - HANDOVER - HOUR - datetime.now(UTC)
        assert own.not_after - HANDOVER >= app.issuance.issue((NAME,)).next_check
        assert has_own(app, NAME)

        clock.ahead += HOUR
        assert "covered" == app.issuance.issue((NAME,)).state
        assert "covered" == app.issuance.issue((NAME,)).state

        assert not has_own(app, NAME)
        assert not (app.certificates.directory / NAME).exists()
        assert 1 == caplog.text.count("took the certificate of the name out of service")
        assert 0 == orders(app_authority)

    def test_an_own_certificate_that_the_ca_recalls_is_replaced_by_the_wildcard(
        self, app: App, app_authority: FaultyAuthority, clock: Clock
    ) -> None:
        """
        If the CA suggests an early renewal of the own certificate, the wildcard takes over at the next check,
        without an order.
        """
        assert "issued" == app.issuance.issue((NAME,)).state
        stored(app, WILDCARD, token=2)
        assert "kept" == app.issuance.issue((NAME,)).state

        app_authority.policy.recalled_before = clock() + HOUR
        clock.ahead = 13 * HOUR  # the CA is asked twice a day

        assert {"looked": 1, "requested": 1} == app.due_names.enqueue()
        assert "covered" == app.issuance.issue((NAME,)).state
        assert not has_own(app, NAME)
        assert 1 == orders(app_authority)

    def test_an_own_certificate_is_renewed_while_traefik_does_not_serve_the_wildcard(self, app: App) -> None:
        """
        The own certificate of a covered name is renewed if Traefik does not serve the wildcard.
        """
        stored(app, WILDCARD)
        assert "covered" == app.issuance.issue((NAME,)).state
        stored(app, NAME, ends=timedelta(minutes=2), token=2)
        (app.traefik.directory / f"_.{BASE}.yml").unlink()

        assert "issued" == app.issuance.issue((NAME,)).state
        assert has_own(app, NAME)

    def test_a_late_renewal_of_the_wildcard_causes_no_orders(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        Covered names place no order while the renewal of the wildcard is late, until it is overdue.
        """
        stored(app, NAME, ends=20 * DAY)
        stored(app, OTHER, ends=timedelta(0), token=2)
        stored(app, WILDCARD, ends=20 * DAY, token=3)

        assert "kept" == app.issuance.issue((NAME,)).state
        assert "covered" == app.issuance.issue((OTHER,)).state
        assert 0 == orders(app_authority)

        stored(app, WILDCARD, ends=4 * DAY, token=4)

        assert "issued" == app.issuance.issue((NAME,)).state

    def test_the_check_of_a_due_name_plans_the_handover(self, app: App, clock: Clock) -> None:
        """
        The check of due names requests no job before the handover to the wildcard, and one at its time.
        """
        own = stored(app, NAME, ends=20 * DAY).metadata
        stored(app, WILDCARD, token=2)
        app.agenda.put(NAME, clock())

        assert {"looked": 1, "requested": 0} == app.due_names.enqueue()
        clock.ahead = own.not_after - HANDOVER - datetime.now(UTC) + timedelta(seconds=1)
        assert {"looked": 1, "requested": 1} == app.due_names.enqueue()

    def test_a_certificate_with_other_names_is_renewed_for_all_of_them(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        A certificate with a name that the wildcard does not cover is renewed for all its names.
        """
        stored(app, BASE, NAME, ends=20 * DAY)
        stored(app, WILDCARD, token=2)

        outcome = app.issuance.issue((NAME,))

        assert ("issued", {BASE, NAME}) == (outcome.state, set(outcome.names))
        assert 1 == orders(app_authority)

    def test_a_name_with_its_own_certificate_retains_it(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        A request for several names places no order. Only the name without a certificate relies on the
        wildcard.
        """
        stored(app, NAME)
        stored(app, WILDCARD, token=2)

        outcome = app.issuance.issue((NAME, OTHER))

        assert ("covered", (NAME, OTHER)) == (outcome.state, outcome.names)
        assert has_own(app, NAME)
        assert [OTHER] == list(app.certificates.covered.names())
        assert 0 == orders(app_authority)

    def test_the_other_names_of_a_removed_name_are_covered(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        After the removal of a name, the wildcard replaces the certificate that contains it.
        """
        stored(app, NAME, OTHER)
        stored(app, WILDCARD, token=2)

        app.removal.remove(OTHER)

        assert "covered" == app.issuance.issue((NAME,)).state
        assert [NAME] == list(app.certificates.covered.names())
        assert not has_own(app, NAME)
        assert 0 == orders(app_authority)


class TestLoss:
    def test_the_names_of_a_removed_wildcard_are_requested(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        The names of a removed wildcard are requested through the priority queues, for the same tenant.
        """
        stored(app, WILDCARD)
        for name in (NAME, OTHER):
            app.issuance.issue((name,))

        build_tasks(app)[REMOVE](domain=WILDCARD)

        assert "missing" == status_of(NAME, app.agenda, app.records, app.certificates, app.clock()).state
        assert {"looked": 2, "requested": 2} == app.due_names.enqueue()
        assert [BASE, BASE] == requested(app)
        assert "issued" == app.issuance.issue((NAME,)).state
        assert [OTHER] == list(app.certificates.covered.names())
        assert 1 == orders(app_authority)

    def test_a_concurrent_removal_loses_no_name(
        self, app: App, app_authority: FaultyAuthority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A name is ordered if the wildcard is removed while the name is added to the covered ones.
        """
        stored(app, WILDCARD)
        add, removed = app.certificates.covered.add, list[bool]()

        def add_after_the_removal(names: tuple[str, ...]) -> bool:
            removed.append(app.removal.remove(WILDCARD))
            return add(names)

        monkeypatch.setattr(app.certificates.covered, "add", add_after_the_removal)

        assert "issued" == app.issuance.issue((NAME,)).state
        assert [True] == removed
        assert 1 == orders(app_authority)

    def test_a_removal_that_was_interrupted_is_completed(self, app: App) -> None:
        """
        The reconciliation requests the names of a wildcard whose removal was interrupted.
        """
        stored(app, WILDCARD)
        app.issuance.issue((NAME,))
        app.traefik.remove(WILDCARD)
        app.certificates.remove(WILDCARD)
        assert 0 == app.due_names.enqueue()["looked"]

        app.reconciler.reconcile()

        assert {"looked": 1, "requested": 1} == app.due_names.enqueue()

    def test_a_missing_file_of_traefik_affects_new_names_only(self, app: App) -> None:
        """
        A covered name stays covered without the wildcard's file for Traefik. A new name is ordered.
        """
        stored(app, WILDCARD)
        app.issuance.issue((NAME,))
        (app.traefik.directory / f"_.{BASE}.yml").unlink()

        assert "covered" == app.issuance.issue((NAME,)).state
        assert "issued" == app.issuance.issue((OTHER,)).state

    def test_the_reconciliation_does_not_shorten_a_pause(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        The reconciliation does not advance the next attempt of a failed request.
        """
        stored(app, WILDCARD)
        app.issuance.issue((NAME,))
        app.removal.remove(WILDCARD)
        app_authority.faults.fail("newOrder", Fault())
        with pytest.raises(ServerInternal):
            app.issuance.issue((NAME,))
        planned = app.agenda.next_check(NAME)

        app.reconciler.reconcile()

        assert planned == app.agenda.next_check(NAME)
        assert [NAME] == list(app.certificates.covered.names())

    def test_an_overdue_wildcard_covers_no_name(self, app: App, app_authority: FaultyAuthority) -> None:
        """
        An overdue wildcard with a failed renewal covers its names no longer, so they are requested in
        time.
        """
        stored(app, WILDCARD)
        app.issuance.issue((NAME,))
        stored(app, WILDCARD, ends=20 * DAY, token=2)
        assert "covered" == app.issuance.issue((NAME,)).state
        app.agenda.put(NAME, app.clock())
        assert 0 == app.due_names.enqueue()["requested"]

        stored(app, WILDCARD, ends=17 * DAY, token=3)
        failure = Wildcard(name=WILDCARD, suggestion=NAME)
        app.records.record_failed((WILDCARD,), failure, next_check=app.clock(), now=app.clock())
        app.agenda.put(NAME, app.clock())

        assert {"looked": 1, "requested": 1} == app.due_names.enqueue()
        assert "issued" == app.issuance.issue((NAME,)).state
        assert 1 == orders(app_authority)

    def test_a_late_renewal_without_a_failure_still_covers(self, app: App) -> None:
        """
        A late renewal without a failure may be the CA's advice, so the wildcard covers until its last
        days.
        """
        stored(app, WILDCARD)
        app.issuance.issue((NAME,))
        stored(app, WILDCARD, ends=17 * DAY, token=2)
        assert "covered" == app.issuance.issue((NAME,)).state

        stored(app, WILDCARD, ends=4 * DAY, token=3)

        assert "issued" == app.issuance.issue((NAME,)).state

    def test_a_renewed_wildcard_covers_its_names_again(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        A renewed wildcard covers the names whose own orders have not begun.
        """
        stored(app, WILDCARD)
        app.issuance.issue((NAME,))
        stored(app, WILDCARD, ends=DAY, token=2)
        app.agenda.put(NAME, app.clock())
        assert 1 == app.due_names.enqueue()["requested"]

        stored(app, WILDCARD, token=3)

        assert "covered" == app.issuance.issue((NAME,)).state
        assert 0 == orders(app_authority)

    def test_a_renewed_wildcard_is_in_the_records_of_its_names(self, app: App) -> None:
        """
        The check of due names writes the renewed wildcard to the records, without a job for each name.
        """
        stored(app, WILDCARD)
        app.issuance.issue((NAME,))
        renewed = stored(app, WILDCARD, token=2).metadata
        app.agenda.put(NAME, app.clock())

        assert {"looked": 1, "requested": 0} == app.due_names.enqueue()
        record = app.records.read(NAME)
        assert record
        assert ("covered", renewed.serial) == (record.state, record.serial)

    def test_a_failed_name_is_covered_after_the_renewal_of_the_wildcard(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        The job of a failed name ends as `covered` after the wildcard's renewal, and notifies the
        recovery.
        """
        stored(app, WILDCARD)
        app.issuance.issue((NAME,))
        stored(app, WILDCARD, ends=DAY, token=2)
        app_authority.faults.fail("newOrder", Fault())
        with pytest.raises(ServerInternal):
            app.issuance.issue((NAME,))
        assert "failing" == status_of(NAME, app.agenda, app.records, app.certificates, app.clock()).detail
        stored(app, WILDCARD, token=3)
        app.agenda.put(NAME, app.clock())

        assert {"looked": 1, "requested": 1} == app.due_names.enqueue()
        assert "covered" == app.issuance.issue((NAME,)).state

    def test_covered_names_are_restored_after_a_loss_of_redis(self, app: App) -> None:
        """
        After a loss of Redis, the covered names return to the agenda, and none is requested.
        """
        stored(app, WILDCARD)
        for name in (NAME, OTHER):
            app.issuance.issue((name,))
        app.connection.flushall()

        assert 3 == app.reconciler.reconcile()
        assert {WILDCARD, NAME, OTHER} == set(app.agenda.names())
        assert {"looked": 2, "requested": 0} == app.due_names.enqueue()
        assert "covered" == status_of(NAME, app.agenda, app.records, app.certificates, app.clock()).state

    def test_a_name_that_the_ca_no_longer_certifies_is_removed(self, app: App) -> None:
        """
        A covered name for which the CA no longer issues leaves the agenda and the volume.
        """
        app.certificates.covered.add([NAME])
        app.agenda.put(NAME, app.clock())

        def reject(names: tuple[str, ...]) -> None:
            raise Wildcard(name=names[0], suggestion="")

        replace(app.due_names, check_request=reject).enqueue()

        assert NAME not in app.agenda
        assert [] == list(app.certificates.covered.names())


class TestRemoval:
    def test_a_removed_name_is_not_requested_again(self, app: App) -> None:
        """
        A removed name is not requested after the removal of its wildcard.
        """
        stored(app, WILDCARD)
        app.issuance.issue((NAME,))

        assert app.removal.remove(NAME)

        assert [] == list(app.certificates.covered.names())
        assert NAME not in app.agenda
        app.removal.remove(WILDCARD)
        assert 0 == app.due_names.enqueue()["looked"]
        assert 0 == app.reconciler.reconcile()

    def test_a_repair_ignores_covered_names(self, app: App) -> None:
        """
        A repair writes no files for covered names.
        """
        stored(app, WILDCARD)
        app.issuance.issue((NAME,))

        assert 0 == app.repair.repair()
        assert not has_own(app, NAME)
