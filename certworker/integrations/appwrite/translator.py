"""
From a message to a request, at once or after a check of DNS.
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
    Turn messages into requests.
    """

    #: Puts a name on certworker's queue, with or without force.
    request: Callable[[str, bool], object]
    #: Checks a name before the CA is asked.
    verify: Callable[[str], None]
    #: Publishes the failed verification of a name.
    unverified: Callable[[str, CertworkerError], object]
    #: Whether names of a private network are accepted.
    private_names: bool

    def name_of(self, message: Message) -> str:
        """
        Return the normalized name of *message*.

        Raises:
            NameFailure: No CA certifies it.
        """
        return normalize(message.domain, private=self.private_names)

    def needs_verification(self, message: Message) -> bool:
        """
        Return whether DNS is checked before the request, which may take seconds.

        Appwrite's own domain is never checked.
        """
        own = message.validation_domain is not None and message.validation_domain == message.domain
        return message.action == "verification" and not (message.force or own)

    def generate(self, message: Message) -> None:
        """
        Request a certificate.
        """
        self.request(self.name_of(message), message.force)

    def verify_and_generate(self, message: Message) -> None:
        """
        Request a certificate if DNS is correct; otherwise publish the failure.
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
