"""
Test orders with DNS-01 and a name server that accepts updates.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from certworker.app import App
from certworker.devca.messages import Problem
from certworker.devca.name_server import KEY_NAME, DevelopmentNameServer
from certworker.errors.dns01 import NotConfigured, NotVisible
from tests.app_fixture import open_app
from tests.servers.development import development_authority
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.ports import free_port

ZONE = "demo.localhost"
WILDCARD = f"*.{ZONE}"


@pytest.fixture
def name_server() -> Iterator[DevelopmentNameServer]:
    """
    Run the name server of the zone.
    """
    with DevelopmentNameServer(ZONE) as server:
        yield server


@pytest.fixture
def http_port() -> int:
    """
    Return the port of the worker, which the CA uses as port 80.
    """
    return free_port()


@pytest.fixture
def authority(
    tmp_path: Path, name_server: DevelopmentNameServer, http_port: int
) -> Iterator[FaultyAuthority]:
    """
    Run a CA that offers both challenges.
    """
    with development_authority(tmp_path, http01_port=http_port, dns_server=name_server.address) as authority:
        yield authority


@pytest.fixture
def variables(name_server: DevelopmentNameServer) -> dict[str, str]:
    """
    Return the settings of the provider.
    """
    host, port = name_server.address
    return {
        "_APP_DNS": f"{host}:{port}",
        "CERTWORKER_DNS01_PROVIDER": f"rfc2136@{ZONE}",
        "RFC2136_NAMESERVER": f"{host}:{port}",
        "RFC2136_TSIG_KEY": KEY_NAME,
        "RFC2136_TSIG_SECRET": name_server.secret,
    }


@pytest.fixture
def app(
    tmp_path: Path,
    connection: Redis,
    authority: FaultyAuthority,
    http_port: int,
    variables: dict[str, str],
) -> Iterator[App]:
    """
    Run the app with the settings of the provider.
    """
    with open_app(tmp_path, connection, authority.directory_url, http_port, variables=variables) as app:
        yield app


class TestWildcard:
    def test_a_wildcard_is_issued_without_a_leftover_record(
        self, app: App, name_server: DevelopmentNameServer, tmp_path: Path
    ) -> None:
        """
        A wildcard is issued, and no record remains. Its files have an underscore instead of the
        asterisk.
        """
        outcome = app.issuance.issue((WILDCARD,))

        assert ("issued", (WILDCARD,)) == (outcome.state, outcome.metadata.names)
        assert {} == name_server.records
        assert (tmp_path / "certificates" / f"_.{ZONE}" / "fullchain.pem").exists()
        assert (tmp_path / "config" / f"_.{ZONE}.yml").exists()

    def test_names_with_different_challenges_share_a_certificate(
        self, app: App, name_server: DevelopmentNameServer
    ) -> None:
        """
        A domain, its wildcard and a name with HTTP-01 share a certificate, and no record remains.
        """
        names = (ZONE, WILDCARD, "other.localhost")

        assert names == app.issuance.issue(names).metadata.names
        assert {} == name_server.records

    def test_a_valid_wildcard_is_kept(self, app: App) -> None:
        """
        A second request for a valid wildcard places no order.
        """
        first = app.issuance.issue((WILDCARD,))

        second = app.issuance.issue((WILDCARD,))

        assert ("kept", first.metadata.serial) == (second.state, second.metadata.serial)


class TestFailure:
    def test_a_refusal_of_the_ca_leaves_no_record(
        self, app: App, authority: FaultyAuthority, name_server: DevelopmentNameServer
    ) -> None:
        """
        The failure names the record, which is deleted after a refusal, too.
        """
        authority.faults.refusal = Problem("unauthorized", f"No TXT record found at _acme-challenge.{ZONE}")

        with pytest.raises(NotVisible) as caught:
            app.issuance.issue((WILDCARD,))

        assert f"_acme-challenge.{ZONE}" in caught.value.message
        assert {} == name_server.records


class TestUnservedZone:
    @pytest.fixture
    def variables(self, variables: dict[str, str]) -> dict[str, str]:
        """
        Return the settings with a provider for another zone.
        """
        return {**variables, "CERTWORKER_DNS01_PROVIDER": "rfc2136@example.com"}

    def test_a_zone_without_a_provider_gets_no_order(self, app: App, authority: FaultyAuthority) -> None:
        """
        Preflight fails if no provider serves the zone, and the remedy names the setting.
        """
        with pytest.raises(NotConfigured) as caught:
            app.issuance.issue((WILDCARD,))

        assert "CERTWORKER_DNS01_PROVIDER" in caught.value.remedy
        assert "newOrder" not in [request.kind for request in authority.requests]
