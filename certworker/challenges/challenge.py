"""
The HTTP-01 challenge (RFC 8555, section 8.3), and the solvers that publish its response.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from certworker.errors import CertworkerError

logger = logging.getLogger(__name__)

#: The CA requests this path, followed by the token, on port 80 of the name.
CHALLENGE_PATH = "/.well-known/acme-challenge/"

#: base64url (RFC 8555, section 8.3). Let's Encrypt sends 43 characters; Appwrite's core serves at most 100.
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,100}")


@dataclass(frozen=True)
class Http01Challenge:
    """
    What port 80 of *name* has to serve during the validation.
    """

    name: str
    token: str
    #: TOKEN.THUMBPRINT of the account key (RFC 8555, section 8.1).
    key_authorization: str


class Solver(Protocol):
    """
    A place from which the CA can fetch the response to a challenge.
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


def _clean_up(solver: Solver, challenge: Http01Challenge) -> None:
    try:
        solver.clean_up(challenge)
    except CertworkerError as failure:
        logger.warning(
            "the response to a challenge was not removed: %s",
            failure.message,
            extra={"domain": challenge.name, "code": failure.code},
        )
