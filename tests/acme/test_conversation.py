"""
Check all requests of an account against the rules of RFC 8555.
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

#: The public resources with their methods; a client signs all other requests.
UNSIGNED = {"directory": "GET", "newNonce": "HEAD", "renewalInfo": "GET"}


@dataclass
class Sent:
    """
    A request to the CA, with its decoded JWS.
    """

    request: Request
    header: dict[str, Any]
    body: dict[str, str] = field(default_factory=dict)

    @property
    def payload(self) -> Any:
        """
        Return the signed payload, or None if it is empty (POST-as-GET).
        """
        content = decode_b64jose(self.body["payload"])
        return json.loads(content) if content else None


@contextmanager
def recorded(authority: FaultyAuthority) -> Iterator[list[Sent]]:
    """
    Record the requests that *authority* receives within the block.
    """
    sent: list[Sent] = []

    def record(request: Request, header: dict[str, Any]) -> None:
        sent.append(Sent(request, header, json.loads(request.body) if request.body else {}))

    with refusing(authority, record):
        yield sent


@pytest.fixture
def conversation(
    authority: FaultyAuthority, challenge_server: ChallengeServer, tmp_path: Path
) -> Iterator[list[Sent]]:
    """
    Record an account from registration to deactivation: two orders, renewal information, a key change and
    two revocations.
    """
    client = client_of(authority.directory_url, tmp_path)
    with recorded(authority) as sent:
        first = issued(client, challenge_server, *NAMES)
        client.renewal_suggestion(first.renewal_id, NAMES)
        client.account_admin.rotate_key()
        second = issued(client, challenge_server, *NAMES)
        client.account_admin.revoke(first, "superseded")
        client.account_admin.revoke(second, "keyCompromise")
        client.account_admin.info()
        client.account_admin.deactivate()
        yield sent


def signed(conversation: list[Sent]) -> list[Sent]:
    """
    Return the requests that carry a JWS.
    """
    return [each for each in conversation if each.request.method == "POST"]


def of(conversation: list[Sent], kind: str) -> list[Sent]:
    """
    Return the requests for resources of *kind*.
    """
    return [each for each in conversation if each.request.kind == kind]


class TestRequests:
    def test_only_public_resources_are_requested_unsigned(self, conversation: list[Sent]) -> None:
        """
        The client signs all requests but those for the directory, nonces and renewal information (RFC
        8555, section 6.3; RFC 9773, section 4.1).
        """
        unsigned = {
            each.request.kind: each.request.method
            for each in conversation
            if each not in signed(conversation)
        }

        assert UNSIGNED == unsigned
        assert len(signed(conversation)) > 20

    def test_each_request_is_a_flattened_jws(self, conversation: list[Sent]) -> None:
        """
        A request has no unprotected header, one signature and an attached payload (section 6.2).
        """
        for each in signed(conversation):
            assert {"protected", "payload", "signature"} == set(each.body), each.request.kind
            assert "application/jose+json" == each.request.content_type
            assert not each.header.keys() & {"b64", "crit"}

    def test_all_binary_members_are_base64url_without_padding(self, conversation: list[Sent]) -> None:
        """
        No member has a trailing `=`, which servers refuse (section 6.1).
        """
        for each in signed(conversation):
            assert all(not set(value) & set("=+/") for value in each.body.values())
            assert all("=" not in str((each.payload or {}).get(name, "")) for name in ("csr", "certificate"))

    def test_the_protected_header_has_the_required_members(self, conversation: list[Sent]) -> None:
        """
        The header has `alg`, `nonce`, the `url` of the request, and either `jwk` or `kid` (sections
        6.2 and 6.4).
        """
        for each in signed(conversation):
            assert {"alg", "nonce", "url"} | (each.header.keys() & {"jwk", "kid"}) == each.header.keys()
            assert ("jwk" in each.header) is not ("kid" in each.header)
            assert each.header["alg"] in ("ES256", "ES384", "RS256")
            assert each.request.url == each.header["url"]

    def test_no_nonce_is_used_twice(self, conversation: list[Sent]) -> None:
        """
        Each nonce is valid for one request (section 6.5).
        """
        nonces = [each.header["nonce"] for each in signed(conversation)]

        assert len(nonces) == len(set(nonces))

    def test_only_new_accounts_and_revocations_contain_their_key(self, conversation: list[Sent]) -> None:
        """
        Each other request names the account by the URL from its registration (section 6.2).
        """
        own = [each for each in signed(conversation) if "kid" in each.header]
        kids = {each.header["kid"] for each in own}
        kinds = {each.request.kind for each in signed(conversation) if "jwk" in each.header}

        assert {"newAccount", "revokeCert"} == kinds
        assert 1 == len(kids)
        assert kids == {each.request.url for each in of(conversation, "account")}

    def test_a_read_has_an_empty_payload(self, conversation: list[Sent]) -> None:
        """
        The client reads orders, authorizations and certificates with POST-as-GET (section 6.3).
        """
        for kind in ("order", "authorization", "certificate"):
            assert of(conversation, kind)
            assert all("" == each.body["payload"] for each in of(conversation, kind)), kind


class TestOrders:
    def test_the_signing_request_has_the_names_of_the_order(self, conversation: list[Sent]) -> None:
        """
        The signing request has exactly the names of the order (section 7.4).
        """
        (order, _), (finalize, _) = of(conversation, "newOrder"), of(conversation, "finalize")
        request = x509.load_der_x509_csr(decode_b64jose(finalize.payload["csr"]))
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

        assert [{"type": "dns", "value": name} for name in NAMES] == order.payload["identifiers"]
        assert list(NAMES) == names.get_values_for_type(x509.DNSName)
        assert [] == list(request.subject)

    def test_the_key_of_a_certificate_is_never_the_account_key(self, conversation: list[Sent]) -> None:
        """
        Each certificate has a key of its own, which differs from the key of the account (section
        11.1).
        """
        requests = [
            x509.load_der_x509_csr(decode_b64jose(each.payload["csr"]))
            for each in of(conversation, "finalize")
        ]
        numbers = {request.public_key().public_numbers().x for request in requests}  # type: ignore[union-attr] # EC
        accounts = {each.header["jwk"]["x"] for each in of(conversation, "newAccount")}

        assert 2 == len(numbers)
        assert not numbers & {int.from_bytes(decode_b64jose(x), "big") for x in accounts}

    def test_a_challenge_is_answered_with_an_empty_object(self, conversation: list[Sent]) -> None:
        """
        The client responds once to each challenge, at the URL of the challenge (section 7.5.1).
        """
        answers = of(conversation, "challenge")

        assert 2 * len(NAMES) == len(answers)
        assert all({} == each.payload for each in answers)

    def test_an_order_is_finalized_after_its_challenges(self, conversation: list[Sent]) -> None:
        """
        The client finalizes an order after its challenges. An earlier request fails with
        orderNotReady (section 7.4).
        """
        types = [each.request.kind for each in conversation]

        assert types.index("finalize") > max(
            number for number, kind in enumerate(types[: types.index("certificate")]) if kind == "challenge"
        )


class TestAccounts:
    def test_a_registration_agrees_to_the_terms(self, conversation: list[Sent]) -> None:
        """
        The registration agrees to the terms, and names no member that only the server sets (section
        7.3).
        """
        search, registration, *_ = of(conversation, "newAccount")

        assert {"onlyReturnExisting": True} == search.payload
        assert {
            "termsOfServiceAgreed": True,
            "contact": ["mailto:ops@certworker.dev"],
        } == registration.payload

    def test_a_key_change_is_signed_with_both_keys(self, conversation: list[Sent]) -> None:
        """
        The inner message has the new key, the outer URL and no nonce (section 7.3.5).
        """
        (change,) = of(conversation, "keyChange")
        inner = json.loads(decode_b64jose(change.payload["protected"]))
        content = json.loads(decode_b64jose(change.payload["payload"]))

        assert {"alg", "jwk", "url"} == inner.keys()
        assert change.header["url"] == inner["url"]
        assert {"account", "oldKey"} == content.keys()
        assert change.header["kid"] == content["account"]
        assert inner["jwk"] != content["oldKey"]

    def test_a_revocation_has_the_certificate_and_a_reason(self, conversation: list[Sent]) -> None:
        """
        The account's key signs with `kid`, the certificate's key with `jwk` (section 7.6).
        """
        by_account, by_key = of(conversation, "revokeCert")

        assert ("kid" in by_account.header, "jwk" in by_key.header) == (True, True)
        assert [4, 1] == [each.payload["reason"] for each in (by_account, by_key)]
        for each in (by_account, by_key):
            assert x509.load_der_x509_certificate(decode_b64jose(each.payload["certificate"]))

    def test_a_deactivation_has_one_member(self, conversation: list[Sent]) -> None:
        """
        The payload has only the status `deactivated` (section 7.3.6).
        """
        assert {"status": "deactivated"} == of(conversation, "account")[-1].payload
