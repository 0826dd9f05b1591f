"""
The selection of the CA with several CAs, and with a staging environment.
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
    Start the CA that certworker uses first.
    """
    with development_authority(tmp_path / "first", http01_port=http_port) as started:
        yield started


@pytest.fixture
def second(tmp_path: Path, http_port: int) -> Iterator[FaultyAuthority]:
    """
    Start the CA that certworker uses after the first, or the staging environment of the first.
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
    Open an app with both CAs in its list.
    """
    both = f"{first.directory_url}, {second.directory_url}"
    with app_of(tmp_path, connection, http_port, {}, CERTWORKER_AUTHORITY=both) as opened:
        yield opened


@contextmanager
def app_of(
    place: Path, connection: Redis, http_port: int, urls: dict[str, str], **more: str
) -> Iterator[App]:
    """
    Open an app whose CAs have their usual URLs, or *urls*.
    """
    with open_app(place, connection, "", http_port, urls=urls, variables=more) as opened:
        yield opened


@contextmanager
def lets_encrypt(
    place: Path, connection: Redis, http_port: int, first: FaultyAuthority, second: FaultyAuthority
) -> Iterator[App]:
    """
    Open an app for which *first* is Let's Encrypt without its limit of failures, and *second* its staging CA.
    """
    limits = place / "limits.json"
    limits.write_text('{"letsencrypt": {"failures_per_name": null}}')
    urls = {"letsencrypt": first.directory_url, "letsencrypt-staging": second.directory_url}
    wanted = {"CERTWORKER_AUTHORITY": "letsencrypt", "CERTWORKER_LIMITS_FILE": str(limits), **PUBLIC}
    with app_of(place, connection, http_port, urls, **wanted) as opened:
        yield opened


def orders(authority: FaultyAuthority) -> int:
    """
    Return the number of orders that *authority* received.
    """
    return sum(asked.kind == "newOrder" for asked in authority.requests)


