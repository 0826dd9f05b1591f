"""
The answer over our own HTTP port: any replica answers for what any other one has ordered.

Only the token is shared, through the ledger. The answer is TOKEN.THUMBPRINT of an account key on our volume
(RFC 8555, section 8.1), so whoever can write to the ledger can make us answer nothing but our own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from certworker.challenges.challenge import TOKEN, Http01Challenge


@dataclass(frozen=True)
class Responder:
    """
    A solver whose answers are computed when they are asked for.
    """

    #: Shares a token, given with `name=`, with all replicas.
    remember: Callable[..., None]
    #: Takes a token back.
    forget: Callable[[str], None]
    #: The label of the CA that sent a token; None: nobody expects an answer to it.
    authority_of: Callable[[str], str | None]
    #: By the label of a CA: what gives the thumbprint of our account there.
    thumbprints: Callable[[str], Callable[[], str] | None]

    def present(self, answer: Http01Challenge) -> None:
        """
        Let every replica answer for *answer*.
        """
        self.remember(answer.token, name=answer.name)

    def clean_up(self, answer: Http01Challenge) -> None:
        """
        Let no replica answer for it any longer.
        """
        self.forget(answer.token)

    def answer(self, token: str) -> str | None:
        """
        What the CA expects to read for *token*; None: nothing of ours, say 404.

        *token* is what anybody wrote into a URL.
        """
        if not TOKEN.fullmatch(token):
            return None
        label = self.authority_of(token)
        thumbprint = self.thumbprints(label) if label else None
        return f"{token}.{thumbprint()}" if thumbprint else None
