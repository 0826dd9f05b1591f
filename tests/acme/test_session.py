"""
Test signatures, nonces, the directory, and refusals.
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
    Return *message* as the `acme` library reads it.
    """
    found: JWS = JWS.json_loads(message)
    return found


class TestSigner:
    @pytest.fixture(params=KEYS)
    def key(self, request: pytest.FixtureRequest) -> JWKEC | JWKRSA:
        """
        Return a key of each type that an account or a certificate may have.
        """
        key: JWKEC | JWKRSA = KEYS[request.param]()
        return key

    def test_a_message_of_an_account_names_the_account(self, key: JWKEC | JWKRSA) -> None:
        """
        The message has the URL of the account as its key ID, and a valid signature.
        """
        message = read(Signer(key, "https://ca.example/account/7").sign({"csr": "…"}, NONCE, URL))

        assert message.verify(key.public_key())
        assert {"csr": "…"} == json.loads(message.payload)
        assert "https://ca.example/account/7" == message.signature.combined.kid
        assert (URL, b"nonce") == (message.signature.combined.url, message.signature.combined.nonce)
        assert message.signature.combined.jwk is None

    def test_a_message_without_an_account_contains_its_key(self, key: JWKEC | JWKRSA) -> None:
        """
        The message has the public key, which verifies its signature.
        """
        message = read(Signer(key).sign({}, NONCE, URL))

        assert key.public_key() == message.signature.combined.jwk
        assert message.verify()

    def test_a_message_has_no_unprotected_header_and_no_private_key(self, key: JWKEC | JWKRSA) -> None:
        """
        The message has only protected members, and its key has no private part.
        """
        jws = json.loads(Signer(key).sign(None, None, URL))

        assert {"protected", "payload", "signature"} == set(jws)
        assert "" == jws["payload"]
        assert "d" not in read(json.dumps(jws).encode()).signature.combined.jwk.to_partial_json()

    def test_the_key_of_a_certificate_signs(self) -> None:
        """
        The key of a certificate signs a valid message.
        """
        key = PrivateKey(ec.generate_private_key(ec.SECP256R1()))

        assert read(Signer.of_certificate(key).sign({}, NONCE, URL)).verify()


def network_of(url: str, clock: list[datetime]) -> Session:
    """
    Return a session whose time is the last item of *clock*.
    """
    return Session("The CA", url, Transport(url, ca_bundle=None, connections=2), lambda: clock[-1])


