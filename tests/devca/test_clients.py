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
class ClientRunner:
    """
    Run clients against the CA, with a web server for their webroot.
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
def runner(tmp_path: Path) -> Iterator[ClientRunner]:
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
        yield ClientRunner(authority, tmp_path, server)


class TestWithoutFaults:
    def test_lego_gets_a_certificate(self, runner: ClientRunner) -> None:
        """
        A client in another language accepts every document of the CA.
        """
        run = runner.lego(NAME, "www.shop.localhost")
        run.installed().check((NAME, "www.shop.localhost"), datetime.now(UTC))

    def test_certbot_gets_a_certificate(self, runner: ClientRunner) -> None:
        """
        The client that Appwrite ships receives a certificate.
        """
        run = runner.certbot(NAME, "www.shop.localhost")
        run.installed().check((NAME, "www.shop.localhost"), datetime.now(UTC))

    def test_lego_revokes(self, runner: ClientRunner) -> None:
        """
        The CA accepts a revocation that another client has signed.
        """
        runner.lego()
        assert 0 == runner.lego(command="revoke").code
        assert [200] == runner.statuses("revokeCert")

    def test_lego_binds_an_external_account(self, runner: ClientRunner) -> None:
        """
        The CA accepts the HMAC of lego, and refuses an account without one.
        """
        runner.authority.policy.external_accounts["kid-1"] = b"secret" * 6
        refused = runner.lego()
        options = ("--eab", "--kid", "kid-1", "--hmac", encode_b64jose(b"secret" * 6))
        accepted = runner.lego(options=options)
        assert (1, 0) == (refused.code, accepted.code), accepted.output

    @pytest.mark.parametrize("kind", ["rsa2048", "ec384"])
    def test_lego_uses_other_keys(self, runner: ClientRunner, kind: str) -> None:
        """
        The client selects the key type of the account and of the certificate.
        """
        run = runner.lego(options=("--key-type", kind))
        run.installed().check((NAME,), datetime.now(UTC))


class TestNonce:
    def test_lego_retries_with_another_nonce(self, runner: ClientRunner) -> None:
        """
        lego retries after badNonce (RFC 8555, section 6.5).
        """
        runner.authority.faults.bad_nonces = 2
        assert 0 == runner.lego().code
        assert [400, 400, 201] == runner.statuses("newAccount")

    def test_certbot_fails_at_the_second_bad_nonce(self, runner: ClientRunner) -> None:
        """
        The acme library retries a bad nonce only once. certworker retries more often.
        """
        runner.authority.faults.bad_nonces = 2
        assert 1 == runner.certbot().code
        assert [400, 400] == runner.statuses("newAccount")

    def test_lego_survives_a_share_of_bad_nonces(self, runner: ClientRunner) -> None:
        """
        The order succeeds although some requests are refused, as with PEBBLE_WFE_NONCEREJECT.
        """
        runner.authority.faults.random = Random(3)
        runner.authority.faults.bad_nonce_share = 0.3
        assert 0 == runner.lego().code
        assert 400 in [request.status for request in runner.authority.requests]


class TestFaults:
    def test_lego_shows_an_error_of_the_server(self, runner: ClientRunner) -> None:
        """
        lego reads the problem document of a failing CA.
        """
        runner.authority.faults.fail("newOrder", Fault())
        assert "500 :: POST" in runner.lego().output

    def test_lego_shows_a_page_of_the_load_balancer(self, runner: ClientRunner) -> None:
        """
        lego shows the HTML page of a 503, which has Retry-After but no problem document.
        """
        runner.authority.faults.fail("newOrder", Fault(503, None, 30))
        run = runner.lego()
        assert 1 == run.code
        assert "<h1>503</h1>" in run.output

    def test_certbot_fails_at_html_instead_of_an_order(self, runner: ClientRunner) -> None:
        """
        certbot ends at a web page with HTTP 200, as from a captive portal.
        """
        runner.authority.faults.fail("newOrder", Fault(200, None))
        assert 1 == runner.certbot().code
        assert [200] == runner.statuses("newOrder")
        assert [] == runner.statuses("authorization")

    def test_lego_fails_after_a_cut_finalization(self, runner: ClientRunner) -> None:
        """
        lego fails after a cut connection, although the certificate exists.
        """
        runner.authority.faults.fail("finalize", Fault(cut=True))
        run = runner.lego()
        assert "EOF" in run.output
        assert [0] == runner.statuses("finalize")

    def test_lego_waits_for_a_slow_response(self, runner: ClientRunner) -> None:
        """
        lego accepts a late response.
        """
        runner.authority.faults.slow_seconds["newOrder"] = 0.5
        assert 0 == runner.lego().code

    def test_lego_shows_a_rate_limit(self, runner: ClientRunner) -> None:
        """
        lego shows the type of the 429.
        """
        runner.authority.faults.rate_limit(60, "too many certificates already issued")
        run = runner.lego()
        assert "urn:ietf:params:acme:error:rateLimited" in run.output
        assert [429] == runner.statuses("newOrder")

    def test_lego_fails_at_a_ca_that_has_lost_its_account(self, runner: ClientRunner) -> None:
        """
        lego shows accountDoesNotExist if the CA has lost its account.
        """
        assert 0 == runner.lego().code
        runner.authority.forget_accounts()
        run = runner.lego()
        assert 1 == run.code
        assert "accountDoesNotExist" in run.output


class TestWaiting:
    def test_lego_polls_a_processing_order(self, runner: ClientRunner) -> None:
        """
        The certificate is ready after the configured number of polls.
        """
        runner.authority.faults.processing_polls = 2
        assert 0 == runner.lego().code
        assert [200] * 3 == runner.statuses("order")

    def test_certbot_waits_for_a_processing_order(self, runner: ClientRunner) -> None:
        """
        certbot polls until the order is valid.
        """
        runner.authority.faults.processing_seconds = 1.5
        assert 0 == runner.certbot().code
        assert 1 < len(runner.statuses("order"))

    def test_lego_waits_for_a_slow_validation(self, runner: ClientRunner) -> None:
        """
        lego polls a pending authorization until the CA has validated it.
        """
        runner.authority.faults.poll_after_seconds = 1
        runner.authority.faults.validation_seconds = 1.2
        assert 0 == runner.lego().code

    def test_lego_uses_a_valid_authorization_again(self, runner: ClientRunner) -> None:
        """
        The policy lets lego use a valid authorization for a second order.
        """
        runner.authority.policy.authorization_reuse = timedelta(hours=1)
        assert 0 == runner.lego().code
        assert 0 == runner.lego().code
        assert [200] == runner.statuses("challenge")


class TestRefusals:
    def test_certbot_shows_why_the_validation_failed(self, runner: ClientRunner) -> None:
        """
        certbot shows the detail of the problem unchanged.
        """
        detail = "Timeout during connect (likely firewall problem)"
        runner.authority.faults.refusal = Problem("connection", detail)
        run = runner.certbot()
        assert 1 == run.code
        assert detail in run.output

    def test_lego_shows_an_order_that_ends_invalid(self, runner: ClientRunner) -> None:
        """
        lego shows the problem of an order that fails after its authorizations, for example because of
        CAA.
        """
        runner.authority.faults.order_failure = Problem("caa", "CAA forbids it", 403)
        run = runner.lego()
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
            (Flaw.EXPIRED, "it expired at"),
        ],
    )
    def test_lego_installs_a_flawed_certificate(self, runner: ClientRunner, flaw: Flaw, reason: str) -> None:
        """
        lego installs the flawed certificate, and the check of certworker finds the flaw.
        """
        runner.authority.faults.flaws = frozenset({flaw})
        run = runner.lego()
        assert 0 == run.code
        with pytest.raises(BadCertificate, match=reason):
            run.installed().check((NAME,), datetime.now(UTC))

    def test_certbot_requires_the_chain(self, runner: ClientRunner) -> None:
        """
        certbot refuses a certificate without a chain. It finds no other flaw.
        """
        runner.authority.faults.flaws = frozenset({Flaw.CHAIN_MISSING})
        assert "less than 2 certificates in chain" in runner.certbot().output
