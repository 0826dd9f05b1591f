"""
Tests of the start, stop and restart of the CA.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from cryptography import x509

from tests.servers.acme_client import AcmeClient
from tests.servers.development import ChallengeServer, development_authority
from tests.servers.faulty_authority import FaultyAuthority

NAME = "shop.localhost"


class TestDirectory:
    def test_the_directory_lists_the_resources(self, authority: FaultyAuthority) -> None:
        """
        The directory has the members of RFC 8555, section 7.1.1, renewal information and profiles.
        """
        directory = requests.get(authority.directory_url, timeout=5).json()
        kinds = {"newNonce", "newAccount", "newOrder", "revokeCert", "keyChange", "renewalInfo", "meta"}
        assert kinds == directory.keys()
        assert {"classic", "shortlived"} == directory["meta"]["profiles"].keys()
        assert requests.get(directory["meta"]["termsOfService"], timeout=5).ok

    def test_head_and_get_return_a_nonce(self, authority: FaultyAuthority) -> None:
        """
        HEAD returns a nonce with status 200, and GET with status 204 (RFC 8555, section 7.2).
        """
        url = requests.get(authority.directory_url, timeout=5).json()["newNonce"]
        head, get = requests.head(url, timeout=5), requests.get(url, timeout=5)
        assert (200, 204) == (head.status_code, get.status_code)
        assert head.headers["Replay-Nonce"] != get.headers["Replay-Nonce"]


class TestOutage:
    def test_open_connections_end_with_the_ca(self, authority: FaultyAuthority) -> None:
        """
        A stopped CA does not respond on open connections.
        """
        client = AcmeClient(authority.directory_url)
        authority.stop()
        with pytest.raises(requests.ConnectionError):
            client.register()

    def test_the_ca_restarts_at_the_same_address(
        self, authority: FaultyAuthority, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        A pending order continues after a restart of the CA.
        """
        order, url = client.order(NAME), authority.directory_url
        authority.stop()
        authority.start()
        assert url == authority.directory_url
        assert "ready" == client.answer(order, challenge_server).status

    def test_a_stop_does_not_wait_for_slow_requests(self, authority: FaultyAuthority) -> None:
        """
        The CA stops immediately, although a slow request is pending.
        """
        authority.faults.slow_seconds["directory"] = 3_600
        with pytest.raises(requests.ReadTimeout):
            requests.get(authority.directory_url, timeout=0.1)
        authority.stop()

    def test_a_second_stop_does_nothing(self, authority: FaultyAuthority) -> None:
        """
        The CA can be stopped twice, once by the test and once by the fixture.
        """
        authority.stop()
        authority.stop()


class TestClock:
    def test_certificates_use_the_clock(self, tmp_path: Path, challenge_server: ChallengeServer) -> None:
        """
        The validity of a certificate includes the time of the given clock.
        """
        then = datetime(2028, 2, 16, tzinfo=UTC)
        with development_authority(
            tmp_path, http01_port=challenge_server.port, clock=lambda: then
        ) as authority:
            issued = AcmeClient(authority.directory_url).issue(NAME, server=challenge_server)
        assert issued.not_before < then < issued.not_after


class TestRoot:
    def test_the_root_is_a_file_for_browsers(self, authority: FaultyAuthority) -> None:
        """
        The root is a PEM file, which browsers can import.
        """
        root = x509.load_pem_x509_certificate(authority.root_path.read_bytes())

        assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
