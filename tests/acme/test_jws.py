"""
Signed messages, read by another implementation.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from acme.jws import JWS
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from josepy.jwk import JWKEC, JWKRSA

from certworker.acme.jws import Signer
from certworker.certificates import PrivateKey

URL = "https://ca.example/order"
NONCE = "bm9uY2U"

KEYS: dict[str, Any] = {
    "P-256": lambda: JWKEC(key=ec.generate_private_key(ec.SECP256R1())),
    "P-384": lambda: JWKEC(key=ec.generate_private_key(ec.SECP384R1())),
    "RSA": lambda: JWKRSA(key=rsa.generate_private_key(65537, 2048)),
}


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
