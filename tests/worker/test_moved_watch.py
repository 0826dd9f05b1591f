"""
Tests of the daily check of names in service.
"""

from __future__ import annotations

from functools import partial

import pytest

from certworker.issuance.importing import CertificateImport
from certworker.own_certificates import Pem
from certworker.runtime import build_moved_watch
from certworker.state.sightings import SIGHTINGS
from certworker.worker.producer import request_certificate
from tests.certificate_builder import Wanted, key_pem
from tests.moving import ELSEWHERE, HERE, events, in_service, move, notifications, run_due, status, watch
from tests.scenarios.installation import NAME, Installation
from tests.scenarios.scenario import DAY


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
