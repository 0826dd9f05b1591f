"""
Signatures, nonces, the directory, and refusals.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from acme.jws import JWS
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from josepy.jwk import JWKEC, JWKRSA

from certworker.acme import transport
from certworker.acme.session import DIRECTORY_MAX_AGE, DIRECTORY_PAUSE, Session, Signer
from certworker.acme.transport import Transport
from certworker.certificates import PrivateKey
from certworker.errors import CertworkerError
from certworker.errors.acme import BadNonce
from certworker.errors.ca import CaUnreachable, NotAcme, ServerInternal
from certworker.errors.config import WrongCaUrl
from certworker.errors.rate import CaBusy
from tests.acme.clients import client_of
from tests.servers.development import ChallengeServer
from tests.servers.fault_injection import Fault
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.oddities import Oddity, odd_server
from tests.servers.pebble import Pebble
from tests.servers.ports import free_port
from tests.servers.tampering import only, tampered, with_members

URL = "https://ca.example/order"
NONCE = "bm9uY2U"

KEYS: dict[str, Any] = {
    "P-256": lambda: JWKEC(key=ec.generate_private_key(ec.SECP256R1())),
    "P-384": lambda: JWKEC(key=ec.generate_private_key(ec.SECP384R1())),
    "RSA": lambda: JWKRSA(key=rsa.generate_private_key(65537, 2048)),
}

NAMES = ("demo.localhost",)


def read(message: bytes) -> JWS:
    """
    *message* as the `acme` library reads it.
    """
    found: JWS = JWS.json_loads(message)
    return found


class TestSigner:
    @pytest.fixture(params=KEYS)
    def key(self, request: pytest.FixtureRequest) -> JWKEC | JWKRSA:
        """
        A key of each kind that an account or a certificate may have.
        """
        key: JWKEC | JWKRSA = KEYS[request.param]()
        return key

    def test_a_message_of_an_account_names_it_and_verifies(self, key: JWKEC | JWKRSA) -> None:
        message = read(Signer(key, "https://ca.example/account/7").sign({"csr": "…"}, NONCE, URL))

        assert message.verify(key.public_key())
        assert {"csr": "…"} == json.loads(message.payload)
        assert "https://ca.example/account/7" == message.signature.combined.kid
        assert (URL, b"nonce") == (message.signature.combined.url, message.signature.combined.nonce)
        assert message.signature.combined.jwk is None

    def test_without_an_account_the_message_brings_its_key(self, key: JWKEC | JWKRSA) -> None:
        message = read(Signer(key).sign({}, NONCE, URL))

        assert key.public_key() == message.signature.combined.jwk
        assert message.verify()

    def test_all_is_protected_and_the_private_key_stays_here(self, key: JWKEC | JWKRSA) -> None:
        jws = json.loads(Signer(key).sign(None, None, URL))

        assert {"protected", "payload", "signature"} == set(jws)
        assert "" == jws["payload"]
        assert "d" not in read(json.dumps(jws).encode()).signature.combined.jwk.to_partial_json()

    def test_the_key_of_a_certificate_signs_as_well(self) -> None:
        key = PrivateKey(ec.generate_private_key(ec.SECP256R1()))

        assert read(Signer.of_certificate(key).sign({}, NONCE, URL)).verify()


def network_of(url: str, clock: list[datetime]) -> Session:
    """
    A network whose time is the last of *clock*.
    """
    return Session("The CA", url, Transport(url, ca_bundle=None, connections=2), lambda: clock[-1])


class TestNonces:
    def test_five_bad_nonces_in_a_row_are_retried(self, authority: FaultyAuthority, tmp_path: Path) -> None:
        """
        Servers of one CA share their nonces with a delay (RFC 8555, section 6.5).
        """
        client = client_of(authority.directory_url, tmp_path)
        client.order(NAMES)
        authority.faults.bad_nonces = 5

        assert client.order(NAMES).answers

    def test_more_is_a_fault_of_the_ca(self, authority: FaultyAuthority, tmp_path: Path) -> None:
        """
        The number of retries is limited.
        """
        client = client_of(authority.directory_url, tmp_path)
        client.order(NAMES)
        authority.faults.bad_nonces = 6

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
        self, authority: FaultyAuthority, challenge_server: ChallengeServer, tmp_path: Path
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

            with pytest.raises(CaBusy):
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
    def test_it_is_asked_for_once_a_day(self, authority: FaultyAuthority) -> None:
        """
        A worker runs for years, and terms and profiles change.
        """
        clock = [datetime.now(UTC)]
        network = network_of(authority.directory_url, clock)
        network.directory()
        network.directory()
        assert 1 == len(authority.requests)

        clock.append(clock[0] + DIRECTORY_MAX_AGE + timedelta(seconds=1))
        network.directory()

        assert 2 == len(authority.requests)

    def test_threads_ask_once_together(self, authority: FaultyAuthority) -> None:
        """
        All slots begin with the directory; Let's Encrypt limits it to 40 in a second.
        """
        network = network_of(authority.directory_url, [datetime.now(UTC)])

        with ThreadPoolExecutor(8) as slots:
            list(slots.map(lambda _: network.directory(), range(8)))

        assert 1 == len(authority.requests)

    def test_threads_wait_together_for_a_ca_that_does_not_answer(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        One after the other they would wait for as many time-outs as there are jobs.
        """
        monkeypatch.setattr(transport, "REQUEST_SECONDS", 0.5)
        with odd_server() as server:
            server.answers["/directory"] = Oddity(directory(server.url), delay_seconds=2)
            network = network_of(f"{server.url}/directory", [datetime.now(UTC)])

            with ThreadPoolExecutor(8) as slots:
                asked = [slots.submit(network.directory) for _ in range(8)]

            assert {CaUnreachable} == {type(each.exception()) for each in asked}
            # A busy machine may begin a thread after the failure of the others.
            assert server.connections <= 2

    def test_a_known_one_is_used_while_the_ca_cannot_be_asked(
        self, authority: FaultyAuthority, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        It is read again later, with a warning each time, and no job fails for it.
        """
        clock = [datetime.now(UTC)]
        network = network_of(authority.directory_url, clock)
        known = network.directory()
        authority.faults.fail("directory", Fault(200, problem=None), times=2)

        for _ in range(2):
            clock.append(clock[-1] + DIRECTORY_MAX_AGE)
            assert known == network.directory()
            assert known == network.directory()

        assert 3 == len(authority.requests)
        assert 2 == len(caplog.records)
        clock.append(clock[-1] + DIRECTORY_PAUSE)
        network.directory()
        network.directory()
        assert 4 == len(authority.requests)

    @pytest.mark.parametrize("member", ["newNonce", "newAccount", "newOrder"])
    @pytest.mark.parametrize("url", ["file:///etc/passwd", "http://[::1", "ftp://ca.example/", 5])
    def test_one_that_names_no_usable_url_is_not_kept(
        self, authority: FaultyAuthority, member: str, url: object
    ) -> None:
        """
        After an outage the CA is asked again, and the failure does not name a setting.
        """
        network = network_of(authority.directory_url, [datetime.now(UTC)])
        odd = only("directory", lambda reply: with_members(reply, **{member: url}))

        with tampered(authority, odd), pytest.raises(NotAcme, match=member):
            network.directory()

        assert network.directory()

    @pytest.mark.parametrize(
        "answer", [Oddity(status=404), Oddity(status=410), Oddity(), None], ids=["404", "410", "none", "cut"]
    )
    def test_one_with_a_url_that_cannot_be_used_is_read_again(self, answer: Oddity | None) -> None:
        """
        A CA moves, and the worker runs for years.
        """
        with odd_server() as server:
            gone = f"http://127.0.0.1:{free_port()}"
            server.answers["/directory"] = Oddity(directory(gone if answer is None else server.url))
            server.answers["/nonce"] = answer or Oddity()
            network = network_of(f"{server.url}/directory", [datetime.now(UTC)])
            with pytest.raises(CertworkerError):
                network._nonce()
            server.answers["/directory"] = Oddity(directory(f"{server.url}/new"))
            server.answers["/new/nonce"] = Oddity(headers={"Replay-Nonce": "AAAA"})

            assert "AAAA" == network._nonce()

    def test_strange_members_cost_themselves_only(self) -> None:
        """
        What a CA may leave out counts as left out.
        """
        strange = {
            "revokeCert": "file:///x",
            "keyChange": 5,
            "renewalInfo": "",
            "meta": {"caaIdentities": 5, "profiles": {"classic": 7}, "externalAccountRequired": "yes"},
        }
        with odd_server() as server:
            members = json.loads(directory(server.url))
            server.answers["/directory"] = Oddity(json.dumps(members | strange).encode())

            found = network_of(f"{server.url}/directory", [datetime.now(UTC)]).directory()

        assert (None, None, f"{server.url}/directory") == (found.revoke, found.change_key, found.renewal_info)
        assert ((), {"classic": "7"}) == (found.caa_identities, found.profiles)
        assert not found.external_account_required

    def test_a_busy_ca_is_no_wrong_url(self, authority: FaultyAuthority) -> None:
        """
        A 503 of a load balancer is an outage, not a wrong URL.
        """
        authority.faults.fail("directory", Fault(503, None, 30))
        now = datetime.now(UTC)

        with pytest.raises(CaBusy) as caught:
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
