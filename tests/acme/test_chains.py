"""
Tests of the choice between the chains that a CA offers.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from certworker.certificates import Certificate
from tests.acme.clients import client_of, issued
from tests.servers.development import ChallengeServer
from tests.servers.fault_injection import Fault
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.pebble import Pebble, programs

NAME = "demo.localhost"


@pytest.fixture
def pebble_with_two_roots(tmp_path: Path) -> Iterator[Pebble]:
    """
    Run a Pebble that offers two chains.
    """
    server = Pebble(tmp_path / "pebble", programs()[0])
    server.start(PEBBLE_ALTERNATE_ROOTS="1")
    yield server
    server.close()


def root_of(certificate: Certificate) -> str:
    """
    Return the common name of the root at the end of the chain of *certificate*.
    """
    *_, topmost = x509.load_pem_x509_certificates(certificate.chain_pem)
    return str(topmost.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)


class TestPreferredChain:
    def test_the_chain_of_the_preferred_root_is_used(
        self, authority: FaultyAuthority, challenge_server: ChallengeServer, tmp_path: Path
    ) -> None:
        """
        The client uses the chain to the preferred root. Some old devices trust only one root of a CA.
        """
        authority.add_root("The other root")
        client = client_of(authority.directory_url, tmp_path, preferred_chain="The other root")

        certificate = issued(client, challenge_server, NAME)

        assert "The other root" == root_of(certificate)
        certificate.check((NAME,), datetime.now(UTC))

    def test_the_default_chain_needs_no_more_requests(
        self, authority: FaultyAuthority, challenge_server: ChallengeServer, tmp_path: Path
    ) -> None:
        """
        The client downloads no alternate chain if no root is preferred, or if the default chain has
        the preferred root.
        """
        authority.add_root("The other root")
        certificate = issued(client_of(authority.directory_url, tmp_path), challenge_server, NAME)
        default_root = root_of(certificate)

        issued(
            client_of(authority.directory_url, tmp_path, preferred_chain=default_root), challenge_server, NAME
        )

        assert default_root != "The other root"
        assert 2 == [request.kind for request in authority.requests].count("certificate")

    @pytest.mark.parametrize(
        "fault",
        [
            Fault(404, "malformed", detail="nothing here"),
            Fault(500),
            Fault(503, None, 30),
            Fault(429, "rateLimited", 3600),
            Fault(cut=True),
            Fault(200, None),
        ],
    )
    def test_a_failed_download_of_an_alternate_chain_costs_no_certificate(
        self,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        fault: Fault,
    ) -> None:
        """
        The client uses the default chain and logs a warning, because alternate chains are optional
        (RFC 8555, section 7.4.2).
        """
        authority.add_root("The other root")
        authority.faults.after("certificate", 1, fault)
        client = client_of(authority.directory_url, tmp_path, preferred_chain="The other root")

        with caplog.at_level(logging.WARNING):
            certificate = issued(client, challenge_server, NAME)

        assert (NAME,) == certificate.names
        assert "alternate chain at http://127.0.0.1" in caplog.messages[0]

    def test_an_alternate_chain_of_another_certificate_is_skipped(
        self, authority: FaultyAuthority, challenge_server: ChallengeServer, tmp_path: Path
    ) -> None:
        """
        A chain for another certificate is skipped. It has neither the names nor the key.
        """
        authority.add_root("The other root")
        client = client_of(authority.directory_url, tmp_path, preferred_chain="The other root")
        issued(client, challenge_server, "other.localhost")
        authority.faults.mixes_alternates_up = True

        certificate = issued(client, challenge_server, NAME)

        assert (NAME,) == certificate.names
        assert "The other root" != root_of(certificate)

    def test_a_chain_that_is_not_offered_is_logged_once_and_the_default_is_used(
        self,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        A single warning lists the offered roots. CAs retire roots, and renewals must continue.
        """
        authority.add_root("The other root")
        client = client_of(authority.directory_url, tmp_path, preferred_chain="DST Root CA X3")

        with caplog.at_level(logging.WARNING):
            certificate = issued(client, challenge_server, NAME)

        assert "The other root" != root_of(certificate)
        (message,) = [record.getMessage() for record in caplog.records]
        assert "CERTWORKER_PREFERRED_CHAIN is DST Root CA X3" in message
        assert "The other root" in message

    def test_the_preferred_chain_of_pebble_is_used(
        self, pebble_with_two_roots: Pebble, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The client uses the preferred chain of Pebble, and the warning lists the roots of its chains.
        """
        pebble = pebble_with_two_roots

        def issued_with(root: str) -> Certificate:
            client = client_of(
                pebble.directory_url, tmp_path, ca_bundle=pebble.ca_bundle, preferred_chain=root
            )
            return issued(client, site, "demo.example.com")

        with ChallengeServer(port=pebble.http_port) as site:
            default = root_of(issued_with("Unknown root"))
            offered = re.findall(r"Pebble Root CA \w+", caplog.records[0].getMessage())
            (other,) = set(offered) - {default}

            assert other == root_of(issued_with(other))
