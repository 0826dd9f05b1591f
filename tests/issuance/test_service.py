"""
Tests of the issuance of a certificate with a real Redis, volume and CA.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis

from certworker.app import App
from certworker.certificates import Certificate
from certworker.errors import CertworkerError
from certworker.errors.ca import CaUnreachable
from certworker.errors.config import EmailMissing, NotProduction, WouldReplacePublic
from certworker.errors.dns import NoRecord
from certworker.errors.http import HttpSluggish
from certworker.errors.worker import AlreadyInProgress
from tests.app_fixture import open_app
from tests.servers.faulty_authority import FaultyAuthority

NAME = "shop.localhost"


@pytest.fixture
def authority(app_authority: FaultyAuthority) -> FaultyAuthority:
    """
    Return the CA of the app.
    """
    return app_authority


def orders(authority: FaultyAuthority) -> int:
    """
    Return how many orders the CA received.
    """
    return sum(request.kind == "newOrder" for request in authority.requests)


def served(app: App, name: str) -> Certificate:
    """
    Return the certificate that Traefik's file names.
    """
    files = app.traefik.files(name)
    assert files is not None
    stored = app.certificates.current(name)
    assert stored is not None
    assert files == (stored.directory / "fullchain.pem", stored.directory / "privkey.pem")
    return stored.certificate


class TestIssue:
    def test_a_new_name_gets_a_certificate_in_service(self, app: App) -> None:
        """
        A first request issues a certificate and puts it into service.
        """
        outcome = app.issuance.issue((NAME,))

        assert "issued" == outcome.state
        assert (NAME,) == served(app, NAME).names

    def test_a_certificate_that_is_not_due_is_kept(self, app: App, authority: FaultyAuthority) -> None:
        """
        A second request returns the certificate and places no order.
        """
        first = app.issuance.issue((NAME,))
        second = app.issuance.issue((NAME,))

        assert "kept" == second.state
        assert first.metadata == second.metadata
        assert 1 == orders(authority)

    @pytest.mark.parametrize("seconds", [3, 900])
    def test_a_new_certificate_is_not_checked_at_once(
        self, app: App, authority: FaultyAuthority, seconds: int
    ) -> None:
        """
        The next check is at least five seconds after the issuance, so that short lifetimes cause no
        loop.
        """
        authority.lifetime = timedelta(seconds=seconds)
        before = app.clock()

        outcome = app.issuance.issue((NAME,))

        assert outcome.next_check >= before + timedelta(seconds=5)
        assert outcome.next_check < outcome.metadata.not_after or seconds < 5

    def test_a_forced_request_issues_a_new_certificate(self, app: App, authority: FaultyAuthority) -> None:
        """
        A forced request issues a new certificate although the current one is valid.
        """
        first = app.issuance.issue((NAME,))
        second = app.issuance.issue((NAME,), force=True)

        assert first.metadata.serial != second.metadata.serial
        assert second.metadata.serial == served(app, NAME).serial
        assert 2 == orders(authority)

    def test_several_names_share_one_certificate_and_one_generation(self, app: App) -> None:
        """
        Several names share one certificate, and each name has a file for Traefik.
        """
        names = (NAME, f"www.{NAME}")
        app.issuance.issue(names)

        assert set(names) == set(served(app, names[0]).names)
        assert app.traefik.files(names[0]) == app.traefik.files(names[1])

    def test_an_additional_name_requires_a_new_certificate(
        self, app: App, authority: FaultyAuthority
    ) -> None:
        """
        A request with an additional name issues a new certificate.
        """
        app.issuance.issue((NAME,))
        outcome = app.issuance.issue((NAME, f"www.{NAME}"))

        assert "issued" == outcome.state
        assert 2 == orders(authority)

    @pytest.mark.parametrize("names", [(NAME,), (f"WWW.{NAME}".lower(),), (f"www.{NAME}", NAME)])
    def test_a_request_for_some_names_returns_the_valid_certificate(
        self, app: App, authority: FaultyAuthority, names: tuple[str, ...]
    ) -> None:
        """
        A request for some names of a valid certificate places no order and removes no name.
        """
        first = app.issuance.issue((NAME, f"www.{NAME}", f"shop.{NAME}"))
        outcome = app.issuance.issue(names)

        assert ("kept", names[0]) == (outcome.state, outcome.metadata.names[0])
        assert first.metadata.serial == outcome.metadata.serial
        assert {served(app, name).serial for name in first.metadata.names} == {first.metadata.serial}
        assert 1 == orders(authority)

    def test_a_due_certificate_is_renewed_for_all_its_names(
        self, app: App, authority: FaultyAuthority, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A request for one name of a due certificate renews it for all names, and the log has the others.
        """
        names = (NAME, f"www.{NAME}")
        app.issuance.issue(names)
        due = replace(
            app.issuance, decide=lambda metadata, now: replace(app.issuance.decide(metadata, now), due=True)
        )
        with caplog.at_level(logging.INFO, "certworker"):
            outcome = due.issue((f"www.{NAME}",))

        assert ("issued", set(names)) == (outcome.state, set(outcome.metadata.names))
        assert {served(app, name).serial for name in names} == {outcome.metadata.serial}
        assert f"also for {NAME}; all are renewed together" in caplog.text
        assert 2 == orders(authority)

    def test_a_forced_request_orders_exactly_its_names(self, app: App) -> None:
        """
        A forced request orders exactly its names. The other name retains its certificate.
        """
        first = app.issuance.issue((NAME, f"www.{NAME}"))
        outcome = app.issuance.issue((NAME,), force=True)

        assert (NAME,) == outcome.metadata.names
        assert (outcome.metadata.serial, first.metadata.serial) == (
            served(app, NAME).serial,
            served(app, f"www.{NAME}").serial,
        )

    def test_a_name_with_a_newer_certificate_is_not_renewed_with_the_others(
        self, app: App, authority: FaultyAuthority
    ) -> None:
        """
        A certificate is renewed without a name that has a newer certificate of its own.
        """
        first = app.issuance.issue((NAME, f"www.{NAME}"))
        app.issuance.issue((f"www.{NAME}",), force=True)

        outcome = app.issuance.issue((NAME,))
        assert ("kept", first.metadata.serial) == (outcome.state, outcome.metadata.serial)
        due = replace(
            app.issuance, decide=lambda metadata, now: replace(app.issuance.decide(metadata, now), due=True)
        )
        assert (NAME,) == due.issue((NAME,)).metadata.names
        assert 3 == sum(request.kind == "finalize" for request in authority.requests)

    def test_a_lost_file_of_traefik_is_written_without_an_order(
        self, app: App, authority: FaultyAuthority
    ) -> None:
        """
        A lost file of Traefik is written without an order, because the volume has the certificate.
        """
        app.issuance.issue((NAME,))
        app.traefik.remove(NAME)
        app.issuance.issue((NAME,))

        assert NAME in served(app, NAME).names
        assert 1 == orders(authority)

    def test_the_response_to_the_challenge_is_removed_after_the_issuance(self, app: App) -> None:
        """
        No response to the challenge remains after the issuance, neither in Redis nor in the webroot.
        """
        app.issuance.issue((NAME,))

        assert {} == app.tokens.all()
        assert app.settings.webroot is not None
        assert [] == list((app.settings.webroot / ".well-known/acme-challenge").iterdir())

    def test_the_next_check_is_on_the_agenda(self, app: App) -> None:
        """
        The next check of the certificate is on the agenda.
        """
        outcome = app.issuance.issue((NAME,))

        planned = app.agenda.next_check(NAME)
        assert planned is not None
        assert outcome.next_check.timestamp() == pytest.approx(planned.timestamp())

    def test_a_concurrent_job_fails_at_once(self, app: App) -> None:
        """
        A second concurrent job for the same name fails immediately, and does not wait for the lock.
        """
        with app.locks.hold([NAME]), pytest.raises(AlreadyInProgress):
            app.issuance.issue((NAME,))