class TestNextAuthority:
    def test_it_gets_no_request_while_the_first_ca_works(self, app: App, second: FaultyAuthority) -> None:
        """
        The first CA of the list issues the certificate, and the second CA gets no request.
        """
        outcome = app.issuance.issue((NAME,))

        assert app.issuers[0].ca.label == outcome.metadata.authority
        assert [] == second.requests

    def test_it_issues_during_an_outage_of_the_first_ca(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        The second CA issues the certificate immediately if the first CA is unreachable.
        """
        first.stop()
        outcome = app.issuance.issue((NAME,))

        assert app.issuers[1].ca.label == outcome.metadata.authority
        assert 1 == orders(second)

    def test_it_issues_after_a_policy_rejection_of_the_first_ca(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        The second CA issues the certificate if the policy of the first CA rejects the name.
        """
        first.faults.fail("newOrder", Fault(403, "rejectedIdentifier"))

        assert app.issuers[1].ca.label == app.issuance.issue((NAME,)).metadata.authority

    @pytest.mark.parametrize(("seconds", "label"), [(30, None), (86_400, 1)])
    def test_it_issues_only_during_a_long_limit_of_the_first_ca(
        self, app: App, first: FaultyAuthority, seconds: int, label: int | None
    ) -> None:
        """
        The second CA issues during a limit of a day. During a limit of 30 seconds, certworker waits.
        """
        first.faults.rate_limit(seconds)
        if label is None:
            with pytest.raises(CertworkerError):
                app.issuance.issue((NAME,))
        else:
            assert app.issuers[label].ca.label == app.issuance.issue((NAME,)).metadata.authority

    def test_it_gets_no_order_after_a_failed_validation(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        The second CA gets no order after a failed validation, which would fail there, too.
        """
        first.faults.refusal = NOT_FOUND
        with pytest.raises(HttpNotFound):
            app.issuance.issue((NAME,))

        assert 0 == orders(second)

    def test_without_any_ca_the_failure_with_the_earliest_retry_applies(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        The next attempt follows the failure with the earliest retry, not the limit of the second CA.
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
        An order names its predecessor only at the CA that issued it (RFC 9773, section 5).
        """
        first.stop()
        app.issuance.issue((NAME,))
        first.start()

        current = app.certificates.current(NAME)
        assert [None, current and current.metadata.renewal_id] == [
            issuer.replaces_id(current) for issuer in app.issuers
        ]

    def test_each_ca_has_its_own_account_key(self, app: App, first: FaultyAuthority) -> None:
        """
        The accounts at two CAs have different keys, so the keys do not link them.
        """
        app.issuance.issue((NAME,))
        first.stop()
        app.issuance.issue((f"www.{NAME}",))

        assert len({issuer.client.thumbprint for issuer in app.issuers}) == 2

    def test_a_development_certificate_does_not_replace_a_public_one(
        self,
        tmp_path: Path,
        connection: Redis,
        first: FaultyAuthority,
        second: FaultyAuthority,
        http_port: int,
    ) -> None:
        """
        During an outage of the public CA, its valid certificate stays. Only a new name gets a development
        certificate.
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
        Open an app whose last attempt was a failed validation in production.
        """
        with lets_encrypt(tmp_path, connection, http_port, first, second) as opened:
            first.faults.refusal = NOT_FOUND
            with pytest.raises(HttpNotFound):
                opened.issuance.issue((NAME,))
            yield opened

    def test_the_first_attempt_has_no_dry_run(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        The first attempt sends no order to the staging CA.
        """
        assert (1, 0) == (orders(first), orders(second))

    def test_production_gets_no_order_while_staging_fails(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        The production CA gets no order while the dry run fails. The staging CA allows more failures per hour.
        """
        second.faults.refusal = NOT_FOUND
        for _ in range(2):
            with pytest.raises(HttpNotFound):
                app.issuance.issue((NAME,))

        assert (1, 2) == (orders(first), orders(second))

    def test_production_issues_after_a_successful_dry_run(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        The production CA issues immediately after a successful dry run, which does not finalize its order.
        """
        first.faults.reset()
        outcome = app.issuance.issue((NAME,))

        assert "letsencrypt" == outcome.metadata.authority
        assert (2, 1) == (orders(first), orders(second))
        assert "finalize" not in {asked.kind for asked in second.requests}

    def test_a_dry_run_follows_a_restart(
        self,
        app: App,
        tmp_path: Path,
        connection: Redis,
        first: FaultyAuthority,
        second: FaultyAuthority,
    ) -> None:
        """
        After a restart, the next attempt for a failed name begins with a dry run, too.
        """
        with lets_encrypt(tmp_path, connection, free_port(), first, second) as restarted:
            second.faults.refusal = NOT_FOUND
            with pytest.raises(HttpNotFound):
                restarted.issuance.issue((NAME,))

        assert (1, 1) == (orders(first), orders(second))

    def test_each_dry_run_has_a_new_validation(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        Each dry run validates again, even if the authorization of the last dry run is still valid.
        """
        with pytest.raises(HttpNotFound):
            app.issuance.issue((NAME,))
        second.faults.refusal = NOT_FOUND
        with pytest.raises(HttpNotFound):
            app.issuance.issue((NAME,))

        assert (2, 2) == (orders(first), orders(second))

    def test_a_forced_request_goes_to_production(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        A forced request sends its order to the production CA, without a dry run.
        """
        first.faults.reset()
        app.issuance.issue((NAME,), force=True)

        assert (2, 0) == (orders(first), orders(second))

    def test_an_outage_of_staging_does_not_block_production(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        The production CA issues the certificate if the staging CA is unreachable.
        """
        first.faults.reset()
        second.stop()

        assert "issued" == app.issuance.issue((NAME,)).state

    def test_no_dry_run_follows_a_success(
        self, app: App, first: FaultyAuthority, second: FaultyAuthority
    ) -> None:
        """
        The next request after a success sends no order to the staging CA.
        """
        first.faults.reset()
        app.issuance.issue((NAME,))
        app.issuance.issue((NAME,))

        assert 1 == orders(second)
