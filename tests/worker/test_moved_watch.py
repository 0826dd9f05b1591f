"""
Tests of the daily check of names in service.
"""

from __future__ import annotations

from functools import partial

import pytest

from certworker.app import App
from certworker.issuance.importing import CertificateImport
from certworker.own_certificates import Pem
from certworker.redis.codec import encode_time
from certworker.runtime import build_moved_watch
from certworker.state.sightings import SIGHTINGS, Sightings
from certworker.worker import moved_watch
from certworker.worker.moved_watch import CHECKED
from certworker.worker.producer import request_certificate
from tests.certificate_builder import Wanted, key_pem
from tests.moving import ELSEWHERE, HERE, events, in_service, move, notifications, run_due, status, watch
from tests.scenarios.installation import NAME, Installation
from tests.scenarios.scenario import DAY, job
from tests.storage.authority import Signer


def with_certificates(platform: Installation, count: int) -> App:
    """
    Return an app with certificates of *count* names on the volume, all of which point to this server.
    """
    app = platform.open()
    names = [f"shop{number}.{NAME}" for number in range(count)]
    platform.zone.rows.update({name: {"A": [HERE]} for name in names})
    stored = app.certificates.store(
        Signer().certificate(*names), authority=app.settings.authority.label, kind="private", token=1
    )
    app.certificates.link(stored)
    return app


