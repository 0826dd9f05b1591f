"""
Tests of the maintenance loop.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from certworker.app import App
from certworker.errors.config import EmailMissing
from certworker.errors.fs import VolumeReadOnly
from certworker.notify.notifier import Notifier
from certworker.redis.failures import explainer
from certworker.renewal.agenda import AGENDA, COMPARED
from certworker.runtime import build_maintenance
from certworker.settings import load
from certworker.state.domain_records import DomainRecord, DomainRecords
from certworker.state.schema import have_settings_changed
from certworker.storage.links import Links
from certworker.supervision import Duties, Heartbeat, Loop, Postponed
from certworker.supervision.heartbeats import record_beats_for
from certworker.traefik import config
from certworker.worker.maintenance import AgendaCheck, Leftovers, MaintenanceLoop, delivery_loops
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.mail import MailReceiver
from tests.servers.worker import wait_until


def leftovers_of(app: App) -> Leftovers:
    """
    Return the leftovers of the components of *app*.
    """
    return Leftovers(app.issuers, app.tokens, app.locks, app.certificates, app.traefik, app.dns01, app.clock)


class TestRemovals:
    def test_old_tokens_are_removed_unless_their_name_is_locked(self, app: App) -> None:
        """
        Old tokens are removed unless their name has a lock. A lock belongs to an order that waits for
        the CA.
        """
        for token in ("dead", "alive"):
            app.tokens.remember(token, authority=app.issuers[0].client.label, name=f"{token}.localhost")
        later = app.clock() + timedelta(minutes=2)
        with app.locks.hold(["alive.localhost"]):
            leftovers_of(app)._remove_tokens()
            assert {"dead", "alive"} == set(app.tokens.all())

            replace(leftovers_of(app), clock=lambda: later)._remove_tokens()
            assert {"alive"} == set(app.tokens.all())

    def test_a_directory_that_cannot_be_cleaned_does_not_affect_the_others(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The failure of one directory is logged, and the leftovers in other directories are removed.
        """
        leftover = app.traefik.directory / ".certworker" / "0123456789abcdef.tmp"
        leftover.parent.mkdir(exist_ok=True)
        leftover.write_text("half a file")
        os.utime(leftover, (time.time() - 120,) * 2)
        keys = app.settings.state_dir / "orders" / app.issuers[0].ca.label
        keys.parent.mkdir()
        keys.write_text("a file instead of a directory")

        Duties(dict(leftovers_of(app).removals()))()

        assert "[fs.io]" in caplog.text
        assert not leftover.exists()


def maintenance_of(app: App) -> MaintenanceLoop:
    """
    Return the maintenance loop of *app*, without domains of `_APP_DOMAIN`.
    """
    return build_maintenance(app, Loop("own_domains", lambda: None))


def agenda_check_of(app: App) -> AgendaCheck:
    """
    Return the agenda check of *app*.
    """
    return AgendaCheck(app.agenda, app.certificates, app.due_names, app.reconciler, app.clock)


