"""
All requests of an account on the wire, as RFC 8555 requires them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from josepy.json_util import decode_b64jose

from certworker.devca.messages import Request
from tests.acme.clients import client_of, issued
from tests.servers.development import ChallengeServer
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.tampering import refusing

NAMES = ("demo.localhost", "www.demo.localhost")

#: What a CA shows to anybody; everything else is signed.
UNSIGNED = {"directory": "GET", "newNonce": "HEAD", "renewalInfo": "GET"}


@dataclass
class Sent:
    """
    One request.
    """

    request: Request
    header: dict[str, Any]
    body: dict[str, str] = field(default_factory=dict)

    @property
    def payload(self) -> Any:
        """
        What was signed; None: nothing, as in a POST-as-GET.
        """
        content = decode_b64jose(self.body["payload"])
        return json.loads(content) if content else None


@contextmanager
def recorded(authority: FaultyAuthority) -> Iterator[list[Sent]]:
    """
    The requests that *authority* gets within the block.
    """
    sent: list[Sent] = []

    def note(request: Request, header: dict[str, Any]) -> None:
        sent.append(Sent(request, header, json.loads(request.body) if request.body else {}))

    with refusing(authority, note):
        yield sent


@pytest.fixture
def life(
    authority: FaultyAuthority, challenge_server: ChallengeServer, tmp_path: Path
) -> Iterator[list[Sent]]:
    """
    Registration, two orders, renewal information, a new key, both revocations and the end.
    """
    client = client_of(authority.directory_url, tmp_path)
    with recorded(authority) as sent:
        first = issued(client, challenge_server, *NAMES)
        client.renewal_suggestion(first.renewal_id, NAMES[0])
        client.account_admin.rotate_key()
        second = issued(client, challenge_server, *NAMES)
        client.account_admin.revoke(first, "superseded")
        client.account_admin.revoke(second, "keyCompromise")
        client.account_admin.info()
        client.account_admin.deactivate()
        yield sent


def signed(life: list[Sent]) -> list[Sent]:
    """
    The requests that carry a JWS.
    """
    return [each for each in life if each.request.method == "POST"]


def of(life: list[Sent], kind: str) -> list[Sent]:
    """
    The requests for resources of *kind*.
    """
    return [each for each in life if each.request.kind == kind]


class TestRequests:
    def test_only_public_resources_are_requested_unsigned(self, life: list[Sent]) -> None:
        """
        Directory, nonce and renewal information (RFC 8555, section 6.3; RFC 9773, section 4.1).
        """
        unsigned = {each.request.kind: each.request.method for each in life if each not in signed(life)}

        assert UNSIGNED == unsigned
        assert len(signed(life)) > 20

    def test_each_is_a_flattened_jws(self, life: list[Sent]) -> None:
        """
        No unprotected header, no second signature, no detached payload (section 6.2).
        """
        for each in signed(life):
            assert {"protected", "payload", "signature"} == set(each.body), each.request.kind
            assert "application/jose+json" == each.request.content_type
            assert not each.header.keys() & {"b64", "crit"}

    def test_all_binary_members_are_base64url_without_padding(self, life: list[Sent]) -> None:
        """
        A server refuses trailing `=` (section 6.1).
        """
        for each in signed(life):
            assert all(not set(value) & set("=+/") for value in each.body.values())
            assert all("=" not in str((each.payload or {}).get(name, "")) for name in ("csr", "certificate"))

    def test_the_protected_header_has_what_it_must(self, life: list[Sent]) -> None:
        """
        `alg`, `nonce`, `url`, and one of `jwk` and `kid` (section 6.2); the URL is that of the request (6.4).
        """
        for each in signed(life):
            assert {"alg", "nonce", "url"} | (each.header.keys() & {"jwk", "kid"}) == each.header.keys()
            assert ("jwk" in each.header) is not ("kid" in each.header)
            assert each.header["alg"] in ("ES256", "ES384", "RS256")
            assert each.request.url == each.header["url"]

    def test_no_nonce_is_used_twice(self, life: list[Sent]) -> None:
        """
        Each is good for one request (section 6.5).
        """
        nonces = [each.header["nonce"] for each in signed(life)]

        assert len(nonces) == len(set(nonces))

    def test_only_new_accounts_and_a_revocation_bring_their_key(self, life: list[Sent]) -> None:
        """
        Every other request names the account by the URL that its registration had in Location (section 6.2).
        """
        own = [each for each in signed(life) if "kid" in each.header]
        kids = {each.header["kid"] for each in own}
        bring = {each.request.kind for each in signed(life) if "jwk" in each.header}

        assert {"newAccount", "revokeCert"} == bring
        assert 1 == len(kids)
        assert kids == {each.request.url for each in of(life, "account")}

    def test_what_is_only_read_has_an_empty_payload(self, life: list[Sent]) -> None:
        """
        A POST-as-GET (section 6.3).
        """
        for kind in ("order", "authorization", "certificate"):
            assert of(life, kind)
            assert all("" == each.body["payload"] for each in of(life, kind)), kind


class TestOrders:
    def test_identifiers_are_those_of_the_order(self, life: list[Sent]) -> None:
        """
        The signing request names exactly what was ordered (section 7.4).
        """
        (order, _), (finalize, _) = of(life, "newOrder"), of(life, "finalize")
        request = x509.load_der_x509_csr(decode_b64jose(finalize.payload["csr"]))
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

        assert [{"type": "dns", "value": name} for name in NAMES] == order.payload["identifiers"]
        assert list(NAMES) == names.get_values_for_type(x509.DNSName)
        assert [] == list(request.subject)

    def test_the_key_of_a_certificate_is_never_that_of_the_account(self, life: list[Sent]) -> None:
        """
        Nor that of another certificate (section 11.1).
        """
        requests = [
            x509.load_der_x509_csr(decode_b64jose(each.payload["csr"])) for each in of(life, "finalize")
        ]
        numbers = {request.public_key().public_numbers().x for request in requests}  # type: ignore[union-attr] # EC
        accounts = {each.header["jwk"]["x"] for each in of(life, "newAccount")}

        assert 2 == len(numbers)
        assert not numbers & {int.from_bytes(decode_b64jose(x), "big") for x in accounts}

    def test_a_challenge_is_answered_with_an_empty_object(self, life: list[Sent]) -> None:
        """
        At the challenge's own URL, once for each (section 7.5.1).
        """
        answers = of(life, "challenge")

        assert 2 * len(NAMES) == len(answers)
        assert all({} == each.payload for each in answers)

    def test_it_is_finalized_after_its_challenges(self, life: list[Sent]) -> None:
        """
        Before, the CA answers orderNotReady (section 7.4).
        """
        types = [each.request.kind for each in life]

        assert types.index("finalize") > max(
            number for number, kind in enumerate(types[: types.index("certificate")]) if kind == "challenge"
        )


class TestAccounts:
    def test_a_registration_agrees_to_the_terms(self, life: list[Sent]) -> None:
        """
        And names no member that the server alone sets (section 7.3).
        """
        search, registration, *_ = of(life, "newAccount")

        assert {"onlyReturnExisting": True} == search.payload
        assert {
            "termsOfServiceAgreed": True,
            "contact": ["mailto:ops@certworker.dev"],
        } == registration.payload

    def test_a_change_of_the_key_is_signed_by_both(self, life: list[Sent]) -> None:
        """
        The inner message has the new key, the outer URL and no nonce (section 7.3.5).
        """
        (change,) = of(life, "keyChange")
        inner = json.loads(decode_b64jose(change.payload["protected"]))
        content = json.loads(decode_b64jose(change.payload["payload"]))

        assert {"alg", "jwk", "url"} == inner.keys()
        assert change.header["url"] == inner["url"]
        assert {"account", "oldKey"} == content.keys()
        assert change.header["kid"] == content["account"]
        assert inner["jwk"] != content["oldKey"]

    def test_a_revocation_has_the_certificate_and_a_reason(self, life: list[Sent]) -> None:
        """
        By the account's key with `kid`, by the certificate's with `jwk` (section 7.6).
        """
        by_account, by_key = of(life, "revokeCert")

        assert ("kid" in by_account.header, "jwk" in by_key.header) == (True, True)
        assert [4, 1] == [each.payload["reason"] for each in (by_account, by_key)]
        for each in (by_account, by_key):
            assert x509.load_der_x509_certificate(decode_b64jose(each.payload["certificate"]))

    def test_the_end_of_an_account_is_one_member(self, life: list[Sent]) -> None:
        """
        Section 7.3.6.
        """
        assert {"status": "deactivated"} == of(life, "account")[-1].payload
