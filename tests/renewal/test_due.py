"""
Test that due names are enqueued in the order of their priority.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ReadOnlyError

from certworker.app import App
from certworker.domains import requested_names
from certworker.errors.config import EmailMissing
from certworker.errors.worker import SchemaTooNew
from certworker.redis.client import connect
from certworker.redis.url import RedisURL
from certworker.renewal.policy import RenewalDecision
from certworker.state.domain_records import RECORDS
from certworker.state.priority_queues import PRIORITY_QUEUE, Dequeued
from certworker.storage.metadata import CertificateMetadata
from certworker.worker.bulk import new_job
from certworker.worker.producer import queue_length
from tests.app_fixture import open_app
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.redis import RedisServer

NAME = "shop.localhost"


def take(app: App) -> Dequeued | None:
    """
    Take the next request, as a new job.
    """
    return app.priority_queues.take(new_job("certworker.issue", datetime.now(UTC)), [])


def always_due(_: CertificateMetadata, now: datetime) -> RenewalDecision:
    """
    Decide that a certificate is due.
    """
    return RenewalDecision(due=True, next_check=now, ca_requested=False)


def requested_together(app: App) -> tuple[str, ...]:
    """
    Return the names of the next request.
    """
    taken = take(app)
    assert taken
    given = json.loads(taken.fields["data"])[3]
    return tuple(given.get("domains") or [given["domain"]])


class TestDueNames:
    def test_a_certificate_that_is_not_due_gets_its_next_check(self, app: App) -> None:
        """
        A certificate that is not due gets its next check, without a job.
        """
        app.issuance.issue((NAME,))
        app.agenda.put(NAME, app.clock() - timedelta(seconds=1))

        assert {"looked": 1, "requested": 0} == app.due_names.enqueue()
        next_check = app.agenda.next_check(NAME)
        assert next_check is not None
        assert next_check > app.clock()
        assert 0 == len(app.priority_queues)

    def test_a_due_certificate_is_enqueued(self, app: App, app_authority: FaultyAuthority) -> None:
        """
        A due certificate is enqueued in the priority queues.
        """
        app_authority.lifetime = timedelta(seconds=2)
        app.issuance.issue((NAME,))
        later = app.clock() + timedelta(days=1)
        due_names = replace(app.due_names, clock=lambda: later)

        assert {"looked": 1, "requested": 1} == due_names.enqueue()
        assert (1, 0) == (len(app.priority_queues), queue_length(app.connection))

    def test_all_names_of_a_certificate_are_requested_together_and_once(self, app: App) -> None:
        """
        All names of a due certificate are requested together, in one job.
        """
        names = (NAME, f"www.{NAME}")
        app.issuance.issue(names)
        later = app.clock() + timedelta(days=80)
        due_names = replace(app.due_names, clock=lambda: later)

        assert {"looked": 2, "requested": 1} == due_names.enqueue()
        assert 1 == len(app.priority_queues)

    def test_a_name_with_a_newer_certificate_is_requested_alone(self, app: App) -> None:
        """
        A name with a newer certificate of its own is requested alone.
        """
        www = f"www.{NAME}"
        app.issuance.issue((NAME, www))
        app.issuance.issue((www,), force=True)
        later = app.clock() + timedelta(days=80)
        due_names = replace(app.due_names, clock=lambda: later)

        assert {"looked": 2, "requested": 2} == due_names.enqueue()

    def test_an_expiring_certificate_is_first(self, app: App, app_authority: FaultyAuthority) -> None:
        """
        A certificate that expires soon precedes due certificates and new names.
        """
        now = app.clock()
        for name, days in (("renewal.localhost", 20), ("expiring.localhost", 1)):
            app_authority.lifetime = timedelta(days=days)
            app.issuance.issue((name,))
        app.agenda.put_many({"renewal.localhost": now, "expiring.localhost": now, "new.localhost": now})
        due_names = replace(app.due_names, clock=lambda: now + timedelta(hours=23), decide=always_due)

        assert {"looked": 3, "requested": 3} == due_names.enqueue()
        assert ["expiring.localhost", "renewal.localhost", "new.localhost"] == [
            taken.tenant for taken in iter(lambda: take(app), None)
        ]

    def test_a_renewal_that_the_ca_requested_precedes_others(self, app: App) -> None:
        """
        A renewal that the CA requested precedes others, because a revocation may follow within a day.
        """
        now = app.clock()
        for name in ("old.localhost", "revoked.localhost"):
            app.issuance.issue((name,))
            app.agenda.put(name, now)

        def plan(metadata: CertificateMetadata, now: datetime) -> RenewalDecision:
            return RenewalDecision(
                due=True, next_check=now, ca_requested="revoked.localhost" in metadata.names
            )

        replace(app.due_names, decide=plan).enqueue()

        assert ["revoked.localhost", "old.localhost"] == [
            taken.tenant for taken in iter(lambda: take(app), None)
        ]

    def test_a_certificate_without_a_file_of_traefik_is_requested(self, app: App) -> None:
        """
        A certificate without a file of Traefik is requested, for example after a crash.
        """
        app.issuance.issue((NAME,))
        (app.traefik.directory / f"{NAME}.yml").unlink()
        app.agenda.put(NAME, app.clock())

        assert {"looked": 1, "requested": 1} == app.due_names.enqueue()

    def test_a_certificate_of_a_newer_version_is_requested(self, app: App) -> None:
        """
        A certificate of a newer version is requested, and the failure of its job has the reason.
        """
        app.issuance.issue((NAME,))
        for meta in app.certificates.directory.glob(".certworker/generations/*/meta.json"):
            meta.write_text(meta.read_text().replace('"schema": 1', '"schema": 2'))
        app.agenda.put(NAME, app.clock())

        assert {"looked": 1, "requested": 1} == app.due_names.enqueue()
        with pytest.raises(SchemaTooNew):
            app.issuance.issue((NAME,))
        record = app.records.read(NAME)
        assert record
        assert "state.schema_too_new" == record.code

    def test_a_requested_name_has_a_next_check_within_15_minutes(self, app: App) -> None:
        """
        A requested name is checked again within 15 minutes, because Redis may evict its job.
        """
        app.agenda.put("new.localhost", app.clock() - timedelta(seconds=1))
        app.due_names.enqueue()
        next_check = app.agenda.next_check("new.localhost")

        assert next_check is not None
        assert timedelta(0) < next_check - app.clock() <= timedelta(minutes=15)

    def test_the_next_check_of_a_short_lived_certificate_is_sooner(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        A requested certificate with a short lifetime is checked again within an eighth of its remaining
        time.
        """
        app_authority.lifetime = timedelta(minutes=15)
        metadata = app.issuance.issue((NAME,)).metadata
        for left in (timedelta(minutes=4), timedelta(seconds=43)):
            now = metadata.not_after - left
            app.agenda.put(NAME, now)
            later = replace(app.due_names, clock=partial(datetime.fromtimestamp, now.timestamp(), UTC))

            assert {"looked": 1, "requested": 1} == later.enqueue()
            next_check = app.agenda.next_check(NAME)
            assert next_check is not None
            assert next_check - now <= max(left / 8, timedelta(seconds=15))

    def test_a_short_lived_certificate_is_urgent_near_its_expiry(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        A certificate of 47 hours is urgent only near its expiry.
        """
        app_authority.lifetime = timedelta(hours=47)
        now = app.clock()
        for name in ("early.localhost", "late.localhost"):
            app.issuance.issue((name,))
            app.agenda.put(name, now)

        replace(app.due_names, decide=always_due, clock=lambda: now + timedelta(hours=20)).enqueue()
        assert 0 == app.connection.exists(f"{PRIORITY_QUEUE}expiring")
        app.agenda.put("late.localhost", now)
        replace(app.due_names, decide=always_due, clock=lambda: now + timedelta(hours=40)).enqueue()
        assert 1 == app.connection.exists(f"{PRIORITY_QUEUE}expiring")

    def test_names_of_a_failed_attempt_are_requested_together(self, app: App) -> None:
        """
        The names of a failed attempt are requested together, as their records show.
        """
        names = (NAME, f"www.{NAME}")
        now = app.clock()
        app.records.start_attempt(names, next_check=now, now=now)
        app.agenda.put_many(dict.fromkeys(names, now))

        assert {"looked": 2, "requested": 1} == app.due_names.enqueue()

    @pytest.mark.parametrize("requested", [(NAME,), (NAME, f"shop.{NAME}")])
    def test_names_are_not_joined_with_those_of_a_newer_certificate(
        self, app: App, requested: tuple[str, ...]
    ) -> None:
        """
        The names of a newer certificate and the remaining names are requested separately.
        """
        stays = (f"api.{NAME}", f"www.{NAME}")
        app.issuance.issue((NAME, *stays))
        forced = app.issuance.issue(requested, force=True).metadata.serial
        app.agenda.put_many(dict.fromkeys((*requested, *stays), app.clock()))
        due = replace(app.issuance, decide=always_due)

        assert 2 == replace(app.due_names, decide=always_due).enqueue()["requested"]
        found = {requested_together(app), requested_together(app)}
        assert {requested, stays} == {tuple(sorted(names, key=[*requested, *stays].index)) for names in found}

        assert set(stays) == set(due.issue(stays).metadata.names)
        metadata = app.certificates.metadata(NAME)
        assert metadata
        assert forced == metadata.serial

    def test_a_partly_published_certificate_is_requested_for_all_its_names(self, app: App) -> None:
        """
        A certificate that is in service for only some names, after a crash, is requested for all of
        them.
        """
        names = (NAME, f"www.{NAME}")
        app.issuance.issue(names)
        before = app.certificates.links.target_of(NAME)
        assert before
        app.issuance.issue(names, force=True)
        app.certificates.links.activate([NAME], before)
        app.agenda.put(NAME, app.clock())

        replace(app.due_names, decide=always_due).enqueue()

        assert set(names) == set(requested_together(app))

    @pytest.mark.parametrize("served", [True, False])
    def test_a_forged_record_joins_no_names(self, app: App, served: bool) -> None:
        """
        A forged record does not join the names of different tenants in one request.
        """
        evil, now = "evil.localhost", app.clock()
        if served:
            app.issuance.issue((NAME,))
        else:
            app.records.start_attempt((NAME,), next_check=now, now=now)
        app.records.start_attempt((evil,), next_check=now, now=now)
        for name in (evil, NAME) if served else (evil,):
            app.connection.hset(f"{RECORDS}{name}", "names", json.dumps([evil, NAME]))
        app.agenda.put(evil, now)

        app.due_names.enqueue()

        request = take(app)
        assert request
        assert {"domain": evil} == json.loads(request.fields["data"])[3]

    def test_a_certificate_with_refused_names_is_recorded_and_checked_again(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The check records the failure of a name that its job would refuse, and plans the next check.
        """
        app.issuance.issue((NAME,))
        now = app.clock()
        app.agenda.put_many({NAME: now, "planted.localhost": now})
        public = partial(requested_names, None, private=False)

        replace(app.due_names, check_request=public, decide=always_due).enqueue()

        record, next_check = app.records.read(NAME), app.agenda.next_check(NAME)
        assert record
        assert ("failed", "name.no_public_suffix") == (record.state, record.code)
        assert next_check
        assert timedelta(hours=23) < next_check - now <= timedelta(days=1.1)
        assert 0 == len(app.priority_queues)
        assert "planted.localhost" not in app.agenda
        assert "name.no_public_suffix" in caplog.text

    @pytest.mark.parametrize("planted", ["Shop.Example", "../etc", "a b", "x" * 300])
    def test_an_invalid_name_is_removed_and_the_others_are_checked(
        self, app: App, caplog: pytest.LogCaptureFixture, planted: str
    ) -> None:
        """
        An invalid name on the agenda is removed and logged, and the other names are checked.
        """
        next_check = app.clock() - timedelta(days=1)
        app.agenda.put_many({planted: next_check, NAME: next_check})

        assert {"looked": 1, "requested": 1} == app.due_names.enqueue()
        assert planted not in app.agenda
        assert "removed invalid entries from the agenda: 1" in caplog.text

    def test_an_error_with_one_name_postpones_only_that_name(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        An error with one name is logged with its traceback and postpones it. The other name is
        requested.
        """
        app.issuance.issue((NAME,))
        app.agenda.put_many(dict.fromkeys((NAME, "new.localhost"), app.clock() - timedelta(seconds=1)))

        def divide(metadata: CertificateMetadata, now: datetime) -> RenewalDecision:
            raise ZeroDivisionError(metadata.names)

        before = app.clock()
        assert {"looked": 2, "requested": 1} == replace(app.due_names, decide=divide).enqueue()

        assert (app.agenda.next_check(NAME) or before) > before
        assert [NAME] == [line.__dict__["domain"] for line in caplog.records if line.exc_info]

    def test_an_error_of_redis_ends_the_pass(
        self,
        tmp_path: Path,
        own_redis: RedisServer,
        app_authority: FaultyAuthority,
        http_port: int,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        An error of Redis ends the pass without a traceback, because it concerns all names.
        """

        def refuse(_names: tuple[str, ...]) -> None:
            own_redis.client().replicaof("127.0.0.1", "1")
            raise EmailMissing

        with (
            connect(RedisURL.parse(own_redis.url)) as connection,
            open_app(tmp_path, connection, app_authority.directory_url, http_port) as app,
        ):
            app.issuance.issue((NAME,))
            app.agenda.put(NAME, app.clock() - timedelta(seconds=1))
            with pytest.raises(ReadOnlyError):
                replace(app.due_names, check_request=refuse).enqueue()

        assert [] == [line.message for line in caplog.records if line.exc_info]

    @pytest.mark.parametrize(
        "fields",
        [
            {"attempts": "9" * 5_000},
            {"names": '["\\ud800", "planted.localhost"]'},
            {"names": '["planted.localhost", "../x"]', "not_after": "9999-12-31T23:59:59-23:59"},
            {"message": "x" * 5_000_000, "unfinished": "-inf"},
        ],
    )
    def test_a_planted_record_does_not_affect_other_names(self, app: App, fields: dict[str, str]) -> None:
        """
        An invalid record does not prevent the checks of the other names.
        """
        planted: dict[Any, Any] = {"state": "failed", "updated": "2026-01-01T00:00:00Z", **fields}
        app.connection.hset(RECORDS + "planted.localhost", mapping=planted)
        names = ["planted.localhost", *(f"{number}.localhost" for number in range(5))]
        app.agenda.put_many(dict.fromkeys(names, app.clock() - timedelta(days=1)))

        assert {"looked": 6, "requested": 6} == app.due_names.enqueue()
        assert 6 == len(app.priority_queues)

    def test_unreadable_files_do_not_affect_other_names(self, app: App) -> None:
        """
        A name with unreadable files is requested, and the other names are checked.
        """
        (app.certificates.directory / "loop.localhost").symlink_to("loop.localhost")
        next_check = app.clock() - timedelta(days=1)
        app.agenda.put_many({"loop.localhost": next_check, NAME: next_check})

        assert {"looked": 2, "requested": 2} == app.due_names.enqueue()
