"""
The response over certworker's own HTTP port: each worker responds for the orders of all workers.

The workers share the token through Redis, and compute the response: TOKEN.THUMBPRINT of an account key in the
state directory (RFC 8555, section 8.1). Even with write access to Redis, an attacker cannot make a worker
serve any other content.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from certworker.challenges.challenge import TOKEN, Http01Challenge


@dataclass(frozen=True)
class Responder:
    """
    A solver that computes each response when the CA requests it.
    """

    #: Shares a token with all workers; the keywords are `name` and `key_authorization`.
    remember: Callable[..., None]
    #: Stops sharing a token.
    forget: Callable[[str], None]
    #: Returns the label of the CA of a token, or None for an unknown token.
    authority_of: Callable[[str], str | None]
    #: Takes the label of a CA. For a known label, returns a function that returns the thumbprint of the
    #: account key; None for any other label.
    thumbprints: Callable[[str], Callable[[], str] | None]

    def present(self, challenge: Http01Challenge) -> None:
        """
        Make all workers respond to *challenge*.
        """
        self.remember(challenge.token, name=challenge.name, key_authorization=challenge.key_authorization)

    def clean_up(self, challenge: Http01Challenge) -> None:
        """
        Make all workers stop responding to *challenge*.
        """
        self.forget(challenge.token)

    def answer(self, token: str) -> str | None:
        """
        Return the key authorization for *token*, or None for an invalid or unknown token or an unknown CA.

        Args:
            token: An untrusted part of the requested URL.

        Raises:
            redis.RedisError: Redis failed.
            CertworkerError: The account key cannot be read.
        """
        if not TOKEN.fullmatch(token):
            return None
        label = self.authority_of(token)
        thumbprint = self.thumbprints(label) if label else None
        return f"{token}.{thumbprint()}" if thumbprint else None
