"""
Signed requests to a CA: flattened JWS (RFC 7515, section 7.2.2) as in RFC 8555, section 6.2.

josepy signs and encodes. Its JWS objects are not used: to write one takes a third of the time of a request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from josepy.json_util import encode_b64jose
from josepy.jwa import ES256, ES384, RS256, JWASignature
from josepy.jwk import JWK, JWKEC, JWKRSA

from certworker.certificates import PrivateKey


@dataclass(frozen=True)
class Signer:
    """
    The signer of a request: the account key, and the URL of the account if it is known.
    """

    key: JWKEC | JWKRSA = field(repr=False)
    url: str | None = None

    @classmethod
    def of_certificate(cls, key: PrivateKey) -> Signer:
        """
        Return the signer with the *key* of a certificate, which may revoke it (RFC 8555, section 7.6).
        """
        return cls(JWKRSA(key=key.key) if isinstance(key.key, RSAPrivateKey) else JWKEC(key=key.key))

    def sign(self, payload: Mapping[str, Any] | None, nonce: str | None, url: str) -> bytes:
        """
        Return the JWS for a POST of *payload* to *url*; None: a POST-as-GET (RFC 8555, section 6.3).

        Without a *nonce*, the JWS is the inner one of another JWS.
        """
        header = {"url": url} if nonce is None else {"nonce": nonce, "url": url}
        identity = {"kid": self.url} if self.url else {"jwk": self.key.public_key().to_json()}
        content = b"" if payload is None else json.dumps(payload).encode()
        return json.dumps(sign_jws(content, {**header, **identity}, self.key, self._algorithm)).encode()

    @property
    def _algorithm(self) -> JWASignature:
        if isinstance(self.key, JWKRSA):
            return RS256
        return ES384 if self.key.key.curve.name == "secp384r1" else ES256


def sign_jws(content: bytes, header: Mapping[str, Any], key: JWK, algorithm: JWASignature) -> dict[str, str]:
    """
    Return *content* and *header*, signed with *key*. The *algorithm* is added to the header.
    """
    protected = encode_b64jose(json.dumps({"alg": algorithm.name, **header}).encode())
    payload = encode_b64jose(content)
    signature = algorithm.sign(key.key, f"{protected}.{payload}".encode("ascii"))
    return {"protected": protected, "payload": payload, "signature": encode_b64jose(signature)}