class TestRound:
    def test_the_first_round_compares_volume_and_agenda(self, app: App) -> None:
        """
        The first round after a start restores the entries of the agenda that Redis lost.
        """
        app.issuance.issue(("shop.localhost",))
        app.connection.flushall()
        loop = maintenance_of(app).loop
        loop.start()
        wait_until(lambda: "shop.localhost" in app.agenda or None, lambda: "still missing")
        loop.stop()

    def test_a_round_starts_the_requests_of_the_own_domains(self, app: App) -> None:
        """
        A round starts the loop of the domains of `_APP_DOMAIN`.
        """
        started: list[bool] = []
        own_domains = Loop("own_domains", lambda: started.append(True))
        maintenance = build_maintenance(app, own_domains)
        maintenance._step()
        wait_until(lambda: started or None, lambda: "not started")
        own_domains.stop()

    def test_changed_settings_retry_the_names_that_need_them(self, app: App) -> None:
        """
        Changed settings retry the names that need them. Unchanged settings retry no name.
        """
        name, later = "shop.localhost", app.clock() + timedelta(hours=20)
        app.records.record_failed([name], EmailMissing(), next_check=later, now=app.clock())
        app.agenda.put(name, later)
        changed = app.settings.model_copy(update={"newer_email": "ops@shop.dev"})
        for settings, requested in ((app.settings, 0), (app.settings, 0), (changed, 1)):
            maintenance_of(replace(app, settings=settings))._retry_after_the_start()

            assert requested == app.due_names.enqueue()["requested"]

    def test_each_start_retries_once_the_names_whose_files_the_operator_may_have_changed(
        self, app: App
    ) -> None:
        """
        Each start retries a name whose files were not writable, and only the first round of a start does so.
        """
        name, now = "shop.localhost", app.clock()
        later = now + timedelta(hours=20)
        failure = VolumeReadOnly(
            path="/storage/certificates", uid=10001, reason="EACCES", directory="/storage", owner="root"
        )
        app.records.record_failed([name], failure, next_check=later, now=now)
        for maintenance in (maintenance_of(app), maintenance_of(app)):
            requested = []
            for _ in range(2):
                app.agenda.put(name, later)
                maintenance._retry_after_the_start()
                requested.append(app.due_names.enqueue()["requested"])

            assert [1, 0] == requested

    def test_a_change_is_not_lost_if_the_first_round_fails(self, app: App) -> None:
        """
        If Redis fails between the comparison of the settings and the retries, the next round makes the
        retries.
        """

        class FailingOnce(DomainRecords):
            failed = False

            def read_many(self, names: Sequence[str]) -> Iterator[DomainRecord | None]:
                if not self.failed:
                    self.failed = True
                    raise RedisConnectionError("connection lost")
                return super().read_many(names)

        name, later = "shop.localhost", app.clock() + timedelta(hours=20)
        app.records.record_failed([name], EmailMissing(), next_check=later, now=app.clock())
        app.agenda.put(name, later)
        have_settings_changed(app.connection, "those of the last start")
        reconciler = replace(app.reconciler, records=FailingOnce(app.connection))
        maintenance = maintenance_of(replace(app, reconciler=reconciler))
        with pytest.raises(RedisConnectionError):
            maintenance._retry_after_the_start()
        assert 0 == app.due_names.enqueue()["requested"]
        maintenance._retry_after_the_start()

        assert 1 == app.due_names.enqueue()["requested"]

    def test_the_interval_follows_the_shortest_lifetime_and_the_duration_of_a_round(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        Short-lived certificates shorten the interval of the rounds. A round takes at most a tenth of
        the time.
        """
        maintenance = maintenance_of(app)
        maintenance._report_overdue()
        assert 0.8 * 3600 <= maintenance._pause(1) <= 3600

        app_authority.lifetime = timedelta(minutes=15)
        app.issuance.issue(("shop.localhost",))
        maintenance._report_overdue()
        assert 0.8 * 60 <= maintenance._pause(1) <= 60
        assert 0.8 * 300 <= maintenance._pause(30) <= 300

    def test_an_error_in_one_duty_does_not_affect_the_others(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        After a failed reconciliation the round enqueues due renewals, and the worker retries the round.
        """
        app.agenda.put("shop.localhost", app.clock() - timedelta(seconds=10))
        broken = [True]

        class BrokenLinks(Links):
            def orphaned(self) -> Iterator[str]:
                if broken[0]:
                    raise ValueError("odd")
                return super().orphaned()

        app.certificates.links.__class__ = BrokenLinks
        maintenance = maintenance_of(app)
        with pytest.raises(Postponed):
            maintenance._step()
        assert 1 == len(app.priority_queues)
        assert "unexpected error in the reconciliation" in caplog.text

        with pytest.raises(Postponed):
            maintenance._step()
        broken[0], maintenance._next_round = False, 0.0
        assert maintenance._step() > 0

    def test_a_long_duty_sends_a_heartbeat_with_each_certificate(self, app: App) -> None:
        """
        A long duty sends a heartbeat for each certificate, so it does not count as stalled.
        """
        beats: list[str] = []

        class Counting(Heartbeat):
            def beat(self) -> None:
                beats.append(self.name)

        names = [f"shop{number}.localhost" for number in range(5)]
        for name in names:
            app.issuance.issue((name,))
        record_beats_for(Counting("maintenance"))
        try:
            counts = []
            for duty in (
                app.reconciler.reconcile,
                app.expiry_alerts.log,
                lambda: app.certificates.prune(app.traefik.served_generations()),
            ):
                beats.clear()
                duty()
                counts.append(len(beats))
        finally:
            record_beats_for(None)

        assert min(counts) >= len(names), counts


class TestAgendaCheck:
    def test_the_agenda_is_restored_after_the_loss_of_all_keys(self, app: App) -> None:
        """
        The agenda check restores the agenda after the loss of all keys.
        """
        app.issuance.issue(("shop.localhost",))
        app.connection.flushall()
        agenda_check_of(app).run()

        assert "shop.localhost" in app.agenda

    @pytest.mark.parametrize("lost", ["everything", "the agenda"])
    def test_a_loss_is_detected_despite_later_requests(self, app: App, lost: str) -> None:
        """
        The check detects a lost agenda although later requests have written new entries.
        """
        names = [f"{number}.localhost" for number in range(3)]
        for name in names:
            app.issuance.issue((name,))
        check = agenda_check_of(app)
        check.run()
        if lost == "everything":
            app.connection.flushall()
            written = 5
        else:
            app.connection.delete(AGENDA)
            written = 1
        later = app.clock() + timedelta(hours=1)
        app.agenda.put_many({f"new{number}.localhost": later for number in range(written)})
        check.run()

        assert [] == app.agenda.missing(names)

    def test_a_loss_of_covered_names_is_detected(self, app: App) -> None:
        """
        The check restores covered names, which have no certificate of their own, to the agenda.
        """
        app.issuance.issue(("shop.localhost",))
        check = agenda_check_of(app)
        app.certificates.covered.add(["a.localhost", "b.localhost"])
        check.run()
        app.connection.delete(AGENDA)

        check.run()

        assert [] == app.agenda.missing(["shop.localhost", "a.localhost", "b.localhost"])

    def test_an_interrupted_comparison_is_repeated(self, app: App) -> None:
        """
        A comparison does not count as complete if Redis loses its keys in the meantime.
        """
        app.agenda.begin_comparison()
        app.connection.flushall()
        app.agenda.extend_comparison()
        app.agenda.finish_comparison()

        assert not app.agenda.is_complete()

    def test_a_completed_comparison_is_not_repeated(self, app: App) -> None:
        """
        The check reads the volume only after a loss.
        """
        app.issuance.issue(("shop.localhost",))
        check = agenda_check_of(app)
        check.run()
        # A comparison would put the name back on the agenda.
        app.agenda.remove("shop.localhost")
        app.agenda.put("other.localhost", app.clock() + timedelta(hours=1))
        check.run()

        assert "shop.localhost" not in app.agenda
        assert -1 == app.connection.ttl(COMPARED)

    def test_due_names_are_enqueued_without_a_wake_up(self, app: App) -> None:
        """
        The check enqueues due names if no wake-up comes, for example after a killed worker.
        """
        app.agenda.put("shop.localhost", app.clock() - timedelta(seconds=10))
        agenda_check_of(app).run()

        assert 1 == len(app.priority_queues)


class TestDelivery:
    def test_each_channel_has_a_loop_that_delivers(self, app: App) -> None:
        """
        The loop of each notification channel delivers a waiting notification in its first step.
        """
        with MailReceiver() as receiver:
            environ = {
                "_APP_EMAIL_CERTIFICATES": "ops@shop.dev",
                "_APP_SMTP_HOST": "127.0.0.1",
                "_APP_SMTP_PORT": str(receiver.port),
            }
            notifier = Notifier.of(load(environ), app.connection, lambda _: None)
            notifier.notify_failed("shop.localhost", EmailMissing(), None, app.clock())
            (loop,) = delivery_loops(notifier, explainer(app.connection))
            assert "notifications_mail" == loop.heartbeat.name
            loop.start()
            wait_until(lambda: receiver.mails or None, lambda: "no mail")
            loop.stop()


class TestDailyLine:
    def test_many_certificates_are_a_daily_warning(
        self, app: App, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Each day, a warning has the number of certificates and the time that Traefik needs for them.
        """
        app.issuance.issue(("shop.localhost",))
        maintenance_of(app)._log_alive()
        assert "proxy.many_certificates" not in caplog.text

        monkeypatch.setattr(config, "MANY_CERTIFICATES", 1)
        maintenance_of(app)._log_alive()

        assert "[proxy.many_certificates]" in caplog.text
        assert "has 1 certificates" in caplog.text