class TestSteps:
    def test_one_worker_makes_each_step(self, platform: Installation) -> None:
        """
        All workers share the checks, so each name is checked once a day.
        """
        app = in_service(platform)
        move(platform)
        for _ in range(3):
            build_moved_watch(app).step()
            platform.connection.delete(CHECKED)

        assert 1 == Sightings(platform.connection).read_many([NAME])[NAME].checks

    def test_a_step_is_bounded(self, platform: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        After a pause, several steps check all names, each name once.
        """
        monkeypatch.setattr(moved_watch, "MAX_NAMES", 2)
        app = with_certificates(platform, count=5)

        assert [2, 2, 1, 0] == [build_moved_watch(app).check() for _ in range(4)]

    def test_a_stopping_worker_begins_no_check(self, platform: Installation) -> None:
        """
        The next worker checks the names that a stopping worker has left.
        """
        app = with_certificates(platform, count=3)
        stopping = build_moved_watch(app)
        stopping.loop.stopping.set()

        assert 0 == stopping.check()
        assert 3 == build_moved_watch(app).check()

    def test_the_checks_are_spread_over_the_day(self, platform: Installation) -> None:
        """
        Each name has its time of the day, so each hour has a part of the names, and a day has all of them.
        """
        app, checked = with_certificates(platform, count=24), []
        platform.connection.set(CHECKED, encode_time(app.clock()))
        for _ in range(24):
            platform.elapsed += DAY / 24
            checked.append(build_moved_watch(app).check())

        assert 24 == sum(checked)
        assert max(checked) < 8

    @pytest.mark.parametrize("written", ["2999-01-01T00:00:00Z", "1999-01-01T00:00:00Z", "soon", ""])
    def test_any_time_in_redis_leads_to_one_day(self, platform: Installation, written: str) -> None:
        """
        A wrong time in Redis neither prevents the checks nor repeats those of several days.
        """
        app = with_certificates(platform, count=3)
        platform.connection.set(CHECKED, written)

        assert 3 == build_moved_watch(app).check()

    def test_a_name_that_a_job_holds_is_reported_by_the_next_job(self, platform: Installation) -> None:
        """
        The record of a running job is not changed. Its name has moved nevertheless.
        """
        app = in_service(platform)
        move(platform)
        watch(platform, app, days=2)
        platform.elapsed += DAY
        with app.locks.hold([NAME]):
            watch(platform, app)

        assert "valid" == status(app).state
        assert "dns.moved" == job(app, NAME)["code"]
        assert "moved" == status(app).state
        assert [("action", "dns.moved")] == notifications(platform)


class TestDays:
    def test_the_third_day_decides(self, platform: Installation) -> None:
        """
        On the first and second day nothing happens. On the third day the name has moved.
        """
        app = in_service(platform)
        move(platform)

        watch(platform, app, days=2)
        assert "valid" == status(app).state
        assert [] == notifications(platform)

        platform.elapsed += DAY
        watch(platform, app)
        moved = status(app)
        assert ("moved", "dns.moved") == (moved.state, moved.code)
        assert f"found: {ELSEWHERE}" in moved.message
        assert f"{NAME}. A {HERE}" in moved.remedy
        assert [("action", "dns.moved")] == notifications(platform)
        assert [NAME] == events(platform, "moved")
        assert b'certworker_certificates{state="moved"} 1.0' in app.metrics.render()

    def test_a_name_with_an_imported_certificate_does_not_move(self, platform: Installation) -> None:
        """
        A content delivery network may serve an imported name, and its certificate stays.
        """
        app = in_service(platform)
        signed = Wanted([NAME]).sign()
        request = partial(request_certificate, connection=app.connection)
        CertificateImport(app.certificates, app.locks, request, app.clock).run(
            NAME, Pem(signed.pem, key_pem(signed.key)), by="test", force=True
        )
        app.issuance.issue((NAME,))
        move(platform)
        for _ in range(3):
            platform.elapsed += DAY
            assert 0 == build_moved_watch(app).check()

        assert "imported" == status(app).state

    def test_a_name_that_has_moved_can_get_an_imported_certificate(self, platform: Installation) -> None:
        """
        The import of a certificate ends the state `moved`.
        """
        app = in_service(platform)
        move(platform)
        watch(platform, app, days=3)
        assert "moved" == status(app).state
        signed = Wanted([NAME]).sign()
        request = partial(request_certificate, connection=app.connection)
        CertificateImport(app.certificates, app.locks, request, app.clock).run(
            NAME, Pem(signed.pem, key_pem(signed.key)), by="test", force=True
        )

        assert "imported" == app.issuance.issue((NAME,)).state
        assert "imported" == status(app).state
        assert "kept" == app.issuance.issue((NAME,)).state

    def test_it_is_notified_once(self, platform: Installation) -> None:
        """
        Later days and later jobs cause no further notification.
        """
        app = in_service(platform)
        move(platform)
        watch(platform, app, days=3)

        for _ in range(3):
            platform.elapsed += DAY * 1.2
            build_moved_watch(app).check()
            assert [((NAME,), "dns.moved")] == run_due(platform, app)

        assert [("action", "dns.moved")] == notifications(platform)

    @pytest.mark.parametrize("kind", ["SERVFAIL", "REFUSED", "silent", "back"])
    def test_an_outage_in_between_starts_the_count_again(self, platform: Installation, kind: str) -> None:
        """
        Three days must follow each other. A day without a definite answer does not count.
        """
        app = in_service(platform)
        move(platform)
        watch(platform, app, days=2)

        platform.elapsed += DAY
        rows = dict(platform.rows)
        servers = platform.zone, platform.dns.resolver
        if kind == "back":
            platform.points_to(HERE)
        for server in servers:
            if kind == "silent":
                server.silent.add(NAME)
            elif kind != "back":
                server.codes[NAME, "*"] = kind
        watch(platform, app)
        for server in servers:
            server.silent.clear()
            server.codes.clear()
        platform.rows.clear()
        platform.rows.update(rows)

        platform.elapsed += DAY
        watch(platform, app, days=2)
        assert "valid" == status(app).state
        platform.elapsed += DAY
        watch(platform, app)
        assert "moved" == status(app).state

    def test_a_day_without_a_check_starts_the_count_again(self, platform: Installation) -> None:
        """
        While no worker ran for two days, the name may have been back.
        """
        app = in_service(platform)
        move(platform)
        watch(platform, app, days=2)

        platform.elapsed += 2 * DAY
        watch(platform, app, days=2)

        assert "valid" == status(app).state

    def test_many_checks_in_one_day_are_one_day(self, platform: Installation) -> None:
        """
        Three checks within two days are not three days.
        """
        app = in_service(platform)
        move(platform)
        for _ in range(4):
            platform.connection.delete("certworker:elsewhere:checked")
            watch(platform, app)
            platform.elapsed += DAY / 2

        assert "valid" == status(app).state

    def test_an_emptied_redis_starts_the_count_again(self, platform: Installation) -> None:
        """
        Without the list in Redis, three more days are needed.
        """
        app = in_service(platform)
        move(platform)
        watch(platform, app, days=2)
        platform.connection.delete(SIGHTINGS)

        platform.elapsed += DAY
        watch(platform, app)

        assert "valid" == status(app).state
