"""
The challenges HTTP-01 and DNS-01 (RFC 8555, sections 8.3 and 8.4), and the solvers that publish responses.
"""

from __future__ import annotations

import logging
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from certworker.errors import CertworkerError

logger = logging.getLogger(__name__)

#: The CA requests this path, followed by the token, on port 80 of the name.
CHALLENGE_PATH = "/.well-known/acme-challenge/"

#: base64url (RFC 8555, section 8.3). Let's Encrypt sends 43 characters; Appwrite's core serves at most 100.
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,100}")

#: The types of challenges, as ACME names them.
HTTP01 = "http-01"
DNS01 = "dns-01"

#: The CA queries the TXT records of this label below the name.
DNS01_LABEL = "_acme-challenge"


@dataclass(frozen=True)
class Http01Challenge:
    """
    What port 80 of *name* has to serve during the validation.
    """

    name: str
    token: str
    #: TOKEN.THUMBPRINT of the account key (RFC 8555, section 8.1).
    key_authorization: str


@dataclass(frozen=True)
class Dns01Challenge:
    """
    What the TXT records below *name* have to contain during the validation.
    """

    #: The name of the authorization, for a wildcard without `*.`.
    name: str
    token: str
    #: TOKEN.THUMBPRINT of the account key (RFC 8555, section 8.1).
    key_authorization: str

    @property
    def fqdn(self) -> str:
        """
        Return the name of the TXT record, without a final dot.
        """
        return f"{DNS01_LABEL}.{self.name}"

    @property
    def value(self) -> str:
        """
        Return the value of the TXT record: the SHA-256 hash of the key authorization in base64url.
        """
        return urlsafe_b64encode(sha256(self.key_authorization.encode()).digest()).decode().rstrip("=")


Challenge = Http01Challenge | Dns01Challenge

#: Publishes the TXT records of all challenges of an order within its block.
PresentInDns = Callable[[Sequence[Dns01Challenge]], AbstractContextManager[None]]


class Solver(Protocol):
    """
    A place from which the CA can fetch the response to an HTTP-01 challenge.
    """

    def present(self, challenge: Http01Challenge) -> None:
        """
        Publish the response to *challenge*; the CA can fetch it as soon as this returns.
        """

    def clean_up(self, challenge: Http01Challenge) -> None:
        """
        Remove the response to *challenge*; do nothing if there is none.
        """


@contextmanager
def present(challenges: Sequence[Http01Challenge], solvers: Sequence[Solver]) -> Iterator[None]:
    """
    Publish the responses to all *challenges* at all *solvers* for the length of the block.

    A response that cannot be removed afterwards is logged and stays until the next sweep. It is harmless, and
    the result of the order matters more.
    """
    try:
        for challenge in challenges:
            for solver in solvers:
                solver.present(challenge)
        yield
    finally:
        for challenge in challenges:
            for solver in solvers:
                _clean_up(solver, challenge)


@contextmanager
def present_all(
    challenges: Sequence[Challenge], solvers: Sequence[Solver], present_in_dns: PresentInDns
) -> Iterator[None]:
    """
    Publish the responses to *challenges* of both types within the block; the CA can fetch all of them then.

    Args:
        solvers: For the HTTP-01 challenges.
        present_in_dns: For the DNS-01 challenges; called only if there are any.

    Raises:
        CertworkerError: A response cannot be published.
    """
    with ExitStack() as stack:
        if in_dns := [each for each in challenges if isinstance(each, Dns01Challenge)]:
            stack.enter_context(present_in_dns(in_dns))
        over_http = [each for each in challenges if isinstance(each, Http01Challenge)]
        stack.enter_context(present(over_http, solvers))
        yield


def _clean_up(solver: Solver, challenge: Http01Challenge) -> None:
    try:
        solver.clean_up(challenge)
    except CertworkerError as failure:
        logger.warning(
            "the response to a challenge was not removed: %s",
            failure.message,
            extra={"domain": challenge.name, "code": failure.code},
        )
