"""
Signed requests to one CA: its directory, its nonces, and its refusals as failures.

A request is a flattened JWS (RFC 7515, section 7.2.2; RFC 8555, section 6.2). josepy signs and encodes it.
This module does not use josepy's JWS objects, whose serialization takes a third of the time of a request.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from josepy.errors import DeserializationError
from josepy.json_util import decode_b64jose, encode_b64jose
from josepy.jwa import ES256, ES384, RS256, JWASignature
from josepy.jwk import JWK, JWKEC, JWKRSA

from certworker.acme.problems import failure_from_reply, passes
from certworker.acme.request_kinds import NO_ANSWER, Kind, ObserveRequest, kind_of, unobserved
from certworker.acme.resources import Directory
from certworker.acme.sharing import Shared
from certworker.acme.transport import Reply, Transport
from certworker.certificates import PrivateKey
from certworker.errors import CertworkerError
from certworker.errors.acme import BadNonce
from certworker.errors.config import WrongCaUrl
from certworker.http_dates import response_date

logger = logging.getLogger(__name__)

#: The maximum number of retries with another nonce. The servers of one CA may briefly disagree about which
#: nonces are valid (RFC 8555, section 6.5).
NONCE_RETRIES = 5
#: The client must ignore any other value (section 6.5.1).
NONCE = re.compile(r"[A-Za-z0-9_-]+")
#: The maximum number of cached nonces. Each response to a POST contains a new nonce.
MAX_CACHED_NONCES = 256
#: A worker may run for years, and meanwhile, a CA may change its terms or its profiles.
DIRECTORY_MAX_AGE = timedelta(days=1)
#: The pause after a failed update of a known directory.
DIRECTORY_PAUSE = timedelta(minutes=5)
#: The HTTP statuses that may mean that the resource has moved, and that the directory is outdated.
GONE = (404, 405, 410)


@dataclass(frozen=True)
class Signer:
    """
    The signer of a request: a key, and the URL of its account if there is one.
    """

    key: JWKEC | JWKRSA = field(repr=False)
    url: str | None = None

    @classmethod
    def of_certificate(cls, key: PrivateKey) -> Signer:
        """
        Return the signer for the *key* of a certificate, which may revoke that certificate (section 7.6).
        """
        return cls(JWKRSA(key=key.key) if isinstance(key.key, RSAPrivateKey) else JWKEC(key=key.key))

    def sign(self, payload: Mapping[str, Any] | None, nonce: str | None, url: str) -> bytes:
        """
        Return the JWS for a POST of *payload* to *url*.

        A POST-as-GET has no *payload* (RFC 8555, section 6.3). A JWS inside another JWS has no *nonce*.
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
    Return *content* and *header*, signed with *key*. Add the *algorithm* to the header.
    """
    protected = encode_b64jose(json.dumps({"alg": algorithm.name, **header}).encode())
    payload = encode_b64jose(content)
    signature = algorithm.sign(key.key, f"{protected}.{payload}".encode("ascii"))
    return {"protected": protected, "payload": payload, "signature": encode_b64jose(signature)}


class Session:
    """
    The session with one CA, shared by all threads.

    Args:
        title: The name of the CA in messages.
        directory_url: The URL of the directory.
        transport: Sends the requests.
        clock: Returns the current time, for Retry-After, the age of the directory and the clock offset.
        observe: Called after each request.
    """

    def __init__(
        self,
        title: str,
        directory_url: str,
        transport: Transport,
        clock: Callable[[], datetime],
        observe: ObserveRequest = unobserved,
    ) -> None:
        self.title = title
        self.directory_url = directory_url
        self._transport = transport
        self._clock = clock
        self._observe = observe
        #: How far the clock of the CA was ahead at the last response with a date; None if unknown.
        self.clock_offset: timedelta | None = None
        self._nonces: deque[str] = deque(maxlen=MAX_CACHED_NONCES)
        #: The directory, and when to read it again; None to read it before the next request.
        self._known: tuple[Directory, datetime] | None = None
        self._lock = Lock()
        self._reading: Shared[Directory] = Shared()

    def directory(self) -> Directory:
        """
        Return the directory of the CA. Request it again after a day.

        Threads that need the directory at the same time share one request. During a new request and after
        its failure, the known directory stays in use. If one of its URLs is unusable or unreachable, the
        directory is discarded, and requested again at its next use.

        Raises:
            WrongCaUrl: The URL is not an ACME directory, and none is known.
            CertworkerError: The CA does not respond, is busy, or returns unusable URLs, and no directory is
                known.
        """
        now = self._clock()
        with self._lock:
            known = self._known
            if known is not None:
                if now < known[1]:
                    return known[0]
                self._known = known[0], now + DIRECTORY_PAUSE
        try:
            return self._reading(self._read_directory)
        except CertworkerError as failure:
            if known is None:
                raise
            logger.warning(
                "could not update the directory of %s (%s); the earlier one stays in use",
                self.title,
                failure.message,
            )
            return known[0]

    def post(self, url: str, payload: dict[str, Any] | None, signer: Signer) -> Reply:
        """
        Send the signed *payload* (None for POST-as-GET), and return a successful response.

        Raises:
            CertworkerError: The CA refuses, is busy, or does not respond.
        """
        nonce, tries = self._nonce(), 1
        kind = kind_of(url, payload, self._known[0] if self._known else None)
        while True:
            reply = self._send(kind, "POST", url, signer.sign(payload, nonce, url))
            fresh = _nonce_of(reply)
            if reply.status < 300:
                self._cache_nonce(fresh)
                return reply
            refused = self._refusal(reply)
            if not isinstance(refused, BadNonce) or tries > NONCE_RETRIES:
                self._cache_nonce(fresh)
                raise refused
            # The server that refused the request has sent this nonce, so it is the best one for the retry.
            nonce, tries = fresh or self._nonce(), tries + 1

    def get(self, url: str) -> Reply:
        """
        Send an unsigned GET for the renewal information at *url*, and return a successful response.

        Raises:
            CertworkerError: The CA refuses, is busy, or does not respond.
        """
        reply = self._send("renewal_info", "GET", url)
        if reply.status >= 300:
            raise self._refusal(reply)
        return reply

    def measure_clock(self) -> timedelta | None:
        """
        Request the directory, and return how far the clock of the CA is ahead now; None if unknown.

        Raises:
            CertworkerError: The CA does not respond, is busy, or has no directory at the URL.
        """
        self._reading(self._read_directory)
        return self.clock_offset

    def _read_directory(self) -> Directory:
        reply = self._send("directory", "GET", self.directory_url)
        if passes(reply.status):
            raise self._refusal(reply)
        try:
            directory = Directory.read(reply)
        except CertworkerError as error:
            if reply.status < 300 and Directory.is_one(reply):
                raise
            raise WrongCaUrl(url=self.directory_url, found=f"HTTP {reply.status}") from error
        with self._lock:
            self._known = directory, self._clock() + DIRECTORY_MAX_AGE
        return directory

    def _send(self, kind: Kind, method: str, url: str, body: bytes | None = None) -> Reply:
        began, status = time.monotonic(), NO_ANSWER
        try:
            reply = self._transport.send(method, url, body)
            status = reply.status
        except CertworkerError:
            self._invalidate(url)
            raise
        finally:
            self._observe(kind, status, time.monotonic() - began)
        if (ca_time := response_date(reply.headers)) is not None:
            self.clock_offset = ca_time - self._clock()
        return reply

    def _refusal(self, reply: Reply) -> CertworkerError:
        if reply.status in GONE:
            self._invalidate(reply.url)
        return failure_from_reply(reply, self.title, self._clock())

    def _invalidate(self, url: str) -> None:
        """
        Discard the directory if it contains the unusable *url*, so that its next use requests it again.
        """
        with self._lock:
            if self._known and url in self._known[0].urls:
                self._known = None

    def _nonce(self) -> str:
        with suppress(IndexError):
            # Use the newest nonce, because the CA discards the oldest nonces first.
            return self._nonces.pop()
        url = self.directory().new_nonce
        # RFC 8555, section 7.2 allows both methods, and some CAs refuse HEAD.
        for method in ("HEAD", "GET"):
            reply = self._send("nonce", method, url)
            if passes(reply.status):
                break
            if nonce := _nonce_of(reply):
                return nonce
        if reply.status >= 300:
            raise self._refusal(reply)
        self._invalidate(url)
        raise reply.unusable("no valid nonce")

    def _cache_nonce(self, nonce: str | None) -> None:
        if nonce:
            self._nonces.append(nonce)


def _nonce_of(reply: Reply) -> str | None:
    nonce = reply.headers.get("Replay-Nonce", "")
    if not NONCE.fullmatch(nonce):
        return None
    try:
        decode_b64jose(nonce)
    except DeserializationError:
        return None
    return nonce
