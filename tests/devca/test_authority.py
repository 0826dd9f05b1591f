"""
The CA as a whole: start, stop and restart.
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
    def test_it_lists_the_resources(self, authority: FaultyAuthority) -> None:
        """
        RFC 8555, section 7.1.1, with renewal information and profiles.
        """
        directory = requests.get(authority.directory_url, timeout=5).json()
        kinds = {"newNonce", "newAccount", "newOrder", "revokeCert", "keyChange", "renewalInfo", "meta"}
        assert kinds == directory.keys()
        assert {"classic", "shortlived"} == directory["meta"]["profiles"].keys()
        assert requests.get(directory["meta"]["termsOfService"], timeout=5).ok

    def test_nonces_come_by_head_and_get(self, authority: FaultyAuthority) -> None:
        """
        RFC 8555, section 7.2: 200 and 204.
        """
        url = requests.get(authority.directory_url, timeout=5).json()["newNonce"]
        head, get = requests.head(url, timeout=5), requests.get(url, timeout=5)
        assert (200, 204) == (head.status_code, get.status_code)
        assert head.headers["Replay-Nonce"] != get.headers["Replay-Nonce"]


class TestOutage:
    def test_open_connections_end_with_it(self, authority: FaultyAuthority) -> None:
        """
        A stopped CA does not answer on connections that clients keep open.
        """
        client = AcmeClient(authority.directory_url)
        authority.stop()
        with pytest.raises(requests.ConnectionError):
            client.register()

    def test_it_restarts_at_the_same_address(
        self, authority: FaultyAuthority, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        After an outage the order that was under way goes on.
        """
        order, url = client.order(NAME), authority.directory_url
        authority.stop()
        authority.start()
        assert url == authority.directory_url
        assert "ready" == client.answer(order, challenge_server).status

    def test_a_stop_does_not_wait_for_slow_requests(self, authority: FaultyAuthority) -> None:
        """
        A test with a slow CA still ends.
        """
        authority.faults.slow_seconds["directory"] = 3_600
        with pytest.raises(requests.ReadTimeout):
            requests.get(authority.directory_url, timeout=0.1)
        authority.stop()

    def test_a_second_stop_does_nothing(self, authority: FaultyAuthority) -> None:
        """
        The fixture stops the CA after a test that has stopped it.
        """
        authority.stop()
        authority.stop()


class TestClock:
    def test_certificates_use_it(self, tmp_path: Path, challenge_server: ChallengeServer) -> None:
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
    def test_it_is_a_file_for_browsers(self, authority: FaultyAuthority) -> None:
        """
        The path is printed by `work` and `demo`.
        """
        root = x509.load_pem_x509_certificate(authority.root_path.read_bytes())

        assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
