"""
Tests of names that have moved.
"""

from __future__ import annotations

import pytest

from certworker.app import App
from certworker.state.sightings import SIGHTINGS
from tests.moving import HERE, OTHER_NAME, in_service, move, notifications, run_due, status, watch
from tests.scenarios.installation import NAME, Installation
from tests.scenarios.scenario import DAY, job


class TestWhileMoved:
    def moved(self, platform: Installation, *names: str) -> App:
        """
        Return an app whose name in service has moved.
        """
        app = in_service(platform, *names)
        move(platform)
        watch(platform, app, days=3)
        assert "moved" == status(app).state
        return app

    def test_a_due_renewal_places_no_order(self, platform: Installation) -> None:
        """
        While the name is elsewhere, neither the renewal nor a request places an order.
        """
        app, orders = self.moved(platform), platform.orders()
        platform.elapsed = 80 * DAY

        assert [((NAME,), "dns.moved")] == run_due(platform, app)
        assert "dns.moved" == job(app, NAME)["code"]
        assert orders == platform.orders()
        assert "moved" == status(app).state
        planned = app.agenda.next_check(NAME)
        assert planned
        assert planned - app.clock() <= DAY * 1.1

    def test_a_name_that_is_back_is_renewed_at_once(self, platform: Installation) -> None:
        """
        The next check renews the due certificate, and there is one notification about the recovery.
        """
        app, orders = self.moved(platform), platform.orders()
        platform.elapsed = 80 * DAY
        platform.points_to(HERE)

        assert [((NAME,), "issued")] == run_due(platform, app)
        assert orders + 1 == platform.orders()
        assert "valid" == status(app).state
        assert ["action", "recovered"] == [kind for kind, _ in notifications(platform)]
        watch(platform, app)
        assert "valid" == status(app).state

    def test_a_name_that_is_back_early_keeps_its_certificate(self, platform: Installation) -> None:
        """
        A certificate that is not due stays in service.
        """
        app = self.moved(platform)
        platform.points_to(HERE)

        assert "kept" == job(app, NAME)["state"]
        assert "valid" == status(app).state

    def test_an_outage_does_not_bring_it_back(self, platform: Installation) -> None:
        """
        A moved name stays moved until it points to this server.
        """
        app = self.moved(platform)
        for server in (platform.zone, platform.dns.resolver):
            server.codes[NAME, "*"] = "SERVFAIL"

        assert "dns.moved" == job(app, NAME)["code"]

    def test_an_expired_certificate_is_taken_out_of_service(self, platform: Installation) -> None:
        """
        After its certificate has expired the name is out of service, and returns when it is back.
        """
        app = self.moved(platform)
        platform.elapsed = 91 * DAY
        assert (app.traefik.directory / f"{NAME}.yml").exists()

        assert [((NAME,), "dns.moved")] == run_due(platform, app)
        assert app.certificates.metadata(NAME) is None
        assert not (app.traefik.directory / f"{NAME}.yml").exists()
        assert "moved" == status(app).state
        assert [("action", "dns.moved")] == notifications(platform)

        platform.elapsed += DAY * 1.1
        platform.points_to(HERE)
        assert [((NAME,), "issued")] == run_due(platform, app)
        assert "valid" == status(app).state

    def test_a_name_out_of_service_is_forgotten_after_30_days(self, platform: Installation) -> None:
        """
        Thirty days after it was taken out of service, the name leaves the agenda.
        """
        app = self.moved(platform)
        platform.elapsed = 91 * DAY
        run_due(platform, app)
        platform.elapsed += 29 * DAY
        run_due(platform, app)
        assert NAME in app.agenda

        platform.elapsed += 2 * DAY
        run_due(platform, app)
        assert NAME not in app.agenda
        assert app.records.read(NAME) is None
        assert not platform.connection.exists(SIGHTINGS)

    def test_the_other_names_of_its_certificate_are_renewed(self, platform: Installation) -> None:
        """
        The renewal omits the moved name. When it is back, it gets a certificate of its own.
        """
        platform.zone.rows[OTHER_NAME] = {"A": [HERE]}
        app = self.moved(platform, NAME, OTHER_NAME)
        platform.elapsed = 80 * DAY

        assert {((NAME,), "dns.moved"), ((OTHER_NAME,), "issued")} == set(run_due(platform, app))
        metadata = app.certificates.metadata(OTHER_NAME)
        assert metadata
        assert (OTHER_NAME,) == metadata.names

        platform.points_to(HERE)
        assert "issued" == job(app, NAME)["state"]
        metadata = app.certificates.metadata(NAME)
        assert metadata
        assert (NAME,) == metadata.names

    def test_a_forced_request_is_an_order(self, platform: Installation) -> None:
        """
        The operator can order all the same. The preflight checks remain.
        """
        app = self.moved(platform)

        assert "dns.moved" != job(app, NAME, force=True)["code"]

    def test_a_removed_name_is_not_moved_when_it_is_requested_again(self, platform: Installation) -> None:
        """
        A removal forgets what the checks found.
        """
        app = self.moved(platform)
        app.removal.remove(NAME)
        platform.points_to(HERE)

        assert not platform.connection.exists(SIGHTINGS)
        assert "issued" == job(app, NAME)["state"]

    def test_the_certificate_that_expires_is_no_alarm(
        self, platform: Installation, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The certificate of a moved name may expire: it is not reported as overdue.
        """
        app = self.moved(platform)
        platform.elapsed = 89 * DAY
        caplog.clear()

        assert 0 == app.expiry_alerts.log().overdue
        assert "renew.overdue" not in caplog.text
        assert b"\ncertworker_earliest_not_after_timestamp_seconds " not in app.metrics.render()
