"""
Test orders from newOrder to the certificate.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from josepy.json_util import encode_b64jose
from josepy.jwk import JWKEC

from certworker.certificates import PrivateKey
from certworker.devca.accounts import thumbprint
from certworker.devca.messages import Refused
from certworker.devca.ordering import requested_names
from tests.servers.acme_client import AcmeClient, problem_of
from tests.servers.development import ChallengeServer, development_authority
from tests.servers.faulty_authority import FaultyAuthority

NAME = "shop.localhost"


class TestOrder:
    def test_a_certificate_is_issued(self, client: AcmeClient, challenge_server: ChallengeServer) -> None:
        """
        An order with two names ends with one certificate.
        """
        issued = client.issue(NAME, "www.shop.localhost", server=challenge_server)
        issued.check((NAME, "www.shop.localhost"), datetime.now(UTC))

    def test_a_certificate_for_an_address_is_issued(
        self, authority: FaultyAuthority, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        The CA validates an address at this address (RFC 8738).
        """
        answer = client.new_order(identifiers=[{"type": "ip", "value": "127.0.0.1"}])
        url = answer.headers["Location"]
        authorization = answer.json()["authorizations"][0]
        assert {"type": "ip", "value": "127.0.0.1"} == client.post(authorization).json()["identifier"]
        assert "pending" == client.post(url).json()["status"]
        issued = client.issue(
            "127.0.0.1", server=challenge_server, identifiers=[{"type": "ip", "value": "127.0.0.1"}]
        )
        assert ("127.0.0.1",) == issued.names

    def test_an_order_starts_pending(self, client: AcmeClient) -> None:
        """
        Each order needs its own validation by default.
        """
        for _ in range(2):
            assert "pending" == client.order(NAME).status

    def test_requested_dates_are_refused(self, client: AcmeClient) -> None:
        """
        The CA refuses notAfter instead of ignoring it, as Let's Encrypt does.
        """
        answer = client.new_order(NAME, notAfter="2030-01-01T00:00:00Z")
        assert (400, "malformed") == problem_of(answer)

    def test_another_account_cannot_use_an_order(
        self, authority: FaultyAuthority, client: AcmeClient
    ) -> None:
        """
        Another account can neither read the order and its authorizations nor finalize the order.
        """
        order = client.order(NAME)
        other = AcmeClient(authority.directory_url)
        other.register()
        for url in (order.url, order.content["authorizations"][0], order.content["finalize"]):
            assert (403, "unauthorized") == problem_of(other.post(url, {}))

    def test_an_unknown_resource_is_not_found(self, authority: FaultyAuthority, client: AcmeClient) -> None:
        """
        An unknown resource is not found, such as an order from before a restart.
        """
        for kind in ("order", "authorization", "challenge", "finalize", "certificate"):
            answer = client.post(f"http://127.0.0.1:{authority.port}/{kind}/unknown", {})
            assert (404, "malformed") == problem_of(answer)

    def test_an_order_expires(self, tmp_path: Path) -> None:
        """
        A pending order is invalid after seven days.
        """
        now = datetime.now(UTC)
        moments = [now]
        with development_authority(tmp_path, clock=lambda: moments[-1]) as authority:
            client = AcmeClient(authority.directory_url)
            client.register()
            order = client.order(NAME)
            moments.append(now + timedelta(days=7))
            assert "invalid" == client.post(order.url).json()["status"]


