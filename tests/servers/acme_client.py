"""
A minimal ACME client that sends any request of a test, including invalid ones.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import requests
from acme.jws import JWS
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.json_util import decode_b64jose, encode_b64jose
from josepy.jwa import ES256, JWASignature
from josepy.jwk import JWK, JWKEC

from certworker.certificates import Certificate, PrivateKey
from certworker.devca.accounts import thumbprint
from tests.servers.development import ChallengeServer

PATIENCE_SECONDS = 10


def account_key() -> JWK:
    """
    Return a new key for an account.
    """
    return JWKEC(key=ec.generate_private_key(ec.SECP256R1()))


@dataclass(frozen=True)
class Ordered:
    """
    An order and its URL.
    """

    url: str
    content: dict[str, Any]

    @property
    def status(self) -> str:
        """
        The status of the order in this response.
        """
        return str(self.content["status"])


class AcmeClient:
    """
    An account at the CA with *directory_url*. `register` creates the account.
    """

    def __init__(self, directory_url: str, key: JWK | None = None, algorithm: JWASignature = ES256) -> None:
        self.key = key or account_key()
        self.algorithm = algorithm
        self.session = requests.Session()
        self.session.trust_env = False
        self.directory = self.session.get(directory_url).json()
        self.kid: str | None = None

    def nonce(self) -> str:
        """
        Return a new nonce.
        """
        return self.session.head(self.directory["newNonce"]).headers["Replay-Nonce"]

    def sign(self, url: str, payload: Any, **header: Any) -> bytes:
        """
        Return the signed message for *url*. *header* replaces correct values (nonce, url, kid, key, alg).
        """
        content = b"" if payload is None else json.dumps(payload).encode()
        fields = {
            "key": self.key,
            "alg": self.algorithm,
            "nonce": header.pop("nonce", None) or self.nonce(),
            "url": url,
            "kid": self.kid,
            **header,
        }
        fields["nonce"] = decode_b64jose(fields["nonce"])
        signed: str = JWS.sign(content, **fields).json_dumps()
        return signed.encode()

    def send(self, url: str, body: bytes, content_type: str = "application/jose+json") -> requests.Response:
        """
        Send *body* without changes in a POST request.
        """
        return self.session.post(url, data=body, headers={"Content-Type": content_type})

    def post(self, url: str, payload: Any = None, **header: Any) -> requests.Response:
        """
        Send *payload* to *url* in a signed POST request. None is POST-as-GET.
        """
        return self.send(url, self.sign(url, payload, **header))

    def register(self, **fields: Any) -> requests.Response:
        """
        Register an account, and store its URL.
        """
        answer = self.post(self.directory["newAccount"], {"termsOfServiceAgreed": True, **fields}, kid=None)
        self.kid = answer.headers.get("Location")
        return answer

    def new_order(self, *names: str, **fields: Any) -> requests.Response:
        """
        Order *names*, and return the response of the CA, which may be a rejection.
        """
        identifiers = [{"type": "dns", "value": name} for name in names]
        return self.post(self.directory["newOrder"], {"identifiers": identifiers, **fields})

    def order(self, *names: str, **fields: Any) -> Ordered:
        """
        Order *names*, and assert that the CA accepts the order.
        """
        answer = self.new_order(*names, **fields)
        assert answer.status_code == 201, answer.text
        return Ordered(answer.headers["Location"], answer.json())

    def answer(self, order: Ordered, server: ChallengeServer) -> Ordered:
        """
        Serve the challenge responses of *order* at *server*, and wait until the CA has validated them.
        """
        for url in order.content["authorizations"]:
            challenge = self.post(url).json()["challenges"][0]
            if challenge["status"] == "pending":
                token = challenge["token"]
                server.answers[token] = f"{token}.{thumbprint(self.key)}"
                assert self.post(challenge["url"], {}).ok
        return self.settled(order, "pending")

    def finalize(self, order: Ordered, key: PrivateKey, *names: str) -> requests.Response:
        """
        Send the signing request of *key* for *names*. The default is the names of the order.
        """
        wanted = names or tuple(each["value"] for each in order.content["identifiers"])
        return self.post(order.content["finalize"], {"csr": encode_b64jose(key.sign_request(wanted))})

    def settled(self, order: Ordered, unlike: str) -> Ordered:
        """
        Return the order as soon as its status differs from *unlike*.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            content = self.post(order.url).json()
            if content["status"] != unlike:
                return Ordered(order.url, content)
            time.sleep(0.01)
        raise AssertionError(f"the order is still {unlike}")

    def issue(self, *names: str, server: ChallengeServer, **fields: Any) -> Certificate:
        """
        Order, validate, finalize and return a certificate for *names*.
        """
        if self.kid is None:
            self.register()
        order, key = self.answer(self.order(*names, **fields), server), PrivateKey.generate()
        assert order.status == "ready", order.content
        finalized = self.finalize(order, key)
        assert finalized.ok, finalized.text
        chain = self.post(self.settled(order, "processing").content["certificate"])
        return Certificate.from_pem(chain.content, key)


def problem_of(answer: requests.Response) -> tuple[int, str]:
    """
    Return the status and the type of the problem document in *answer*.
    """
    assert answer.headers["Content-Type"] == "application/problem+json"
    content = answer.json()
    assert content["status"] == answer.status_code
    return answer.status_code, content["type"].removeprefix("urn:ietf:params:acme:error:")
