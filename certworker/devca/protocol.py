"""
The signatures and nonces of requests (RFC 8555, sections 6.2 to 6.5).
"""

from __future__ import annotations

import json
import secrets
from collections import OrderedDict
from typing import Any

from acme.jws import JWS, Header
from josepy.errors import Error as JoseError
from josepy.json_util import encode_b64jose
from josepy.jwa import ES256, ES384, RS256, JWASignature
from josepy.jwk import JWK, JWKEC, JWKRSA

from certworker.devca.accounts import Account, Accounts
from certworker.devca.messages import Call, Refused, Request

EC_ALGORITHMS = {"secp256r1": ES256, "secp384r1": ES384}

#: If there are more, the oldest nonce becomes invalid.
MAX_NONCES = 100_000


class Nonces:
    """
    The nonces of the CA, each valid for one request (RFC 8555, section 6.5).
    """

    def __init__(self) -> None:
        self._fresh: OrderedDict[str, None] = OrderedDict()

    def new(self) -> str:
        """
        Return a new nonce.
        """
        nonce = secrets.token_urlsafe(16)
        self._fresh[nonce] = None
        if len(self._fresh) > MAX_NONCES:
            self._fresh.popitem(last=False)
        return nonce

    def spend(self, nonce: str) -> bool:
        """
        Return whether *nonce* was valid; it is invalid afterward.
        """
        return self._fresh.pop(nonce, False) is None


def verify(request: Request, accounts: Accounts, *, brings_key: bool | None) -> tuple[Call, str]:
    """
    Return the verified *request* and its nonce, which the caller has to check.

    Args:
        request: The request.
        accounts: The accounts of the CA.
        brings_key: Whether the request must contain its key (`jwk`, for a new account) or name an account
            (`kid`). None allows both (for a revocation).

    Raises:
        Refused: The request is not signed according to RFC 8555, or its account is unknown or deactivated.
    """
    if request.content_type.partition(";")[0].strip() != "application/jose+json":
        raise Refused("malformed", "The content type must be application/jose+json.", status=415)
    jws, header = parse(request.body)
    if header.url != request.url:
        raise Refused("unauthorized", f"The signed url is not {request.url}.", status=401)
    account, key = _signer(header, accounts, brings_key)
    check_signature(jws, header, key)
    nonce = encode_b64jose(header.nonce) if header.nonce else ""
    return Call(request, payload(jws), key, account), nonce


def parse(body: bytes | str) -> tuple[JWS, Header]:
    """
    Return the signed message in *body* and its protected header.

    Raises:
        Refused: *body* is not a signed message.
    """
    try:
        content = json.loads(body)
        if "header" in content or "signatures" in content:
            raise Refused("malformed", "Only the flattened form with a protected header is accepted.")
        jws = JWS.from_json(content)
        header: Header = jws.signature.combined
    except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
        # josepy does not catch the errors of unexpected types.
        raise Refused("malformed", f"This is not a signed message ({type(error).__name__}).") from error
    return jws, header


def check_signature(jws: JWS, header: Header, key: JWK) -> None:
    """
    Verify that *key* signed the message, with the algorithm of the key.

    Raises:
        Refused: The key did not sign the message, is not acceptable, or requires another algorithm.
    """
    algorithm = _algorithm(key)
    if header.alg != algorithm:
        raise Refused(
            "badSignatureAlgorithm",
            f"A key of this type signs with {algorithm.name}.",
            algorithms=[accepted.name for accepted in (ES256, ES384, RS256)],
        )
    if not jws.verify(key):
        raise Refused("malformed", "The signature does not match the key.")


def payload(jws: JWS) -> dict[str, Any] | None:
    """
    Return the signed JSON object; None for a POST-as-GET.

    Raises:
        Refused: The payload is not a JSON object.
    """
    if not jws.payload:
        return None
    try:
        content = json.loads(jws.payload)
    except ValueError as error:
        raise Refused("malformed", "The payload is not JSON.") from error
    if not isinstance(content, dict):
        raise Refused("malformed", "The payload is not a JSON object.")
    return content


def _signer(header: Header, accounts: Accounts, brings_key: bool | None) -> tuple[Account | None, JWK]:
    if (header.jwk is None) == (header.kid is None):
        raise Refused("malformed", "Exactly one of jwk and kid is required.")
    if brings_key is not None and brings_key is (header.jwk is None):
        raise Refused("malformed", f"This request needs {'jwk' if brings_key else 'kid'}.")
    if header.jwk is not None:
        return None, header.jwk.public_key()
    account = accounts.get(str(header.kid).rpartition("/account/")[2])
    if account is None:
        raise Refused("accountDoesNotExist", "There is no such account.")
    if account.status != "valid":
        raise Refused("unauthorized", "The account is deactivated.", status=401)
    return account, account.key


def _algorithm(key: JWK) -> JWASignature:
    if isinstance(key, JWKRSA) and 2048 <= key.key.key_size <= 4096:
        return RS256
    if isinstance(key, JWKEC) and key.key.curve.name in EC_ALGORITHMS:
        return EC_ALGORITHMS[key.key.curve.name]
    raise Refused("badPublicKey", "Keys must be P-256, P-384, or RSA with 2048 to 4096 bits.")