class TestFailure:
    def test_a_failure_is_recorded_with_its_remedy_and_the_next_attempt(
        self, app: App, authority: FaultyAuthority
    ) -> None:
        """
        The record has the code, the remedy and the time of the next attempt.
        """
        with pytest.raises(CertworkerError) as caught:
            app.issuance.issue(("unreachable.invalid",))

        record = app.records.read("unreachable.invalid")
        assert record is not None
        assert ("failed", caught.value.code, 1) == (record.state, record.code, record.attempts)
        assert record.remedy
        assert record.next_check is not None
        assert record.next_check > app.clock()

    @pytest.mark.parametrize("same", [True, False])
    def test_the_failure_has_the_findings_of_preflight(self, app: App, same: bool) -> None:
        """
        The failure of a validation has the finding of preflight, with its remedy.
        """
        record = NoRecord(name="unreachable.invalid", detail="", record="shop.org. A 203.0.113.7")
        warning = HttpSluggish(name="unreachable.invalid", address="203.0.113.7", seconds=7)
        findings = [warning, record] if same else [warning]
        app = replace(app, issuance=replace(app.issuance, preflight=lambda *_, **__: findings))
        with pytest.raises(CertworkerError) as caught:
            app.issuance.issue(("unreachable.invalid",))
        failure, recorded = caught.value, app.records.read("unreachable.invalid")

        assert "dns.no_record" == failure.code
        assert recorded
        assert (failure.message, failure.remedy) == (recorded.message, recorded.remedy)
        if same:
            assert failure.message.endswith(f" Preflight found [dns.no_record]: {record.message}")
            assert record.remedy == failure.remedy
        else:
            assert failure.message.endswith(f" Preflight found [{warning.code}]: {warning.message}")
            assert failure.remedy.startswith("Create an A record")
            assert failure.remedy.endswith(f" · {warning.remedy}")

    def test_an_outage_does_not_have_the_findings_of_preflight(
        self, app: App, authority: FaultyAuthority
    ) -> None:
        """
        An outage of the CA does not have the finding of preflight, because it is unrelated to the name.
        """
        findings = [NoRecord(name=NAME, detail="", record="shop.org. A 203.0.113.7")]
        authority.stop()
        issuer = replace(app.issuance, preflight=lambda *_, **__: findings)
        with pytest.raises(CaUnreachable) as caught:
            issuer.issue((NAME,))

        assert "Preflight" not in caught.value.message

    def test_the_certificate_in_service_is_served_after_a_failure(
        self, app: App, authority: FaultyAuthority
    ) -> None:
        """
        A failed renewal does not change the served certificate.
        """
        first = app.issuance.issue((NAME,))
        authority.stop()
        with pytest.raises(CertworkerError):
            app.issuance.issue((NAME,), force=True)

        assert first.metadata.serial == served(app, NAME).serial

    def test_the_response_to_the_challenge_is_removed_after_a_failure(self, app: App) -> None:
        """
        No response to the challenge remains after a failure.
        """
        with pytest.raises(CertworkerError):
            app.issuance.issue(("unreachable.invalid",))

        assert {} == app.tokens.all()


