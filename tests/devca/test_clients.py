"""
Run lego and certbot against the CA, with and without faults.

Each fault has a test here: another client must recognize it as a fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from josepy.json_util import encode_b64jose

from certworker.devca.messages import Problem
from certworker.errors.acme import BadCertificate
from tests.servers.clients import Run, certbot, lego
from tests.servers.development import ChallengeServer, development_authority
from tests.servers.fault_injection import Fault, Flaw
from tests.servers.faulty_authority import FaultyAuthority

NAME = "shop.localhost"


@dataclass(frozen=True)
class Place:
    """
    The CA, and a web server whose webroot the clients write to.
    """

    authority: FaultyAuthority
    home: Path
    server: ChallengeServer = field(repr=False)

    def lego(self, *names: str, options: tuple[str, ...] = (), command: str = "run") -> Run:
        """
        Run lego for *names*, by default for NAME.
        """
        home, webroot, url = self.home / "lego", self.home / "webroot", self.authority.directory_url
        return lego(url, home, webroot, *(names or (NAME,)), options=options, command=command)

    def certbot(self, *names: str, options: tuple[str, ...] = ()) -> Run:
        """
        Run certbot for *names*, by default for NAME.
        """
        webroot, url = self.home / "webroot", self.authority.directory_url
        return certbot(url, self.home / "certbot", webroot, *(names or (NAME,)), options=options)

    def statuses(self, kind: str) -> list[int]:
        """
        Return the status of each response to a request of *kind*.
        """
        return [request.status for request in self.authority.requests if request.kind == kind]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """
    Run a CA with Retry-After: 0 for polls. lego waits five seconds by default.
    """
    webroot = tmp_path / "webroot"
    webroot.mkdir()
    with (
        ChallengeServer(webroot) as server,
        development_authority(tmp_path, http01_port=server.port) as authority,
    ):
        authority.faults.poll_after_seconds = 0
        yield Place(authority, tmp_path, server)


class TestWithoutFaults:
    def test_lego_gets_a_certificate(self, place: Place) -> None:
        """
        A client in another language accepts every document of the CA.
        """
        run = place.lego(NAME, "www.shop.localhost")
        run.installed().check((NAME, "www.shop.localhost"), datetime.now(UTC))

    def test_certbot_gets_a_certificate(self, place: Place) -> None:
        """
        The client that Appwrite ships receives a certificate.
        """
        run = place.certbot(NAME, "www.shop.localhost")
        run.installed().check((NAME, "www.shop.localhost"), datetime.now(UTC))

    def test_lego_revokes(self, place: Place) -> None:
        """
        The CA accepts a revocation that another client has signed.
        """
        place.lego()
        assert 0 == place.lego(command="revoke").code
        assert [200] == place.statuses("revokeCert")

    def test_lego_binds_an_external_account(self, place: Place) -> None:
        """
        The CA accepts the HMAC of lego, and refuses an account without one.
        """
        place.authority.policy.external_accounts["kid-1"] = b"secret" * 6
        refused = place.lego()
        options = ("--eab", "--kid", "kid-1", "--hmac", encode_b64jose(b"secret" * 6))
        accepted = place.lego(options=options)
        assert (1, 0) == (refused.code, accepted.code), accepted.output

    @pytest.mark.parametrize("kind", ["rsa2048", "ec384"])
    def test_lego_uses_other_keys(self, place: Place, kind: str) -> None:
        """
        The client selects the key type of the account and of the certificate.
        """
        run = place.lego(options=("--key-type", kind))
        run.installed().check((NAME,), datetime.now(UTC))


class TestNonce:
    def test_lego_retries_with_another_nonce(self, place: Place) -> None:
        """
        lego retries after badNonce (RFC 8555, section 6.5).
        """
        place.authority.faults.bad_nonces = 2
        assert 0 == place.lego().code
        assert [400, 400, 201] == place.statuses("newAccount")

    def test_certbot_fails_at_the_second_bad_nonce(self, place: Place) -> None:
        """
        The acme library retries a bad nonce only once. certworker retries more often.
        """
        place.authority.faults.bad_nonces = 2
        assert 1 == place.certbot().code
        assert [400, 400] == place.statuses("newAccount")

    def test_lego_survives_a_share_of_bad_nonces(self, place: Place) -> None:
        """
        The order succeeds although some requests are refused, as with PEBBLE_WFE_NONCEREJECT.
        """
        place.authority.faults.random = Random(3)
        place.authority.faults.bad_nonce_share = 0.3
        assert 0 == place.lego().code
        assert 400 in [request.status for request in place.authority.requests]


class TestFaults:
    def test_lego_shows_an_error_of_the_server(self, place: Place) -> None:
        """
        lego reads the problem document of a failing CA.
        """
        place.authority.faults.fail("newOrder", Fault())
        assert "500 :: POST" in place.lego().output

    def test_lego_shows_a_page_of_the_load_balancer(self, place: Place) -> None:
        """
        lego shows the HTML page of a 503, which has Retry-After but no problem document.
        """
        place.authority.faults.fail("newOrder", Fault(503, None, 30))
        run = place.lego()
        assert 1 == run.code
        assert "<h1>503</h1>" in run.output

    def test_certbot_fails_at_html_instead_of_an_order(self, place: Place) -> None:
        """
        certbot ends at a web page with HTTP 200, as from a captive portal.
        """
        place.authority.faults.fail("newOrder", Fault(200, None))
        assert 1 == place.certbot().code
        assert [200] == place.statuses("newOrder")
        assert [] == place.statuses("authorization")

    def test_lego_fails_after_a_cut_finalization(self, place: Place) -> None:
        """
        lego fails after a cut connection, although the certificate exists.
        """
        place.authority.faults.fail("finalize", Fault(cut=True))
        run = place.lego()
        assert "EOF" in run.output
        assert [0] == place.statuses("finalize")

    def test_lego_waits_for_a_slow_response(self, place: Place) -> None:
        """
        lego accepts a late response.
        """
        place.authority.faults.slow_seconds["newOrder"] = 0.5
        assert 0 == place.lego().code

    def test_lego_shows_a_rate_limit(self, place: Place) -> None:
        """
        lego shows the type of the 429.
        """
        place.authority.faults.rate_limit(60, "too many certificates already issued")
        run = place.lego()
        assert "urn:ietf:params:acme:error:rateLimited" in run.output
        assert [429] == place.statuses("newOrder")

    def test_lego_fails_at_a_ca_that_has_lost_its_account(self, place: Place) -> None:
        """
        lego shows accountDoesNotExist if the CA has lost its account.
        """
        assert 0 == place.lego().code
        place.authority.forget_accounts()
        run = place.lego()
        assert 1 == run.code
        assert "accountDoesNotExist" in run.output


class TestWaiting:
    def test_lego_polls_a_processing_order(self, place: Place) -> None:
        """
        The certificate is ready after the configured number of polls.
        """
        place.authority.faults.processing_polls = 2
        assert 0 == place.lego().code
        assert [200] * 3 == place.statuses("order")

    def test_certbot_waits_for_a_processing_order(self, place: Place) -> None:
        """
        certbot polls until the order is valid.
        """
        place.authority.faults.processing_seconds = 1.5
        assert 0 == place.certbot().code
        assert 1 < len(place.statuses("order"))

    def test_lego_waits_for_a_slow_validation(self, place: Place) -> None:
        """
        lego polls a pending authorization until the CA has validated it.
        """
        place.authority.faults.poll_after_seconds = 1
        place.authority.faults.validation_seconds = 1.2
        assert 0 == place.lego().code

    def test_lego_uses_a_valid_authorization_again(self, place: Place) -> None:
        """
        The policy lets lego use a valid authorization for a second order.
        """
        place.authority.policy.authorization_reuse = timedelta(hours=1)
        assert 0 == place.lego().code
        assert 0 == place.lego().code
        assert [200] == place.statuses("challenge")


class TestRefusals:
    def test_certbot_shows_why_the_validation_failed(self, place: Place) -> None:
        """
        certbot shows the detail of the problem unchanged.
        """
        detail = "Timeout during connect (likely firewall problem)"
        place.authority.faults.refusal = Problem("connection", detail)
        run = place.certbot()
        assert 1 == run.code
        assert detail in run.output

    def test_lego_shows_an_order_that_ends_invalid(self, place: Place) -> None:
        """
        lego shows the problem of an order that fails after its authorizations, for example because of
        CAA.
        """
        place.authority.faults.order_failure = Problem("caa", "CAA forbids it", 403)
        run = place.lego()
        assert 1 == run.code
        assert "CAA forbids it" in run.output


class TestFlaws:
    """
    The clients install certificates that certworker refuses.
    """

    @pytest.mark.parametrize(
        ("flaw", "reason"),
        [
            (Flaw.CHAIN_MISSING, "the CA sent no chain"),
            (Flaw.CHAIN_OUT_OF_ORDER, "it was issued for another key"),
            (Flaw.OTHER_KEY, "it was issued for another key"),
            (Flaw.OTHER_NAMES, "it was issued for not-ordered.localhost"),
            (Flaw.EXPIRED, "it ended at"),
        ],
    )
    def test_lego_installs_a_flawed_certificate(self, place: Place, flaw: Flaw, reason: str) -> None:
        """
        lego installs the flawed certificate, and the check of certworker finds the flaw.
        """
        place.authority.faults.flaws = frozenset({flaw})
        run = place.lego()
        assert 0 == run.code
        with pytest.raises(BadCertificate, match=reason):
            run.installed().check((NAME,), datetime.now(UTC))

    def test_certbot_requires_the_chain(self, place: Place) -> None:
        """
        certbot refuses a certificate without a chain. It finds no other flaw.
        """
        place.authority.faults.flaws = frozenset({Flaw.CHAIN_MISSING})
        assert "less than 2 certificates in chain" in place.certbot().output