class TestProfile:
    def test_the_profile_determines_the_lifetime(
        self, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        The profile shortlived has a lifetime of 160 hours, as at Let's Encrypt.
        """
        issued = client.issue(NAME, server=challenge_server, profile="shortlived")
        assert timedelta(hours=160) == issued.not_after - issued.not_before

    def test_an_unknown_profile_is_refused(self, client: AcmeClient) -> None:
        """
        The response to an unknown profile lists the profiles of the CA.
        """
        answer = client.new_order(NAME, profile="forever")
        assert (400, "invalidProfile") == problem_of(answer)
        assert "classic, shortlived" in answer.json()["detail"]

    def test_the_profile_limits_the_names(self, client: AcmeClient) -> None:
        """
        A certificate has at most 25 names with the profile shortlived, and 100 with classic.
        """
        names = [f"site{number}.localhost" for number in range(26)]
        assert (400, "malformed") == problem_of(client.new_order(*names, profile="shortlived"))
        assert client.new_order(*names, profile="classic").ok


class TestAuthorization:
    def test_a_valid_authorization_is_used_again(
        self, authority: FaultyAuthority, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        The policy lets the next order of the account start ready.
        """
        authority.policy.authorization_reuse = timedelta(hours=7)
        client.issue(NAME, server=challenge_server)
        assert "ready" == client.order(NAME).status

    def test_a_deactivated_authorization_ends_its_order(self, client: AcmeClient) -> None:
        """
        A deactivated authorization makes its order invalid (RFC 8555, section 7.5.2).
        """
        order = client.order(NAME)
        answer = client.post(order.content["authorizations"][0], {"status": "deactivated"})
        assert "deactivated" == answer.json()["status"]
        assert "invalid" == client.post(order.url).json()["status"]

    def test_an_authorization_stays_deactivated_after_a_late_validation(
        self, authority: FaultyAuthority, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        An authorization stays deactivated if its validation ends later.
        """
        authority.faults.validation_seconds = 0.2
        url = client.order(NAME).content["authorizations"][0]
        challenge = client.post(url).json()["challenges"][0]
        challenge_server.answers[challenge["token"]] = f"{challenge['token']}.{thumbprint(client.key)}"
        assert "processing" == client.post(challenge["url"], {}).json()["status"]
        client.post(url, {"status": "deactivated"})
        deadline = time.monotonic() + 10
        while not challenge_server.hosts and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)  # The CA evaluates the response.
        assert [NAME] == challenge_server.hosts
        assert "deactivated" == client.post(url).json()["status"]

    def test_a_wrong_response_ends_its_order(
        self, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        The challenge has the wrong response in its error (RFC 8555, section 8.2).
        """
        order = client.order(NAME)
        challenge = client.post(order.content["authorizations"][0]).json()["challenges"][0]
        challenge_server.answers[challenge["token"]] = "something else"
        answer = client.post(challenge["url"], {})
        assert "authorization/" in answer.links["up"]["url"]
        assert "invalid" == client.settled(order, "pending").status
        error = client.post(challenge["url"]).json()["error"]
        assert "urn:ietf:params:acme:error:unauthorized" == error["type"]
        assert "something else" in error["detail"]


class TestFinalize:
    @pytest.fixture
    def ready(self, client: AcmeClient, challenge_server: ChallengeServer) -> AcmeClient:
        """
        Return the client, with one more order that is ready.
        """
        self.order = client.answer(client.order(NAME), challenge_server)
        return client

    def test_the_order_must_be_ready(self, client: AcmeClient) -> None:
        """
        The CA refuses to finalize a pending order with orderNotReady (RFC 8555, section 7.4).
        """
        answer = client.finalize(client.order(NAME), PrivateKey.generate())
        assert (403, "orderNotReady") == problem_of(answer)

    def test_the_request_has_the_names_of_the_order(self, ready: AcmeClient) -> None:
        """
        The CA refuses a signing request with other or additional names.
        """
        key = PrivateKey.generate()
        for names in (("other.localhost",), (NAME, "other.localhost")):
            assert (400, "badCSR") == problem_of(ready.finalize(self.order, key, *names))
        assert ready.finalize(self.order, key).ok

    def test_the_key_of_the_account_is_refused(
        self, authority: FaultyAuthority, challenge_server: ChallengeServer
    ) -> None:
        """
        The key of the account cannot be the key of a certificate (RFC 8555, section 11.1).
        """
        key = PrivateKey.generate()
        client = AcmeClient(authority.directory_url, JWKEC(key=key.key))
        client.register()
        order = client.answer(client.order(NAME), challenge_server)
        assert (400, "badCSR") == problem_of(client.finalize(order, key))

    @pytest.mark.parametrize("csr", [None, 3, "", "####", encode_b64jose(b"not a request")])
    def test_an_invalid_request_is_refused(self, ready: AcmeClient, csr: object) -> None:
        """
        Anything but a signing request is a badCSR.
        """
        assert (400, "badCSR") == problem_of(ready.post(self.order.content["finalize"], {"csr": csr}))

    def test_a_finalization_needs_a_payload(self, ready: AcmeClient) -> None:
        """
        A POST-as-GET cannot finalize an order.
        """
        assert (400, "malformed") == problem_of(ready.post(self.order.content["finalize"]))


def dns(*names: str) -> dict[str, object]:
    """
    Return the payload of an order for *names*.
    """
    return {"identifiers": [{"type": "dns", "value": name} for name in names]}


class TestRequestedNames:
    def test_each_name_is_requested_once(self) -> None:
        """
        Names are compared without case, and their order stays.
        """
        assert ("b.localhost", "a.localhost") == requested_names(
            dns("b.localhost", "a.localhost", "B.localhost")
        )

    def test_addresses_are_accepted(self) -> None:
        """
        An order can have IP addresses (RFC 8738).
        """
        identifiers = [{"type": "ip", "value": value} for value in ("127.0.0.1", "0:0::1")]
        assert ("127.0.0.1", "::1") == requested_names({"identifiers": identifiers})

    @pytest.mark.parametrize(
        "name",
        ["", ".", "*.localhost", "a..b", "-a.localhost", "a_b.localhost", "a b", "127.0.0.1", "x" * 64],
    )
    def test_wildcards_and_invalid_names_are_rejected(self, name: str) -> None:
        """
        Wildcards, which need DNS-01, and invalid host names are rejected.
        """
        with pytest.raises(Refused) as refused:
            requested_names(dns(name))
        assert "rejectedIdentifier" == refused.value.problem.kind

    @pytest.mark.parametrize(
        ("identifiers", "problem"),
        [
            (None, "malformed"),
            ([], "malformed"),
            (["shop.localhost"], "malformed"),
            ([{"type": "dns"}], "malformed"),
            ([{"type": "dns", "value": 3}], "malformed"),
            ([{"type": "email", "value": "a@b.example"}], "unsupportedIdentifier"),
            ([{"type": "ip", "value": "shop.localhost"}], "rejectedIdentifier"),
        ],
    )
    def test_invalid_payloads_are_refused(self, identifiers: object, problem: str) -> None:
        """
        Each invalid payload has its problem.
        """
        with pytest.raises(Refused) as refused:
            requested_names({"identifiers": identifiers})
        assert problem == refused.value.problem.kind

    @given(st.text())
    def test_any_text_is_a_name_or_rejected(self, text: str) -> None:
        """
        Each accepted text is a host name in ASCII.
        """
        try:
            (name,) = requested_names(dns(text))
        except Refused as refused:
            assert "rejectedIdentifier" == refused.problem.kind  # noqa: PT017 (both outcomes are correct)
        else:
            assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")
