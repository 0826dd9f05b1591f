"""
Tests of the issuance of certificates by real CAs.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import groupby
from pathlib import Path

import pytest

from certworker.acme.client import _same_origin, profile_for
from certworker.devca.messages import Reply, Request
from certworker.devca.validation import Validator
from certworker.errors import CertworkerError
from certworker.errors.acct import ExternalAccountRequired
from certworker.errors.acme import InvalidProfile
from certworker.errors.ca import CaUnreachable, NotAcme
from certworker.errors.config import WrongCaUrl
from certworker.errors.payload import TooManyNames
from tests.acme.clients import client_of, issued, presented
from tests.servers.development import ChallengeServer, development_authority
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.pebble import Pebble
from tests.servers.ports import free_port
from tests.servers.tampering import only, tampered, with_headers

#: The requests of RFC 8555, section 7.1; no client needs fewer.
WARM_ORDER = [
    "POST /order-plz",
    "POST /authZ/",
    "POST /chalZ/",
    "POST /my-order/",
    "POST /finalize-order/",
    "POST /my-order/",
    "POST /certZ/",
]


class TestWithPebble:
    def test_a_certificate_is_issued(self, each_pebble: Pebble, tmp_path: Path) -> None:
        """
        The preferred Pebble and the oldest Pebble issue a certificate for two names.
        """
        client = client_of(each_pebble.directory_url, tmp_path, ca_bundle=each_pebble.ca_bundle)

        with ChallengeServer(port=each_pebble.http_port) as site:
            certificate = issued(client, site, "one.example.test", "two.example.test")

        assert {"one.example.test", "two.example.test"} == set(certificate.names)

    def test_a_warm_order_takes_seven_requests(self, each_pebble: Pebble, tmp_path: Path) -> None:
        """
        An order with a known account takes seven requests. A busy CA adds polls, so the test repeats
        the order until one needs no extra poll.
        """
        client = client_of(each_pebble.directory_url, tmp_path, ca_bundle=each_pebble.ca_bundle)

        with ChallengeServer(port=each_pebble.http_port) as site:
            issued(client, site, "cold.example.test")
            for number in range(100):
                before = len(each_pebble.requests())
                issued(client, site, f"warm-{number}.example.test")
                received = each_pebble.requests()[before:]
                assert WARM_ORDER == [request for request, _ in groupby(received)]
                if len(received) == len(WARM_ORDER):
                    return

        pytest.fail("each order was polled more than once for a step")

    def test_bad_nonces_are_retried(self, tmp_path: Path) -> None:
        """
        The client retries stale nonces, which are normal at a CA with several servers.
        """
        pebble = Pebble(tmp_path / "pebble")
        pebble.start(PEBBLE_WFE_NONCEREJECT="10")
        try:
            client = client_of(pebble.directory_url, tmp_path, ca_bundle=pebble.ca_bundle)
            with ChallengeServer(port=pebble.http_port) as site:
                names = [issued(client, site, f"n{number}.example.test").names for number in range(8)]
        finally:
            pebble.close()

        assert [(f"n{number}.example.test",) for number in range(8)] == names

    def test_a_challenge_that_pebble_is_validating_is_waited_for(self, tmp_path: Path) -> None:
        """
        A second worker polls the challenge of a killed worker. Pebble refuses a second response while
        it validates.
        """

        class Killed(BaseException):
            pass

        def killed(_seconds: float) -> None:
            raise Killed

        pebble = Pebble(tmp_path / "pebble")
        pebble.start(PEBBLE_VA_NOSLEEP="0", PEBBLE_VA_SLEEPTIME="3")
        try:
            victim = client_of(pebble.directory_url, tmp_path, ca_bundle=pebble.ca_bundle, sleep=killed)
            other = client_of(pebble.directory_url, tmp_path, ca_bundle=pebble.ca_bundle)
            with ChallengeServer(port=pebble.http_port) as site:
                first = presented(victim.order(("killed.example.test",)), site)
                with pytest.raises(Killed):
                    first.validate()
                again = other.resume(first.url, ("killed.example.test",))
                assert again is not None
                again.validate()
        finally:
            pebble.close()

        assert 1 == pebble.requests().count("POST /chalZ/")

    def test_four_threads_order_at_once(self, pebble: Pebble, tmp_path: Path) -> None:
        """
        All slots of a worker share one client with its connections, nonces and account.
        """
        client = client_of(pebble.directory_url, tmp_path, ca_bundle=pebble.ca_bundle)

        with ChallengeServer(port=pebble.http_port) as site, ThreadPoolExecutor(4) as slots:
            found = slots.map(lambda n: issued(client, site, f"slot-{n}.example.test").names, range(12))

            assert [(f"slot-{number}.example.test",) for number in range(12)] == list(found)

    @pytest.mark.parametrize(
        ("name", "answer", "code"),
        [
            ("missing.example.test", None, "http.404"),
            ("other.example.test", "<html>Welcome</html>", "http.wrong_body"),
            ("nxdomain.example.test", None, "dns.no_record"),
        ],
    )
    def test_the_failure_has_the_cause_of_a_failed_validation(
        self, each_pebble: Pebble, tmp_path: Path, name: str, answer: str | None, code: str
    ) -> None:
        """
        The code of the failure comes from the challenge. The order is only invalid, without a cause.
        """
        client = client_of(each_pebble.directory_url, tmp_path, ca_bundle=each_pebble.ca_bundle)

        with ChallengeServer(port=each_pebble.http_port) as site:
            order = client.order((name,))
            if answer is not None:
                site.answers[order.responses[0].token] = answer
            with pytest.raises(CertworkerError) as caught:
                order.validate()

        assert code == caught.value.code
        assert name in caught.value.message

    def test_a_closed_port_80_is_reported(self, pebble: Pebble, tmp_path: Path) -> None:
        """
        The failure has the code of a refused connection, and the remedy checks whether Traefik is running.
        """
        client = client_of(pebble.directory_url, tmp_path, ca_bundle=pebble.ca_bundle)

        with pytest.raises(CertworkerError) as caught:
            client.order(("closed.example.test",)).validate()

        assert "http.refused" == caught.value.code
        assert "docker compose ps traefik" in caught.value.remedy


class TestWithTheDevelopmentAuthority:
    def test_a_certificate_is_issued(
        self, authority: FaultyAuthority, challenge_server: ChallengeServer, tmp_path: Path
    ) -> None:
        """
        The client issues at the development CA with the code that production uses.
        """
        client = client_of(authority.directory_url, tmp_path)

        assert ("demo.localhost",) == issued(client, challenge_server, "demo.localhost").names

    def test_relative_urls_are_resolved(
        self, authority: FaultyAuthority, challenge_server: ChallengeServer, tmp_path: Path
    ) -> None:
        """
        Location, Link and the URLs of JSON objects can be relative to the URL of the request.
        """
        base = authority.directory_url.removesuffix("/directory")

        def relative(_: Request, reply: Reply) -> Reply:
            headers = {name: value.replace(base, "") for name, value in reply.headers.items()}
            return replace(reply, headers=headers, body=reply.body.replace(base.encode(), b""))

        with tampered(authority, relative):
            client = client_of(authority.directory_url, tmp_path)

            assert ("demo.localhost",) == issued(client, challenge_server, "demo.localhost").names

    def test_an_order_without_a_location_is_not_acme(
        self, authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        The failure names the missing header.
        """
        without = only("newOrder", lambda reply: with_headers(reply, Location=None))

        with (
            tampered(authority, without),
            pytest.raises(NotAcme, match="HTTP 201 without a Location header"),
        ):
            client_of(authority.directory_url, tmp_path).order(("demo.localhost",))

    def test_a_name_with_a_valid_authorization_is_not_validated_again(
        self, authority: FaultyAuthority, challenge_server: ChallengeServer, tmp_path: Path
    ) -> None:
        """
        The client answers no challenge for a valid authorization. Such a renewal needs no open port
        80.
        """
        authority.policy.authorization_reuse = timedelta(days=1)
        client = client_of(authority.directory_url, tmp_path)
        issued(client, challenge_server, "demo.localhost")
        challenge_server.answers.clear()

        assert () == client.order(("demo.localhost",)).responses
        assert ("demo.localhost",) == issued(client, challenge_server, "demo.localhost").names

    def test_a_lost_account_is_registered_again_once(
        self,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        The client registers an account that the CA has lost, without any action by the operator.
        Staging CAs delete accounts.
        """
        client = client_of(authority.directory_url, tmp_path)
        issued(client, challenge_server, "demo.localhost")
        thumbprint = client.thumbprint
        authority.forget_accounts()

        with caplog.at_level(logging.WARNING, "certworker.acme"):
            certificate = issued(client, challenge_server, "demo.localhost")

        assert ("demo.localhost",) == certificate.names
        assert thumbprint == client.thumbprint
        assert ["The CA does not accept the account; looking it up by its key"] == caplog.messages

    def test_the_order_names_the_profile(
        self, authority: FaultyAuthority, challenge_server: ChallengeServer, tmp_path: Path
    ) -> None:
        """
        The order names the configured profile, such as Let's Encrypt's short-lived certificates.
        """
        client = client_of(authority.directory_url, tmp_path, profile="shortlived")

        certificate = issued(client, challenge_server, "demo.localhost")

        assert 160 == round((certificate.not_after - certificate.not_before).total_seconds() / 3600)

    def test_an_unknown_profile_is_refused_with_the_known_ones(
        self, authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        The message about an unknown profile lists the profiles of the CA, and no order is placed.
        """
        client = client_of(authority.directory_url, tmp_path, profile="clasic")

        with pytest.raises(InvalidProfile) as caught:
            client.order(("demo.localhost",))

        assert "clasic is not among its profiles (classic, shortlived)" in caught.value.message
        assert "newOrder" not in [request.kind for request in authority.requests]

    def test_a_ca_that_requires_external_account_binding_is_reported(
        self, authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        A CA that requires external account binding is reported as such, from its directory.
        """
        authority.policy.external_accounts["kid"] = b"key"
        client = client_of(authority.directory_url, tmp_path)

        with pytest.raises(ExternalAccountRequired):
            client.order(("demo.localhost",))


class TestCheck:
    def test_problems_of_a_later_order_are_reported(self, authority: FaultyAuthority, tmp_path: Path) -> None:
        """
        The check reports an unknown profile and a missing binding without an order and without an
        account.
        """
        with pytest.raises(InvalidProfile):
            client_of(authority.directory_url, tmp_path, profile="tlsserver").check()
        authority.policy.external_accounts["kid"] = b"key"
        with pytest.raises(ExternalAccountRequired):
            client_of(authority.directory_url, tmp_path).check()
        assert not (tmp_path / "accounts").exists()

    def test_a_working_ca_passes_with_one_request(self, authority: FaultyAuthority, tmp_path: Path) -> None:
        """
        The check of a working CA sends one request and creates no account.
        """
        client_of(authority.directory_url, tmp_path).check()

        assert ["directory"] == [request.kind for request in authority.requests]

    def test_a_url_without_a_directory_is_reported(self, authority: FaultyAuthority, tmp_path: Path) -> None:
        """
        The failure has the HTTP status. A frequent mistake is the CA's website instead of its
        directory.
        """
        client = client_of(authority.directory_url.replace("directory", "nothing-here"), tmp_path)

        with pytest.raises(WrongCaUrl) as caught:
            client.check()

        assert "HTTP 404" in caught.value.message

    def test_an_unreachable_ca_is_reported(self, tmp_path: Path) -> None:
        """
        A refused connection is CaUnreachable, which is retried soon. It is not a wrong setting.
        """
        with pytest.raises(CaUnreachable) as caught:
            client_of(f"http://127.0.0.1:{free_port()}/directory", tmp_path).check()

        assert "Connection refused" in caught.value.message


def test_two_cas_have_two_accounts(tmp_path: Path) -> None:
    """
    Two CAs, such as staging and production, have two accounts on one volume.
    """
    with development_authority(tmp_path / "a") as first, development_authority(tmp_path / "b") as second:
        urls = [first.directory_url, second.directory_url]
        clients = [client_of(url, tmp_path / str(number)) for number, url in enumerate(urls)]
        for client in clients:
            client.order(("demo.localhost",))

        assert clients[0].thumbprint != clients[1].thumbprint


LETS_ENCRYPTS = {"classic": "", "tlsserver": "", "shortlived": ""}
LETS_ENCRYPT = {"label": "letsencrypt", "title": "Let's Encrypt"}
NAME = ("api.example.org",)


def numbered(number: int) -> tuple[str, ...]:
    """
    Return *number* different names.
    """
    return tuple(f"{each}.example.org" for each in range(number))


class TestProfile:
    def test_no_profile_is_named_without_the_setting(self) -> None:
        """
        The order names no profile without the setting. The CA selects its default, which may change.
        """
        assert profile_for(NAME, None, LETS_ENCRYPTS, **LETS_ENCRYPT) is None

    def test_the_configured_profile_is_named(self) -> None:
        """
        The order names the configured profile if the directory lists it.
        """
        assert "tlsserver" == profile_for(NAME, "tlsserver", LETS_ENCRYPTS, **LETS_ENCRYPT)

    def test_an_unknown_profile_is_reported_with_the_known_ones(self) -> None:
        """
        The failure names the unknown profile before the client uses the account.
        """
        with pytest.raises(InvalidProfile, match="tlsclient is not among its profiles"):
            profile_for(NAME, "tlsclient", LETS_ENCRYPTS, **LETS_ENCRYPT)

    @pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
    def test_an_address_uses_the_profile_shortlived(self, address: str) -> None:
        """
        An address uses the profile shortlived, the only one in which Let's Encrypt issues for
        addresses.
        """
        assert "shortlived" == profile_for((*NAME, address), None, LETS_ENCRYPTS, **LETS_ENCRYPT)

    def test_a_ca_without_profiles_gets_none_for_an_address(self) -> None:
        """
        The order names no profile for an address if the CA has none. Its default may allow
        addresses.
        """
        assert profile_for(("8.8.8.8",), None, {}, label="ca.example.org", title="The CA") is None

    def test_the_configured_profile_wins_for_an_address(self) -> None:
        """
        An address uses the configured profile. The CA reports if that profile does not allow
        addresses.
        """
        assert "classic" == profile_for(("8.8.8.8",), "classic", LETS_ENCRYPTS, **LETS_ENCRYPT)


class TestNumberOfNames:
    @pytest.mark.parametrize(("profile", "most"), [(None, 100), ("classic", 100), ("tlsserver", 25)])
    def test_more_names_than_lets_encrypt_allows_are_reported_before_the_order(
        self, profile: str | None, most: int
    ) -> None:
        """
        The failure states the limit of the profile. Let's Encrypt counts an order that it refuses.
        """
        assert profile == profile_for(numbered(most), profile, LETS_ENCRYPTS, **LETS_ENCRYPT)
        with pytest.raises(
            TooManyNames, match=f"has {most + 1} names, and a certificate can have at most {most}"
        ):
            profile_for(numbered(most + 1), profile, LETS_ENCRYPTS, **LETS_ENCRYPT)

    def test_the_limit_of_the_selected_profile_applies_to_addresses(self) -> None:
        """
        The limit of the profile shortlived applies to a certificate with an address.
        """
        with pytest.raises(TooManyNames):
            profile_for((*numbered(25), "8.8.8.8"), None, LETS_ENCRYPTS, **LETS_ENCRYPT)

    def test_no_limit_is_assumed_for_another_ca(self) -> None:
        """
        No limit on names applies to another CA. Its profile of the same name may allow more.
        """
        many = numbered(200)

        assert "tlsserver" == profile_for(many, "tlsserver", LETS_ENCRYPTS, label="ca", title="The CA")


class TestOrderWithProfile:
    @pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
    def test_an_address_gets_a_certificate(
        self, authority: FaultyAuthority, challenge_server: ChallengeServer, tmp_path: Path, address: str
    ) -> None:
        """
        The client orders, validates and receives a certificate for an address (RFC 8738).
        """
        authority.validator = Validator(challenge_server.port, lambda _: "127.0.0.1")

        certificate = issued(client_of(authority.directory_url, tmp_path), challenge_server, address)

        assert (address,) == certificate.names
        assert 160 == (certificate.not_after - certificate.not_before).total_seconds() / 3600
        assert [f"[{address}]" if ":" in address else address] == challenge_server.hosts

    def test_pebble_certifies_an_address(self, each_pebble: Pebble, tmp_path: Path) -> None:
        """
        Pebble issues a certificate for an address.
        """
        with ChallengeServer(port=each_pebble.http_port) as site:
            client = client_of(each_pebble.directory_url, tmp_path, ca_bundle=each_pebble.ca_bundle)

            assert ("127.0.0.1",) == issued(client, site, "127.0.0.1").names


@pytest.mark.parametrize(
    ("url", "is_same"),
    [
        ("https://ca.test/order/1", True),
        ("https://ca.test:443/order/1", True),
        ("https://CA.test/order/1", True),
        ("https://ca.test:444/order/1", False),
        ("http://ca.test:443/order/1", False),
        ("https://ca.test.attacker.test/order/1", False),
        ("nonsense", False),
    ],
)
def test_an_order_is_resumed_in_any_spelling_of_the_host(url: str, is_same: bool) -> None:
    """
    The URL of an order may name the default port, or use capital letters. Other hosts get no request.
    """
    assert is_same is _same_origin(url, "https://ca.test/acme/new-order")
