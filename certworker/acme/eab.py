"""
The account on a CA's web site that ours is bound to (external account binding, RFC 8555, section 7.3.4).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from josepy.json_util import decode_b64jose
from josepy.jwa import HS256
from josepy.jwk import JWKEC, JWKOct

from certworker.acme.jws import sign_jws


@dataclass(frozen=True)
class ExternalAccountBinding:
    """
    What the CA's web site shows for such an account.
    """

    key_id: str
    #: In base64url, without padding.
    hmac_key: str = field(repr=False)

    def binding(self, key: JWKEC, url: str) -> dict[str, str]:
        """
        The proof for the CA, at whose newAccount *url* it is, that our account's *key* belongs to it.
        """
        public = json.dumps(key.public_key().to_partial_json()).encode()
        secret = JWKOct(key=decode_b64jose(self.hmac_key))
        return sign_jws(public, {"url": url, "kid": self.key_id}, secret, HS256)
