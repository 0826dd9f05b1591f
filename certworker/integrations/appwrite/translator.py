"""
What becomes of a message of the core: a request on our queue, at once or after a look at DNS.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from certworker.domains import normalize
from certworker.errors import CertworkerError
from certworker.integrations.appwrite.messages import Message

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Translator:
    """
    Turns messages into requests.
    """

    #: Puts a name on our queue, with or without force.
    request: Callable[[str, bool], object]
    #: The checks of a name that come before the CA.
    verify: Callable[[str], None]
    #: Tells whoever follows the events that a name failed its verification.
    unverified: Callable[[str, CertworkerError], object]
    #: Whether names are fine that only a private network knows.
    private_names: bool

    def name_of(self, message: Message) -> str:
        """
        The name that *message* is about.

        Raises:
            NameFailure: It is none that could be certified.
        """
        return normalize(message.domain, private=self.private_names)

    def needs_verification(self, message: Message) -> bool:
        """
        Whether DNS is asked before *message* becomes a request, which may take seconds.

        The domain that the core is reached by is never asked about.
        """
        own = message.validation_domain is not None and message.validation_domain == message.domain
        return message.action == "verification" and not (message.force or own)

    def generate(self, message: Message) -> None:
        """
        Ask for a certificate.
        """
        self.request(self.name_of(message), message.force)

    def verify_and_generate(self, message: Message) -> None:
        """
        Ask for a certificate if DNS is as it has to be; else say what is not.
        """
        name = self.name_of(message)
        try:
            self.verify(name)
        except CertworkerError as failure:
            logger.warning(
                "NOT VERIFIED %s", failure, extra={"domain": name, "event": "failed", "code": failure.code}
            )
            self.unverified(name, failure)
        else:
            logger.info("verified", extra={"domain": name, "event": "preflight"})
            self.generate(message)
