"""
Signed requests to one CA: its directory, its nonces, and its refusals raised as failures.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from josepy.errors import DeserializationError
from josepy.json_util import decode_b64jose

from certworker.acme.jws import Signer
from certworker.acme.refusals import passes, refusal
from certworker.acme.resources import Directory
from certworker.acme.transport import Reply, Transport
from certworker.acme.waiting import date_of
from certworker.errors import CertworkerError
from certworker.errors.authority import BadNonce
from certworker.errors.configuration import WrongCaUrl

#: Servers of one CA may disagree for a moment on which nonces are good (RFC 8555, section 6.5).
NONCE_RETRIES = 5
#: Whatever else is called one has to be ignored (section 6.5.1).
NONCE = re.compile(r"[A-Za-z0-9_-]+")
#: Nonces kept for later; each answer brings another one.
NONCES_KEPT = 256
#: A CA may change its terms or its profiles while the worker runs for years.
DIRECTORY_AGE = timedelta(days=1)


class Network:
    """
    The conversation with one CA, shared by all threads.

    Args:
        title: The CA's name for people.
        directory_url: Where it says what it offers where.
        clock: The time; for Retry-After.
    """

    def __init__(
        self, title: str, directory_url: str, transport: Transport, clock: Callable[[], datetime]
    ) -> None:
        self.title = title
        self.directory_url = directory_url
        self._transport = transport
        self._clock = clock
        #: How much the CA's clock was ahead of ours when it answered last; None: it has not said.
        self.clock_offset: timedelta | None = None
        self._nonces: deque[str] = deque(maxlen=NONCES_KEPT)
        self._directory: tuple[Directory, datetime] | None = None
        self._asking = Lock()

    def directory(self) -> Directory:
        """
        The CA's directory, asked for once a day.

        Raises:
            WrongCaUrl: The URL is not that of an ACME directory.
            CertworkerError: The CA does not answer, or is busy.
        """
        with self._asking:
            now = self._clock()
            if self._directory is None or now - self._directory[1] > DIRECTORY_AGE:
                self._directory = self._ask_for_directory(), now
            return self._directory[0]

    def post(self, url: str, payload: dict[str, Any] | None, signer: Signer) -> Reply:
        """
        Send *payload* (None: POST-as-GET), signed, and return the answer, whose status is a success.

        Raises:
            CertworkerError: The CA refuses, is busy, or does not answer.
        """
        nonce, tries = self._nonce(), 1
        while True:
            reply = self._transport.send("POST", url, signer.sign(payload, nonce, url))
            self._compare_clocks(reply)
            fresh = _nonce_of(reply)
            if reply.status < 300:
                self._keep(fresh)
                return reply
            refused = refusal(reply, self.title, self._clock())
            if not isinstance(refused, BadNonce) or tries > NONCE_RETRIES:
                self._keep(fresh)
                raise refused
            # The refusal brings a nonce from the server that refused: the best to try next.
            nonce, tries = fresh or self._nonce(), tries + 1

    def get(self, url: str) -> Reply:
        """
        An unsigned GET of *url*, for what anybody may know; its status is a success.

        Raises:
            CertworkerError: The CA refuses, is busy, or does not answer.
        """
        reply = self._transport.send("GET", url)
        if reply.status >= 300:
            raise refusal(reply, self.title, self._clock())
        return reply

    def _ask_for_directory(self) -> Directory:
        reply = self._transport.send("GET", self.directory_url)
        self._compare_clocks(reply)
        if passes(reply.status):
            raise refusal(reply, self.title, self._clock())
        try:
            return Directory.read(reply)
        except CertworkerError as error:
            raise WrongCaUrl(url=self.directory_url, found=f"HTTP {reply.status}") from error

    def _compare_clocks(self, reply: Reply) -> None:
        if (theirs := date_of(reply.headers)) is not None:
            self.clock_offset = theirs - self._clock()

    def _nonce(self) -> str:
        with suppress(IndexError):
            # The newest: the CA has forgotten the old ones first.
            return self._nonces.pop()
        url = self.directory().new_nonce
        # Both are possible (RFC 8555, section 7.2), and some CAs refuse HEAD.
        for method in ("HEAD", "GET"):
            reply = self._transport.send(method, url)
            if passes(reply.status):
                break
            if nonce := _nonce_of(reply):
                return nonce
        if reply.status >= 300:
            raise refusal(reply, self.title, self._clock())
        raise reply.unusable("no nonce")

    def _keep(self, nonce: str | None) -> None:
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