class TestNonces:
    def test_five_bad_nonces_in_a_row_are_retried(self, authority: FaultyAuthority, tmp_path: Path) -> None:
        """
        The client retries a request up to five times after `badNonce` (RFC 8555, section 6.5). Servers of
        one CA share their nonces with a delay.
        """
        client = client_of(authority.directory_url, tmp_path)
        client.order(NAMES)
        authority.faults.bad_nonces = 5

        assert client.order(NAMES).responses

    def test_the_number_of_retries_is_limited(self, authority: FaultyAuthority, tmp_path: Path) -> None:
        """
        A sixth bad nonce is a failure of the CA.
        """
        client = client_of(authority.directory_url, tmp_path)
        client.order(NAMES)
        authority.faults.bad_nonces = 6

        with pytest.raises(BadNonce) as caught:
            client.order(NAMES)

        assert "acme.bad_nonce" == caught.value.code

    def test_the_nonce_of_a_refusal_is_used(self, each_pebble: Pebble, tmp_path: Path) -> None:
        """
        The client uses the nonce of a refusal, so the next order needs no request for a nonce.
        """
        client = client_of(each_pebble.directory_url, tmp_path, ca_bundle=each_pebble.ca_bundle)
        client.order(("ok.example.test",))
        before = len(each_pebble.requests())
        for _ in range(3):
            with pytest.raises(CertworkerError):
                client.order(("not a name",))

        assert ["POST /order-plz"] * 3 == each_pebble.requests()[before:]

    def test_threads_never_share_a_nonce(
        self, authority: FaultyAuthority, challenge_server: ChallengeServer, tmp_path: Path
    ) -> None:
        """
        Each thread uses its own nonces. The CA refuses the second use of a nonce.
        """
        client = client_of(authority.directory_url, tmp_path, connections=8)
        client.order(NAMES)

        with ThreadPoolExecutor(8) as slots:
            list(slots.map(lambda n: client.order((f"n{n}.localhost",)), range(40)))

        assert [] == [
            request for request in authority.requests if request.status == 400 and request.kind == "newOrder"
        ]

    @pytest.mark.parametrize("nonce", ["", "not base64url!", "A"])
    def test_an_invalid_nonce_is_not_acme(self, nonce: str) -> None:
        """
        A nonce that is not base64url is not ACME (RFC 8555, section 6.5.1).
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
    def test_a_nonce_is_requested_with_get_after_a_failed_head(self, head: Oddity) -> None:
        """
        The client requests a nonce with GET after a failed HEAD. RFC 8555, section 7.2, allows both.
        """
        with odd_server() as server:
            server.answers["/directory"] = Oddity(directory(server.url))
            server.answers["HEAD /nonce"] = head
            server.answers["/nonce"] = Oddity(b"", 204, {"Replay-Nonce": "AAAA"})

            assert "AAAA" == network_of(f"{server.url}/directory", [datetime.now(UTC)])._nonce()

    @pytest.mark.parametrize("status", [429, 503])
    def test_a_busy_ca_gets_one_request(self, status: int) -> None:
        """
        The client sends no second request for a nonce after HTTP 429 or 503.
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
    def test_a_web_page_is_a_failure(self, status: int) -> None:
        """
        A web page or a redirect is not a response to a POST. A captive portal redirects requests, for
        example.
        """
        with odd_server() as server:
            server.answers["/directory"] = Oddity(directory(server.url))
            server.answers["/nonce"] = Oddity(headers={"Replay-Nonce": "AAAA"})
            server.answers["/x"] = Oddity(b"<html>", status, {"Location": "/login"})
            network = network_of(f"{server.url}/directory", [datetime.now(UTC)])

            with pytest.raises((NotAcme, ServerInternal)):
                network.post(f"{server.url}/x", {}, Signer.of_certificate(PrivateKey.generate()))


