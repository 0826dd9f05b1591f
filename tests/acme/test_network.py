"""
Nonces, the directory, and refusals.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certworker.acme.jws import Signer
from certworker.acme.network import DIRECTORY_AGE, Network
from certworker.acme.transport import Transport
from certworker.certificates import PrivateKey
from certworker.development.authority import DevelopmentAuthority
from certworker.development.misbehaviour import Fault
from certworker.errors import CertworkerError
from certworker.errors.authority import BadNonce, NotAcme, ServerInternal
from certworker.errors.configuration import WrongCaUrl
from certworker.errors.limits import AuthorityBusy
from tests.acme.clients import client_of
from tests.servers.development import ChallengeServer
from tests.servers.oddities import Oddity, odd_server
from tests.servers.pebble import Pebble

NAMES = ("demo.localhost",)


def network_of(url: str, clock: list[datetime]) -> Network:
    """
    A network whose time is the last of *clock*.
    """
    return Network("The CA", url, Transport(url, ca_bundle=None, connections=2), lambda: clock[-1])


class TestNonces:
    def test_five_in_a_row_are_never_heard_of(self, authority: DevelopmentAuthority, tmp_path: Path) -> None:
        """
        Servers of one CA share their nonces with a delay (RFC 8555, section 6.5).
        """
        client = client_of(authority.directory_url, tmp_path)
        client.order(NAMES)
        authority.misbehaviour.bad_nonces = 5

        assert client.order(NAMES).answers

    def test_more_is_a_fault_of_the_ca(self, authority: DevelopmentAuthority, tmp_path: Path) -> None:
        """
        Without an end we would ask for ever.
        """
        client = client_of(authority.directory_url, tmp_path)
        client.order(NAMES)
        authority.misbehaviour.bad_nonces = 6

        with pytest.raises(BadNonce) as caught:
            client.order(NAMES)

        assert "acme.bad_nonce" == caught.value.code

    def test_refusals_bring_nonces_too(self, each_pebble: Pebble, tmp_path: Path) -> None:
        """
        The `acme` library throws them away, and asks for a new one after each refusal.
        """
        client = client_of(each_pebble.directory_url, tmp_path, ca_bundle=each_pebble.ca_bundle)
        client.order(("ok.example.test",))
        before = len(each_pebble.requests())
        for _ in range(3):
            with pytest.raises(CertworkerError):
                client.order(("not a name",))

        assert ["POST /order-plz"] * 3 == each_pebble.requests()[before:]

    def test_threads_never_share_one(
        self, authority: DevelopmentAuthority, challenge_server: ChallengeServer, tmp_path: Path
    ) -> None:
        """
        A nonce that is used twice is refused, and costs a request.
        """
        client = client_of(authority.directory_url, tmp_path, connections=8)
        client.order(NAMES)

        with ThreadPoolExecutor(8) as slots:
            list(slots.map(lambda n: client.order((f"n{n}.localhost",)), range(40)))

        assert [] == [
            asked for asked in authority.requests if asked.status == 400 and asked.kind == "newOrder"
        ]

    @pytest.mark.parametrize("nonce", ["", "not base64url!", "A"])
    def test_one_that_cannot_be_read_is_not_acme(self, nonce: str) -> None:
        """
        RFC 8555, section 6.5.1: base64url, or it is to be ignored.
        """
        with odd_server() as server:
            server.answers["/directory"] = Oddity(directory(server.url))
            server.answers["/nonce"] = Oddity(headers={"Replay-Nonce": nonce})

            with pytest.raises(NotAcme):
                network_of(f"{server.url}/directory", [datetime.now(UTC)])._nonce()

    @pytest.mark.parametrize(
        "head",
        [
            Oddity(status=405),
            Oddity(status=405, headers={"Replay-Nonce": "AAAA"}),
            Oddity(status=404),
            Oddity(b"", status=501),
            Oddity(status=403),
            Oddity(),
        ],
    )
    def test_a_ca_that_refuses_head_is_asked_with_get(self, head: Oddity) -> None:
        """
        RFC 8555, section 7.2, has both; what answers HEAD may be another program than what answers GET.
        """
        with odd_server() as server:
            server.answers["/directory"] = Oddity(directory(server.url))
            server.answers["HEAD /nonce"] = head
            server.answers["/nonce"] = Oddity(b"", 204, {"Replay-Nonce": "AAAA"})

            assert "AAAA" == network_of(f"{server.url}/directory", [datetime.now(UTC)])._nonce()

    @pytest.mark.parametrize("status", [429, 503])
    def test_a_busy_ca_is_asked_once(self, status: int) -> None:
        """
        Another request at once is what a limit forbids.
        """
        with odd_server() as server:
            server.answers["/directory"] = Oddity(directory(server.url))
            server.answers["/nonce"] = Oddity(
                status=status, headers={"Retry-After": "30", "Replay-Nonce": "AAAA"}
            )

            with pytest.raises(AuthorityBusy):
                network_of(f"{server.url}/directory", [datetime.now(UTC)])._nonce()
            assert 2 == len(server.requests)


class TestPost:
    @pytest.mark.parametrize("status", [302, 307, 400, 500])
    def test_a_page_is_no_success(self, status: int) -> None:
        """
        A captive portal redirects a POST: the CA has not seen it.
        """
        with odd_server() as server:
            server.answers["/directory"] = Oddity(directory(server.url))
            server.answers["/nonce"] = Oddity(headers={"Replay-Nonce": "AAAA"})
            server.answers["/x"] = Oddity(b"<html>", status, {"Location": "/login"})
            network = network_of(f"{server.url}/directory", [datetime.now(UTC)])

            with pytest.raises((NotAcme, ServerInternal)):
                network.post(f"{server.url}/x", {}, Signer.of_certificate(PrivateKey.generate()))


class TestDirectory:
    def test_it_is_asked_for_once_a_day(self, authority: DevelopmentAuthority) -> None:
        """
        A worker lives for years; terms and profiles change.
        """
        clock = [datetime.now(UTC)]
        network = network_of(authority.directory_url, clock)
        network.directory()
        network.directory()
        assert 1 == len(authority.requests)

        clock.append(clock[0] + DIRECTORY_AGE + timedelta(seconds=1))
        network.directory()

        assert 2 == len(authority.requests)

    def test_threads_ask_once_together(self, authority: DevelopmentAuthority) -> None:
        """
        All slots begin with the directory; Let's Encrypt limits it to 40 in a second.
        """
        network = network_of(authority.directory_url, [datetime.now(UTC)])

        with ThreadPoolExecutor(8) as slots:
            list(slots.map(lambda _: network.directory(), range(8)))

        assert 1 == len(authority.requests)

    def test_a_busy_ca_is_no_wrong_url(self, authority: DevelopmentAuthority) -> None:
        """
        The load balancer's 503 must not send an operator to look for a typing error.
        """
        authority.misbehaviour.fail("directory", Fault(503, None, 30))
        now = datetime.now(UTC)

        with pytest.raises(AuthorityBusy) as caught:
            network_of(authority.directory_url, [now]).directory()

        assert now + timedelta(seconds=30) == caught.value.until

    @pytest.mark.parametrize(
        "body", [b"<html>", b"{}", b'{"newNonce": 1}', b'{"newNonce": "x", "newAccount": "y"}']
    )
    def test_what_is_no_directory_is_a_wrong_url(self, body: bytes) -> None:
        """
        Many pages answer 200; a directory names three resources at least (RFC 8555, section 7.1.1).
        """
        with odd_server() as server:
            server.answers["/"] = Oddity(body)

            with pytest.raises(WrongCaUrl):
                network_of(f"{server.url}/", [datetime.now(UTC)]).directory()


def directory(url: str) -> bytes:
    """
    The smallest directory there is.
    """
    return f'{{"newNonce": "{url}/nonce", "newAccount": "{url}/account", "newOrder": "{url}/order"}}'.encode()
