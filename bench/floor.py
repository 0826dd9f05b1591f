"""
The floor: a minimal client that sends only the seven requests of an order.

It has one open connection and an account, uses P-256, and writes no file, so no client can be much faster. It
is not an example, because it does not verify the responses of the CA, and cannot wait for a slow CA.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bench.responder import Responder
from tests.servers.pebble import Pebble

#: The pause between two polls. The CA runs on the same machine, so the pause is short.
PAUSE_SECONDS = 0.0005
PATIENCE_SECONDS = 20.0


class FloorClient:
    """
    A client with an account at a CA and an open connection.

    Args:
        directory_url: The directory URL of an ACME server with HTTPS.
        trusted: The PEM file with the root of the server.
        responder: The web server from which the CA fetches the responses.
    """

    def __init__(self, directory_url: str, trusted: Path, responder: Responder) -> None:
        address = urlsplit(directory_url)
        context = ssl.create_default_context(cafile=trusted)
        self._connection = http.client.HTTPSConnection(address.netloc, context=context)
        self._responder = responder
        self._key = ec.generate_private_key(ec.SECP256R1())
        numbers = self._key.public_key().public_numbers()
        self._jwk = {
            "crv": "P-256",
            "kty": "EC",
            "x": _b64(_octets(numbers.x)),
            "y": _b64(_octets(numbers.y)),
        }
        thumbprint = sha256(json.dumps(self._jwk, separators=(",", ":"), sort_keys=True).encode()).digest()
        self._thumbprint = _b64(thumbprint)
        self._nonce = ""
        self._account = ""
        self._directory = self._ask("GET", directory_url)[1]
        self._ask("HEAD", self._directory["newNonce"])
        self._account = self._post(self._directory["newAccount"], {"termsOfServiceAgreed": True})[0]

    def obtain(self, name: str) -> str:
        """
        Return the certificate chain for *name* in PEM.
        """
        identifiers = [{"type": "dns", "value": name}]
        order_url, order = self._post(self._directory["newOrder"], {"identifiers": identifiers})
        _, authorization = self._post(order["authorizations"][0])
        challenge = next(each for each in authorization["challenges"] if each["type"] == "http-01")
        fetched = self._responder.present(challenge["token"], f"{challenge['token']}.{self._thumbprint}")
        self._post(challenge["url"], {})
        # A poll before the CA has fetched the response would be unnecessary.
        fetched.wait(PATIENCE_SECONDS)
        self._until(order_url, "ready")
        self._post(order["finalize"], {"csr": _b64(_signing_request(name))})
        chain: str = self._post(self._until(order_url, "valid")["certificate"])[1]
        return chain

    def close(self) -> None:
        """
        Close the connection.
        """
        self._connection.close()

    def _until(self, order_url: str, status: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            time.sleep(PAUSE_SECONDS)
            order: dict[str, Any] = self._post(order_url)[1]
            if order["status"] == status:
                return order
        raise TimeoutError(f"the order did not become {status}")

    def _post(self, url: str, payload: dict[str, Any] | None = None) -> tuple[str, Any]:
        who = {"kid": self._account} if self._account else {"jwk": self._jwk}
        protected = _b64(json.dumps({"alg": "ES256", "nonce": self._nonce, "url": url, **who}).encode())
        content = "" if payload is None else _b64(json.dumps(payload).encode())
        r, s = decode_dss_signature(
            self._key.sign(f"{protected}.{content}".encode(), ec.ECDSA(hashes.SHA256()))
        )
        signature = _b64(_octets(r) + _octets(s))
        body = json.dumps({"protected": protected, "payload": content, "signature": signature})
        return self._ask("POST", url, body)

    def _ask(self, method: str, url: str, body: str | None = None) -> tuple[str, Any]:
        headers = {"User-Agent": "floor", "Content-Type": "application/jose+json"}
        self._connection.request(method, urlsplit(url).path, body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        self._nonce = answer.headers.get("Replay-Nonce", self._nonce)
        if answer.status >= http.client.BAD_REQUEST:
            raise RuntimeError(f"{url} answered {answer.status}: {content.decode()}")
        is_json = content and "json" in answer.headers.get_content_type()
        return answer.headers.get("Location", ""), json.loads(content) if is_json else content.decode()


@contextmanager
def floor_clients(ca: Pebble, number: int) -> Iterator[list[FloorClient]]:
    """
    Yield *number* clients of *ca* with open connections and one shared web server.
    """
    with Responder(ca.http_port) as responder:
        clients = [FloorClient(ca.directory_url, ca.ca_bundle, responder) for _ in range(number)]
        try:
            yield clients
        finally:
            for client in clients:
                client.close()


def _signing_request(name: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    request = (
        x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(names, critical=False)
    )
    return request.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def _octets(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _b64(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()