class TestDirectory:
    def test_the_directory_is_requested_once_a_day(self, authority: FaultyAuthority) -> None:
        """
        The client requests the directory again after a day, because terms and profiles change.
        """
        clock = [datetime.now(UTC)]
        network = network_of(authority.directory_url, clock)
        network.directory()
        network.directory()
        assert 1 == len(authority.requests)

        clock.append(clock[0] + DIRECTORY_MAX_AGE + timedelta(seconds=1))
        network.directory()

        assert 2 == len(authority.requests)

    def test_threads_share_one_request(self, authority: FaultyAuthority) -> None:
        """
        Eight threads share one request for the directory. Let's Encrypt limits it to 40 a second.
        """
        network = network_of(authority.directory_url, [datetime.now(UTC)])

        with ThreadPoolExecutor(8) as slots:
            list(slots.map(lambda _: network.directory(), range(8)))

        assert 1 == len(authority.requests)

    def test_threads_share_the_timeout_of_a_silent_ca(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        All threads share one timeout instead of one timeout each.
        """
        monkeypatch.setattr(transport, "REQUEST_SECONDS", 0.5)
        with odd_server() as server:
            server.answers["/directory"] = Oddity(directory(server.url), delay_seconds=2)
            network = network_of(f"{server.url}/directory", [datetime.now(UTC)])

            with ThreadPoolExecutor(8) as slots:
                results = [slots.submit(network.directory) for _ in range(8)]

            assert {CaUnreachable} == {type(each.exception()) for each in results}
            # A busy machine may start a thread after the other threads have failed.
            assert server.connections <= 2

    def test_the_cached_directory_is_used_after_a_failed_request(
        self, authority: FaultyAuthority, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The client uses the cached directory after a failed request, logs a warning, and requests it
        again later.
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
    def test_a_directory_without_a_usable_url_is_not_cached(
        self, authority: FaultyAuthority, member: str, url: object
    ) -> None:
        """
        A directory with an unusable URL is not cached, and the failure names the member.
        """
        network = network_of(authority.directory_url, [datetime.now(UTC)])
        unusable = only("directory", lambda reply: with_members(reply, **{member: url}))

        with tampered(authority, unusable), pytest.raises(NotAcme, match=member):
            network.directory()

        assert network.directory()

    @pytest.mark.parametrize(
        "answer", [Oddity(status=404), Oddity(status=410), Oddity(), None], ids=["404", "410", "none", "cut"]
    )
    def test_the_directory_is_read_again_after_one_of_its_urls_failed(self, answer: Oddity | None) -> None:
        """
        The client requests the directory again after a URL of it has failed. A CA may move its
        resources.
        """
        with odd_server() as server:
            unreachable = f"http://127.0.0.1:{free_port()}"
            server.answers["/directory"] = Oddity(directory(unreachable if answer is None else server.url))
            server.answers["/nonce"] = answer or Oddity()
            network = network_of(f"{server.url}/directory", [datetime.now(UTC)])
            with pytest.raises(CertworkerError):
                network._nonce()
            server.answers["/directory"] = Oddity(directory(f"{server.url}/new"))
            server.answers["/new/nonce"] = Oddity(headers={"Replay-Nonce": "AAAA"})

            assert "AAAA" == network._nonce()

    def test_optional_members_of_the_wrong_type_count_as_missing(self) -> None:
        """
        Optional members of the wrong type count as missing.
        """
        malformed = {
            "revokeCert": "file:///x",
            "keyChange": 5,
            "renewalInfo": "",
            "meta": {"caaIdentities": 5, "profiles": {"classic": 7}, "externalAccountRequired": "yes"},
        }
        with odd_server() as server:
            members = json.loads(directory(server.url))
            server.answers["/directory"] = Oddity(json.dumps(members | malformed).encode())

            found = network_of(f"{server.url}/directory", [datetime.now(UTC)]).directory()

        assert (None, None, f"{server.url}/directory") == (found.revoke, found.change_key, found.renewal_info)
        assert ((), {"classic": "7"}) == (found.caa_identities, found.profiles)
        assert not found.external_account_required

    def test_a_busy_ca_is_no_wrong_url(self, authority: FaultyAuthority) -> None:
        """
        HTTP 503 of a load balancer is an outage, not a wrong URL.
        """
        authority.faults.fail("directory", Fault(503, None, 30))
        now = datetime.now(UTC)

        with pytest.raises(CaBusy) as caught:
            network_of(authority.directory_url, [now]).directory()

        assert now + timedelta(seconds=30) == caught.value.until

    @pytest.mark.parametrize(
        "body", [b"<html>", b"{}", b'{"newNonce": 1}', b'{"newNonce": "x", "newAccount": "y"}']
    )
    def test_a_page_that_is_no_directory_is_a_wrong_url(self, body: bytes) -> None:
        """
        A page with HTTP 200 is a wrong URL if it does not name the required resources (RFC 8555,
        section 7.1.1).
        """
        with odd_server() as server:
            server.answers["/"] = Oddity(body)

            with pytest.raises(WrongCaUrl):
                network_of(f"{server.url}/", [datetime.now(UTC)]).directory()


def directory(url: str) -> bytes:
    """
    Return the smallest valid directory.
    """
    return f'{{"newNonce": "{url}/nonce", "newAccount": "{url}/account", "newOrder": "{url}/order"}}'.encode()
