"""
Several CAs, and the staging environment of one: which CA receives a request, and which does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from certworker.app import App
from certworker.devca.messages import Problem
from certworker.errors import CertworkerError
from certworker.errors.ca import ServerInternal
from certworker.errors.config import WouldReplacePublic
from certworker.errors.http import HttpNotFound
from tests.app_fixture import open_app
from tests.servers.development import development_authority
from tests.servers.fault_injection import Fault
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.ports import free_port

NAME = "shop.localhost"

PUBLIC = {
    "_APP_ENV": "production",
    "_APP_EMAIL_CERTIFICATES": "ops@shop.dev",
    "CERTWORKER_PRIVATE_NETWORK": "false",
}

NOT_FOUND = Problem("unauthorized", "127.0.0.1: Invalid response from http://shop.localhost/: 404")


@pytest.fixture
def first(tmp_path: Path, http_port: int) -> Iterator[FaultyAuthority]:
    """
    Return the CA that is tried first.
    """
    with development_authority(tmp_path / "first", http01_port=http_port) as started:
        yield started


@pytest.fixture
def second(tmp_path: Path, http_port: int) -> Iterator[FaultyAuthority]:
    """
    Return the CA that is tried after the first, or the staging environment of the first.
    """
    with development_authority(tmp_path / "second", http01_port=http_port) as started:
        yield started


@pytest.fixture
def app(
    tmp_path: Path,
    connection: Redis,
    first: FaultyAuthority,
    second: FaultyAuthority,
    http_port: int,
) -> Iterator[App]:
    """
    Return an app with both CAs in its list.
    """
    both = f"{first.directory_url}, {second.directory_url}"
    with app_of(tmp_path, connection, http_port, {}, CERTWORKER_AUTHORITY=both) as opened:
        yield opened


@contextmanager
def app_of(
    place: Path, connection: Redis, http_port: int, urls: dict[str, str], **more: str
) -> Iterator[App]:
    """
    Return an app whose CAs are at their usual URLs, or at *urls*.
    """
    with open_app(place, connection, "", http_port, urls=urls, variables=more) as opened:
        yield opened


@contextmanager
def lets_encrypt(
    place: Path, connection: Redis, http_port: int, first: FaultyAuthority, second: FaultyAuthority
) -> Iterator[App]:
    """
    Return an app for which *first* is Let's Encrypt, without its limit of failures, and *second* its staging.
    """
    limits = place / "limits.json"
    limits.write_text('{"letsencrypt": {"failures_per_name": null}}')
    urls = {"letsencrypt": first.directory_url, "letsencrypt-staging": second.directory_url}
    wanted = {"CERTWORKER_AUTHORITY": "letsencrypt", "CERTWORKER_LIMITS_FILE": str(limits), **PUBLIC}
    with app_of(place, connection, http_port, urls, **wanted) as opened:
        yield opened


def orders(authority: FaultyAuthority) -> int:
    """
    Return how many orders *authority* received.
    """
    return sum(asked.kind == "newOrder" for asked in authority.requests)


class TestTheNextOne:
    def test_it_is_left_alone_while_the_first_one_works(self, app: App, second: FaultyAuthority) -> None:
        """
        The list is in the order of preference.
        """
        outcome = app.issuance.issue((NAME,))

        assert app.issuers[0].ca.label == outcome.metadata.authority
        assert [] == second.requests

    def test_an_outage_is_bridged_at_once(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        The certificate has the label of its CA, so that the renewal names it to the right CA.
        """
        first.stop()
        outcome = app.issuance.issue((NAME,))

        assert app.issuers[1].ca.label == outcome.metadata.authority
        assert 1 == orders(second)

    def test_a_refusal_by_policy_is_one_ca_s_own(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        Another CA may accept what one CA never does.
        """
        first.faults.fail("newOrder", Fault(403, "rejectedIdentifier"))

        assert app.issuers[1].ca.label == app.issuance.issue((NAME,)).metadata.authority

    @pytest.mark.parametrize(("seconds", "label"), [(30, None), (86_400, 1)])
    def test_a_limit_is_worth_another_ca_only_if_it_is_long(
        self, app: App, first: FaultyAuthority, seconds: int, label: int | None
    ) -> None:
        """
        Half a minute is waited for; a week without a renewal would be an outage.
        """
        first.faults.rate_limit(seconds)
        if label is None:
            with pytest.raises(CertworkerError):
                app.issuance.issue((NAME,))
        else:
            assert app.issuers[label].ca.label == app.issuance.issue((NAME,)).metadata.authority

    def test_a_failed_validation_is_not_repeated_elsewhere(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        The next CA gets no order: the validation would fail there, too, and count there.
        """
        first.faults.refusal = NOT_FOUND
        with pytest.raises(HttpNotFound):
            app.issuance.issue((NAME,))

        assert 0 == orders(second)

    def test_when_no_ca_can_issue_the_failure_with_the_earliest_retry_counts(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        The next attempt is soon, not in the week that the second CA names.
        """
        first.faults.fail("newOrder", Fault(500, "serverInternal"), times=None)
        second.faults.rate_limit(86_400)
        with pytest.raises(ServerInternal):
            app.issuance.issue((NAME,))

        again = app.agenda.next_check(NAME)
        assert again is not None
        assert (again - app.clock()).total_seconds() < 60

    def test_each_ca_gets_only_its_own_replaced_certificate(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        RFC 9773, section 5: a CA rejects a certificate that it did not issue.
        """
        first.stop()
        app.issuance.issue((NAME,))
        first.start()

        current = app.certificates.current(NAME)
        assert [None, current and current.metadata.renewal_id] == [
            issuer.replaces_id(current) for issuer in app.issuers
        ]

    def test_each_has_an_account_of_its_own(self, app: App, first: FaultyAuthority) -> None:
        """
        One key at two CAs would link the two accounts.
        """
        app.issuance.issue((NAME,))
        first.stop()
        app.issuance.issue((f"www.{NAME}",))

        assert len({issuer.client.thumbprint for issuer in app.issuers}) == 2

    def test_a_development_certificate_is_no_stopgap_for_a_public_one(
        self,
        tmp_path: Path,
        connection: Redis,
        first: FaultyAuthority,
        second: FaultyAuthority,
        http_port: int,
    ) -> None:
        """
        A valid certificate of the old CA is better than none.
        """
        urls = {"letsencrypt": first.directory_url, "development": second.directory_url}
        wanted = {"CERTWORKER_AUTHORITY": "letsencrypt,development", **PUBLIC}
        with app_of(tmp_path, connection, http_port, urls, **wanted) as app:
            before = app.issuance.issue((NAME,))
            first.stop()
            with pytest.raises(CertworkerError) as caught:
                app.issuance.issue((NAME,), force=True)

            assert not isinstance(caught.value, WouldReplacePublic)
            assert before.metadata == app.certificates.metadata(NAME)
            assert "development" == app.issuance.issue(("new.localhost",)).metadata.authority


class TestStagingFirst:
    @pytest.fixture
    def app(
        self,
        tmp_path: Path,
        connection: Redis,
        first: FaultyAuthority,
        second: FaultyAuthority,
        http_port: int,
    ) -> Iterator[App]:
        """
        Return an app whose last attempt was a failed validation in production.
        """
        with lets_encrypt(tmp_path, connection, http_port, first, second) as opened:
            first.faults.refusal = NOT_FOUND
            with pytest.raises(HttpNotFound):
                opened.issuance.issue((NAME,))
            yield opened

    def test_the_first_attempt_does_not_need_it(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        Most validations succeed, and are faster without a dry run.
        """
        assert (1, 0) == (orders(first), orders(second))

    def test_production_is_not_asked_while_staging_says_no(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        Production allows five failures an hour, staging two hundred.
        """
        second.faults.refusal = NOT_FOUND
        for _ in range(2):
            with pytest.raises(HttpNotFound):
                app.issuance.issue((NAME,))

        assert (1, 2) == (orders(first), orders(second))

    def test_production_is_asked_at_once_when_staging_says_yes(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        Certificates of staging are never installed; the dry run does not even finalize its order.
        """
        first.faults.reset()
        outcome = app.issuance.issue((NAME,))

        assert "letsencrypt" == outcome.metadata.authority
        assert (2, 1) == (orders(first), orders(second))
        assert "finalize" not in {asked.kind for asked in second.requests}

    def test_it_is_remembered_over_a_restart(
        self,
        app: App,
        tmp_path: Path,
        connection: Redis,
        first: FaultyAuthority,
        second: FaultyAuthority,
    ) -> None:
        """
        Operators restart the worker to debug.
        """
        with lets_encrypt(tmp_path, connection, free_port(), first, second) as restarted:
            second.faults.refusal = NOT_FOUND
            with pytest.raises(HttpNotFound):
                restarted.issuance.issue((NAME,))

        assert (1, 1) == (orders(first), orders(second))

    def test_each_rehearsal_is_a_real_one(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        A CA that keeps an authorization for 30 days would report success without a validation.
        """
        with pytest.raises(HttpNotFound):
            app.issuance.issue((NAME,))
        second.faults.refusal = NOT_FOUND
        with pytest.raises(HttpNotFound):
            app.issuance.issue((NAME,))

        assert (2, 2) == (orders(first), orders(second))

    def test_a_person_who_insists_asks_production(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        The operator has fixed the cause.
        """
        first.faults.reset()
        app.issuance.issue((NAME,), force=True)

        assert (2, 0) == (orders(first), orders(second))

    def test_an_outage_of_staging_does_not_block_production(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        Staging has no guaranteed availability; a certificate must not expire because of it.
        """
        first.faults.reset()
        second.stop()

        assert "issued" == app.issuance.issue((NAME,)).state

    def test_after_a_success_there_is_none(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        After a success there is no dry run any more.
        """
        first.faults.reset()
        app.issuance.issue((NAME,))
        app.issuance.issue((NAME,))

        assert 1 == orders(second)
