"""
Tests of the error of RFC 8555 for each request that is not signed as the RFC requires.
"""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from josepy.json_util import encode_b64jose
from josepy.jwa import ES256, ES384, ES512, HS256, RS256, RS512, JWASignature
from josepy.jwk import JWK, JWKEC, JWKRSA, JWKOct

from certworker.devca.messages import Refused
from certworker.devca.protocol import parse
from tests.servers.acme_client import AcmeClient, account_key, problem_of
from tests.servers.faulty_authority import FaultyAuthority


class TestKeys:
    @pytest.mark.parametrize(
        ("key", "algorithm"),
        [
            (JWKEC(key=ec.generate_private_key(ec.SECP256R1())), ES256),
            (JWKEC(key=ec.generate_private_key(ec.SECP384R1())), ES384),
            (JWKRSA(key=rsa.generate_private_key(65537, 2048)), RS256),
        ],
        ids=["ES256", "ES384", "RS256"],
    )
    def test_usual_keys_are_accepted(
        self, authority: FaultyAuthority, key: JWK, algorithm: JWASignature
    ) -> None:
        """
        The CA accepts the three key types that clients use.
        """
        client = AcmeClient(authority.directory_url, key, algorithm)
        assert 201 == client.register().status_code
        assert 201 == client.new_order("shop.localhost").status_code

    @pytest.mark.parametrize(
        ("key", "algorithm"),
        [
            (JWKEC(key=ec.generate_private_key(ec.SECP521R1())), ES512),
            (JWKRSA(key=rsa.generate_private_key(65537, 1024)), RS256),  # noqa: S505 (the test needs a weak key)
        ],
        ids=["P-521", "RSA-1024"],
    )
    def test_other_keys_are_refused(
        self, authority: FaultyAuthority, key: JWK, algorithm: JWASignature
    ) -> None:
        """
        The CA refuses weak and unusual keys, as public CAs do.
        """
        client = AcmeClient(authority.directory_url, key, algorithm)
        assert (400, "badPublicKey") == problem_of(client.register())

    def test_a_secret_key_is_refused(self, authority: FaultyAuthority) -> None:
        """
        The CA refuses an HMAC key, because `jwk` must be a public key.
        """
        client = AcmeClient(authority.directory_url, JWKOct(key=b"secret"), HS256)
        assert (400, "badPublicKey") == problem_of(client.register())

    def test_another_algorithm_is_refused(self, authority: FaultyAuthority) -> None:
        """
        The response to another algorithm lists the accepted algorithms (RFC 8555, section 6.2).
        """
        client = AcmeClient(authority.directory_url, JWKRSA(key=rsa.generate_private_key(65537, 2048)), RS512)
        answer = client.register()
        assert (400, "badSignatureAlgorithm") == problem_of(answer)
        assert ["ES256", "ES384", "RS256"] == answer.json()["algorithms"]


class TestHeader:
    def test_a_nonce_is_valid_once(self, client: AcmeClient) -> None:
        """
        A recorded request cannot be replayed (RFC 8555, section 6.5).
        """
        body = client.sign(str(client.kid), None)
        assert client.send(str(client.kid), body).ok
        assert (400, "badNonce") == problem_of(client.send(str(client.kid), body))

    def test_an_invented_nonce_is_invalid(self, client: AcmeClient) -> None:
        """
        The CA accepts only its own nonces.
        """
        answer = client.post(str(client.kid), nonce=encode_b64jose(b"0123456789abcdef"))
        assert (400, "badNonce") == problem_of(answer)

    def test_the_url_is_signed(self, client: AcmeClient) -> None:
        """
        A message for one resource is invalid for another resource (RFC 8555, section 6.4).
        """
        body = client.sign(client.directory["newOrder"], None)
        assert (401, "unauthorized") == problem_of(client.send(str(client.kid), body))

    def test_key_and_account_exclude_each_other(self, client: AcmeClient) -> None:
        """
        newAccount has the key; other requests name the account (RFC 8555, section 6.2).
        """
        identifiers = {"identifiers": [{"type": "dns", "value": "shop.localhost"}]}
        answer = client.post(client.directory["newOrder"], identifiers, kid=None)
        assert (400, "malformed") == problem_of(answer)
        answer = client.post(client.directory["newAccount"], {"termsOfServiceAgreed": True})
        assert (400, "malformed") == problem_of(answer)

    def test_the_account_must_exist(self, client: AcmeClient) -> None:
        """
        The problem for an unknown account is accountDoesNotExist, after which clients register again.
        """
        answer = client.post(str(client.kid), kid=f"{client.kid}0")
        assert (400, "accountDoesNotExist") == problem_of(answer)

    def test_the_key_of_another_account_is_refused(self, client: AcmeClient) -> None:
        """
        A request with the URL of an account and another key is refused.
        """
        answer = client.post(str(client.kid), key=account_key())
        assert (400, "malformed") == problem_of(answer)


class TestBody:
    def test_the_content_type_is_checked(self, client: AcmeClient) -> None:
        """
        Another content type is refused with HTTP 415 (RFC 8555, section 6.2).
        """
        body = client.sign(str(client.kid), None)
        answer = client.send(str(client.kid), body, content_type="application/json")
        assert (415, "malformed") == problem_of(answer)

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"[]", b"null", b'"text"', b"{}", b'{"signature": 3, "payload": ""}', b"\xff", b"1" * 99],
    )
    def test_an_invalid_body_is_malformed(self, client: AcmeClient, body: bytes) -> None:
        """
        Each invalid body has a problem document.
        """
        assert (400, "malformed") == problem_of(client.send(str(client.kid), body))

    def test_an_unprotected_header_is_refused(self, client: AcmeClient) -> None:
        """
        An unprotected header is refused, because no signature covers it (RFC 8555, section 6.2).
        """
        content = json.loads(client.sign(str(client.kid), None)) | {"header": {"kid": client.kid}}
        answer = client.send(str(client.kid), json.dumps(content).encode())
        assert (400, "malformed") == problem_of(answer)

    def test_the_payload_is_an_object(self, client: AcmeClient) -> None:
        """
        A payload that is a list is refused. Payloads of ACME are objects.
        """
        assert (400, "malformed") == problem_of(client.post(str(client.kid), ["deactivated"]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
HEADER = st.dictionaries(st.sampled_from(["alg", "jwk", "kid", "url", "nonce", "crit", "x5c", "typ"]), JSON)


class TestParse:
    @given(header=HEADER | JSON, payload=JSON, signature=st.text() | st.just("AAAA"))
    def test_anything_is_read_or_refused(self, header: object, payload: object, signature: str) -> None:
        """
        Each signed message is accepted or refused, without another exception.
        """
        message = {
            "protected": encode_b64jose(json.dumps(header).encode()),
            "payload": payload,
            "signature": signature,
        }
        for body in (json.dumps(message), json.dumps(header), str(payload).encode("utf-8", "replace")):
            try:
                parse(body)
            except Refused as refused:
                assert "malformed" == refused.problem.kind  # noqa: PT017 (both outcomes are correct)
