"""
The issuance of one certificate, with real Redis, volume and CA.
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
    return sum(asked.kind == "newOrder" for asked in authority.requests)


def served(app: App, name: str) -> Certificate:
    """
    Return the certificate to which Traefik's file leads.
    """
    files = app.traefik.files(name)
    assert files is not None
    stored = app.certificates.current(name)
    assert stored is not None
    assert files == (stored.directory / "fullchain.pem", stored.directory / "privkey.pem")
    return stored.certificate


class TestIssue:
    def test_a_new_name_gets_a_certificate_that_traefik_can_serve(self, app: App) -> None:
        """
        A first request issues a certificate and puts it into service.
        """
        outcome = app.issuance.issue((NAME,))

        assert "issued" == outcome.state
        assert (NAME,) == served(app, NAME).names

    def test_a_certificate_that_is_not_due_is_kept(self, app: App, authority: FaultyAuthority) -> None:
        """
        A second request finds the certificate and orders nothing.
        """
        first = app.issuance.issue((NAME,))
        second = app.issuance.issue((NAME,))

        assert "kept" == second.state
        assert first.metadata == second.metadata
        assert 1 == orders(authority)

    @pytest.mark.parametrize("seconds", [3, 900])
    def test_a_certificate_is_not_checked_at_once_however_short_it_lives(
        self, app: App, authority: FaultyAuthority, seconds: int
    ) -> None:
        """
        A CA with very short validity periods does not cause a loop of orders.
        """
        authority.lifetime = timedelta(seconds=seconds)
        before = app.clock()

        outcome = app.issuance.issue((NAME,))

        assert outcome.next_check >= before + timedelta(seconds=5)
        assert outcome.next_check < outcome.metadata.not_after or seconds < 5

    def test_force_issues_a_new_certificate(self, app: App, authority: FaultyAuthority) -> None:
        """
        A new certificate is issued although the current one is valid, for example after a key was stolen.
        """
        first = app.issuance.issue((NAME,))
        second = app.issuance.issue((NAME,), force=True)

        assert first.metadata.serial != second.metadata.serial
        assert second.metadata.serial == served(app, NAME).serial
        assert 2 == orders(authority)

    def test_several_names_share_one_certificate_and_one_generation(self, app: App) -> None:
        """
        Each name has a file for Traefik, and all files name the same certificate.
        """
        names = (NAME, f"www.{NAME}")
        app.issuance.issue(names)

        assert set(names) == set(served(app, names[0]).names)
        assert app.traefik.files(names[0]) == app.traefik.files(names[1])

    def test_a_name_that_joins_a_set_means_a_new_certificate(
        self, app: App, authority: FaultyAuthority
    ) -> None:
        """
        A certificate for one name does not serve two.
        """
        app.issuance.issue((NAME,))
        outcome = app.issuance.issue((NAME, f"www.{NAME}"))

        assert "issued" == outcome.state
        assert 2 == orders(authority)

    @pytest.mark.parametrize("asked", [(NAME,), (f"WWW.{NAME}".lower(),), (f"www.{NAME}", NAME)])
    def test_a_request_for_some_names_of_a_valid_certificate_keeps_it(
        self, app: App, authority: FaultyAuthority, asked: tuple[str, ...]
    ) -> None:
        """
        The certificate serves them; nothing is ordered, and no name is lost.
        """
        first = app.issuance.issue((NAME, f"www.{NAME}", f"shop.{NAME}"))
        outcome = app.issuance.issue(asked)

        assert ("kept", asked[0]) == (outcome.state, outcome.metadata.names[0])
        assert first.metadata.serial == outcome.metadata.serial
        assert {served(app, name).serial for name in first.metadata.names} == {first.metadata.serial}
        assert 1 == orders(authority)

    def test_when_it_is_due_it_is_renewed_for_all_its_names(
        self, app: App, authority: FaultyAuthority, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log names the other names of the certificate.
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
        assert f"also for {NAME}: they are renewed together" in caplog.text
        assert 2 == orders(authority)

    def test_force_orders_exactly_the_names_of_the_request(self, app: App) -> None:
        """
        The other name is served as before.
        """
        first = app.issuance.issue((NAME, f"www.{NAME}"))
        outcome = app.issuance.issue((NAME,), force=True)

        assert (NAME,) == outcome.metadata.names
        assert (outcome.metadata.serial, first.metadata.serial) == (
            served(app, NAME).serial,
            served(app, f"www.{NAME}").serial,
        )

    def test_a_name_that_has_left_is_not_renewed_with_the_others(
        self, app: App, authority: FaultyAuthority
    ) -> None:
        """
        Each of the two names has a certificate of its own from then on.
        """
        first = app.issuance.issue((NAME, f"www.{NAME}"))
        app.issuance.issue((f"www.{NAME}",), force=True)

        outcome = app.issuance.issue((NAME,))
        assert ("kept", first.metadata.serial) == (outcome.state, outcome.metadata.serial)
        due = replace(
            app.issuance, decide=lambda metadata, now: replace(app.issuance.decide(metadata, now), due=True)
        )
        assert (NAME,) == due.issue((NAME,)).metadata.names
        assert 3 == sum(asked.kind == "finalize" for asked in authority.requests)

    def test_a_lost_file_of_the_proxy_is_written_again_without_an_order(
        self, app: App, authority: FaultyAuthority
    ) -> None:
        """
        The certificate on the volume is complete, so only the file is written.
        """
        app.issuance.issue((NAME,))
        app.traefik.remove(NAME)
        app.issuance.issue((NAME,))

        assert NAME in served(app, NAME).names
        assert 1 == orders(authority)

    def test_the_answer_to_the_challenge_is_gone_afterwards(self, app: App) -> None:
        """
        Neither the responder nor the webroot answers for a finished challenge.
        """
        app.issuance.issue((NAME,))

        assert {} == app.tokens.all()
        assert app.settings.webroot is not None
        assert [] == list((app.settings.webroot / ".well-known/acme-challenge").iterdir())

    def test_the_next_check_is_on_the_agenda(self, app: App) -> None:
        """
        Only names on the agenda are renewed.
        """
        outcome = app.issuance.issue((NAME,))

        planned = app.agenda.next_check(NAME)
        assert planned is not None
        assert outcome.next_check.timestamp() == pytest.approx(planned.timestamp())

    def test_two_at_a_time_are_one(self, app: App) -> None:
        """
        The second job fails at once instead of waiting for the lock.
        """
        with app.locks.hold([NAME]), pytest.raises(AlreadyInProgress):
            app.issuance.issue((NAME,))


class TestFailure:
    def test_it_is_recorded_with_its_remedy_and_the_next_attempt(
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
    def test_what_preflight_had_found_is_part_of_a_refusal(self, app: App, same: bool) -> None:
        """
        Its remedy names the record to create; the CA does not know the address of this server.
        """
        record = NoRecord(name="unreachable.invalid", detail="", expected="203.0.113.7")
        doubt = HttpSluggish(name="unreachable.invalid", address="203.0.113.7", seconds=7)
        findings = [doubt, record] if same else [doubt]
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
            assert failure.message.endswith(f" Preflight found [{doubt.code}]: {doubt.message}")
            assert failure.remedy.startswith("Create an A record")
            assert failure.remedy.endswith(f" · {doubt.remedy}")

    def test_a_failure_that_is_no_refusal_stays_as_it_is(self, app: App, authority: FaultyAuthority) -> None:
        """
        An outage of the CA is not related to what preflight found about a name.
        """
        findings = [NoRecord(name=NAME, detail="", expected="203.0.113.7")]
        authority.stop()
        issuer = replace(app.issuance, preflight=lambda *_, **__: findings)
        with pytest.raises(CaUnreachable) as caught:
            issuer.issue((NAME,))

        assert "Preflight" not in caught.value.message

    def test_what_was_in_service_stays_in_service(self, app: App, authority: FaultyAuthority) -> None:
        """
        A failed renewal does not change what is served.
        """
        first = app.issuance.issue((NAME,))
        authority.stop()
        with pytest.raises(CertworkerError):
            app.issuance.issue((NAME,), force=True)

        assert first.metadata.serial == served(app, NAME).serial

    def test_an_answer_is_removed_after_a_failure(self, app: App) -> None:
        """
        The answer is removed after a failure, too.
        """
        with pytest.raises(CertworkerError):
            app.issuance.issue(("unreachable.invalid",))

        assert {} == app.tokens.all()


class TestWhoMayIssue:
    def test_a_public_ca_wants_production_and_a_contact(
        self, tmp_path: Path, connection: Redis, authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        The job fails with the code of the missing setting, and no request is sent to the CA.
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
        A wrong setting does not replace a public certificate by one that browsers reject.
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
