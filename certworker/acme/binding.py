"""
The account on a CA's web site that ours is bound to (external account binding, RFC 8555, section 7.3.4).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from acme.jws import JWS
from josepy.json_util import decode_b64jose
from josepy.jwa import HS256
from josepy.jwk import JWKEC, JWKOct


@dataclass(frozen=True)
class ExternalAccount:
    """
    What the CA's web site shows for such an account.
    """

    key_id: str
    #: In base64url, without padding.
    hmac_key: str = field(repr=False)

    def binding(self, key: JWKEC, url: str) -> dict[str, Any]:
        """
        The proof for the CA, at whose newAccount *url* it is, that our account's *key* belongs to it.
        """
        public = json.dumps(key.public_key().to_partial_json()).encode()
        secret = JWKOct(key=decode_b64jose(self.hmac_key))
        signed = JWS.sign(public, secret, HS256, None, url=url, kid=self.key_id)
        told: dict[str, Any] = json.loads(signed.json_dumps())
        return told