class TestAuthority:
    def test_a_public_ca_requires_production_and_an_email_address(
        self, tmp_path: Path, connection: Redis, authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        Without a required setting, the job fails with its code, and the CA gets no order.
        """
        for more, failure in (({}, NotProduction), ({"_APP_ENV": "production"}, EmailMissing)):
            settings = {"CERTWORKER_PRIVATE_NETWORK": "false", **more}
            with (
                open_app(tmp_path, connection, authority.directory_url, http_port, variables=settings) as app,
                pytest.raises(failure),
            ):
                app.issuance.issue(("shop.example.org",))

        assert 0 == orders(authority)

    def test_a_development_certificate_never_replaces_a_public_one(
        self, tmp_path: Path, connection: Redis, authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        A development CA does not replace a public certificate that is in service.
        """
        public = {
            "CERTWORKER_PRIVATE_NETWORK": "false",
            "_APP_ENV": "production",
            "_APP_EMAIL_CERTIFICATES": "ops@shop.dev",
        }
        with open_app(tmp_path, connection, authority.directory_url, http_port, variables=public) as app:
            app.issuance.issue((NAME,))
        with (
            open_app(
                tmp_path, connection, authority.directory_url, http_port, CERTWORKER_AUTHORITY="development"
            ) as app,
            pytest.raises(WouldReplacePublic),
        ):
            app.issuance.issue((NAME,), force=True)

        assert 1 == orders(authority)
