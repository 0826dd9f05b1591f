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

#: A token in base64url (RFC 8555, section 8.3). Let's Encrypt's tokens have 43 characters. Appwrite's core
#: serves tokens of at most 100.
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,100}")

#: The challenge types of ACME.
HTTP01 = "http-01"
DNS01 = "dns-01"

#: The label that the CA puts before the name to query the TXT records.
DNS01_LABEL = "_acme-challenge"


@dataclass(frozen=True)
class Http01Challenge:
    """
    The response that port 80 of *name* must serve during the validation.
    """

    name: str
    token: str
    #: TOKEN.THUMBPRINT of the account key (RFC 8555, section 8.1).
    key_authorization: str


@dataclass(frozen=True)
class Dns01Challenge:
    """
    The response whose digest a TXT record at :attr:`fqdn` must contain during the validation.
    """

    #: The name of the authorization; without `*.` for a wildcard.
    name: str
    token: str
    #: TOKEN.THUMBPRINT of the account key (RFC 8555, section 8.1).
    key_authorization: str

    @property
    def fqdn(self) -> str:
        """
        Return the name at which the CA queries the TXT records, without a final dot.
        """
        return f"{DNS01_LABEL}.{self.name}"

    @property
    def value(self) -> str:
        """
        Return the value of the TXT record: the SHA-256 hash of the key authorization, in base64url without
        padding.
        """
        return urlsafe_b64encode(sha256(self.key_authorization.encode()).digest()).decode().rstrip("=")


Challenge = Http01Challenge | Dns01Challenge

#: Publishes the TXT records of all challenges of an order within its block.
PresentInDns = Callable[[Sequence[Dns01Challenge]], AbstractContextManager[None]]


class Solver(Protocol):
    """
    A way to publish the responses to HTTP-01 challenges for the CA.
    """

    def present(self, challenge: Http01Challenge) -> None:
        """
        Publish the response to *challenge*. The CA can fetch it as soon as this method returns.

        Raises:
            CertworkerError: The response cannot be published.
            redis.RedisError: Redis failed.
        """

    def clean_up(self, challenge: Http01Challenge) -> None:
        """
        Remove the response to *challenge*, if there is one.

        Raises:
            CertworkerError: The response cannot be removed.
        """


@contextmanager
def present(challenges: Sequence[Http01Challenge], solvers: Sequence[Solver]) -> Iterator[None]:
    """
    Publish the responses to all *challenges* with all *solvers* within the block.

    If a response cannot be removed afterward, the failure is logged, and the maintenance loop removes the
    response later. A remaining response is harmless, and must not change the result of the order.

    Raises:
        CertworkerError: A response cannot be published.
        redis.RedisError: Redis failed.
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
    Publish the responses to *challenges* of both types within the block.

    Args:
        solvers: Publish the responses to HTTP-01 challenges.
        present_in_dns: Publishes the responses to DNS-01 challenges, if there are any.

    Raises:
        CertworkerError: A response cannot be published.
        redis.RedisError: Redis failed.
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
            "could not remove the response to a challenge: %s",
            failure.message,
            extra={"domain": challenge.name, "code": failure.code},
        )
