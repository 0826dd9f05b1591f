"""
A request that is not signed according to RFC 8555 gets the error of the RFC.
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
    def test_the_usual_keys_sign(self, authority: FaultyAuthority, key: JWK, algorithm: JWASignature) -> None:
        """
        Clients use these three.
        """
        client = AcmeClient(authority.directory_url, key, algorithm)
        assert 201 == client.register().status_code
        assert 201 == client.new_order("shop.localhost").status_code

    @pytest.mark.parametrize(
        ("key", "algorithm"),
        [
            (JWKEC(key=ec.generate_private_key(ec.SECP521R1())), ES512),
            (JWKRSA(key=rsa.generate_private_key(65537, 1024)), RS256),  # noqa: S505 (that it is weak is the point)
        ],
        ids=["P-521", "RSA-1024"],
    )
    def test_other_keys_do_not(self, authority: FaultyAuthority, key: JWK, algorithm: JWASignature) -> None:
        """
        Public CAs refuse them.
        """
        client = AcmeClient(authority.directory_url, key, algorithm)
        assert (400, "badPublicKey") == problem_of(client.register())

    def test_a_secret_key_is_none(self, authority: FaultyAuthority) -> None:
        """
        A jwk must be a public key: every holder of an HMAC key could sign.
        """
        client = AcmeClient(authority.directory_url, JWKOct(key=b"secret"), HS256)
        assert (400, "badPublicKey") == problem_of(client.register())

    def test_the_algorithm_belongs_to_the_key(self, authority: FaultyAuthority) -> None:
        """
        The answer lists the accepted algorithms (RFC 8555, section 6.2).
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
        Only the CA makes nonces.
        """
        answer = client.post(str(client.kid), nonce=encode_b64jose(b"0123456789abcdef"))
        assert (400, "badNonce") == problem_of(answer)

    def test_the_url_is_signed(self, client: AcmeClient) -> None:
        """
        A message for one resource is invalid for another (RFC 8555, section 6.4).
        """
        body = client.sign(client.directory["newOrder"], None)
        assert (401, "unauthorized") == problem_of(client.send(str(client.kid), body))

    def test_key_and_account_exclude_each_other(self, client: AcmeClient) -> None:
        """
        newAccount has the key, other requests name the account (RFC 8555, section 6.2).
        """
        identifiers = {"identifiers": [{"type": "dns", "value": "shop.localhost"}]}
        answer = client.post(client.directory["newOrder"], identifiers, kid=None)
        assert (400, "malformed") == problem_of(answer)
        answer = client.post(client.directory["newAccount"], {"termsOfServiceAgreed": True})
        assert (400, "malformed") == problem_of(answer)

    def test_the_account_must_exist(self, client: AcmeClient) -> None:
        """
        The error that makes a client register again.
        """
        answer = client.post(str(client.kid), kid=f"{client.kid}0")
        assert (400, "accountDoesNotExist") == problem_of(answer)

    def test_the_key_must_be_the_one_of_the_account(self, client: AcmeClient) -> None:
        """
        The URL of the account is not enough.
        """
        answer = client.post(str(client.kid), key=account_key())
        assert (400, "malformed") == problem_of(answer)


class TestBody:
    def test_the_content_type_is_checked(self, client: AcmeClient) -> None:
        """
        RFC 8555, section 6.2: 415 otherwise.
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
        Each invalid body gets a problem document.
        """
        assert (400, "malformed") == problem_of(client.send(str(client.kid), body))

    def test_an_unprotected_header_is_refused(self, client: AcmeClient) -> None:
        """
        The signature does not cover it (RFC 8555, section 6.2).
        """
        content = json.loads(client.sign(str(client.kid), None)) | {"header": {"kid": client.kid}}
        answer = client.send(str(client.kid), json.dumps(content).encode())
        assert (400, "malformed") == problem_of(answer)

    def test_the_payload_is_an_object(self, client: AcmeClient) -> None:
        """
        A list is valid JSON, but ACME has no such payload.
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
        Every signed message is either accepted or refused.
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
                assert "malformed" == refused.problem.kind  # noqa: PT017 (both outcomes are right)
