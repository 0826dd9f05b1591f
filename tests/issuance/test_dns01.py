"""
Tests of orders that are proved by DNS-01, with a name server that takes updates.
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
    The name server of the zone.
    """
    with DevelopmentNameServer(ZONE) as server:
        yield server


@pytest.fixture
def http_port() -> int:
    """
    The port of the worker, which the CA uses as port 80.
    """
    return free_port()


@pytest.fixture
def authority(
    tmp_path: Path, name_server: DevelopmentNameServer, http_port: int
) -> Iterator[FaultyAuthority]:
    """
    A CA that offers both challenges.
    """
    with development_authority(tmp_path, http01_port=http_port, dns_server=name_server.address) as authority:
        yield authority


@pytest.fixture
def variables(name_server: DevelopmentNameServer) -> dict[str, str]:
    """
    The settings of the provider.
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
    The app with these settings.
    """
    with open_app(tmp_path, connection, authority.directory_url, http_port, variables=variables) as app:
        yield app


class TestWildcard:
    def test_a_wildcard_is_issued_and_no_record_is_left(
        self, app: App, name_server: DevelopmentNameServer, tmp_path: Path
    ) -> None:
        """
        The directory and Traefik's file have an underscore for the star.
        """
        outcome = app.issuance.issue((WILDCARD,))

        assert ("issued", (WILDCARD,)) == (outcome.state, outcome.metadata.names)
        assert {} == name_server.records
        assert (tmp_path / "certificates" / f"_.{ZONE}" / "fullchain.pem").exists()
        assert (tmp_path / "config" / f"_.{ZONE}.yml").exists()

    def test_a_domain_its_wildcard_and_a_name_over_port_80_share_a_certificate(
        self, app: App, name_server: DevelopmentNameServer
    ) -> None:
        """
        The challenge is chosen for each name; the domain and its wildcard have two values at one name.
        """
        names = (ZONE, WILDCARD, "other.localhost")

        assert names == app.issuance.issue(names).metadata.names
        assert {} == name_server.records

    def test_a_valid_wildcard_is_kept(self, app: App) -> None:
        """
        The second request costs no order.
        """
        first = app.issuance.issue((WILDCARD,))

        second = app.issuance.issue((WILDCARD,))

        assert ("kept", first.metadata.serial) == (second.state, second.metadata.serial)


class TestFailure:
    def test_a_refusal_of_the_ca_leaves_no_record(
        self, app: App, authority: FaultyAuthority, name_server: DevelopmentNameServer
    ) -> None:
        """
        The record is deleted after a failure, too, and the failure names it.
        """
        authority.faults.refusal = Problem("unauthorized", f"No TXT record found at _acme-challenge.{ZONE}")

        with pytest.raises(NotVisible) as refused:
            app.issuance.issue((WILDCARD,))

        assert f"_acme-challenge.{ZONE}" in refused.value.message
        assert {} == name_server.records


class TestUnservedZone:
    @pytest.fixture
    def variables(self, variables: dict[str, str]) -> dict[str, str]:
        """
        The provider serves another zone.
        """
        return {**variables, "CERTWORKER_DNS01_PROVIDER": "rfc2136@example.com"}

    def test_nothing_is_ordered(self, app: App, authority: FaultyAuthority) -> None:
        """
        Preflight finds that no provider serves the zone; the remedy names the setting.
        """
        with pytest.raises(NotConfigured) as refused:
            app.issuance.issue((WILDCARD,))

        assert "CERTWORKER_DNS01_PROVIDER" in refused.value.remedy
        assert "newOrder" not in [request.kind for request in authority.requests]
