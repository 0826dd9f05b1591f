"""
The responses to HTTP-01 challenges on hosts without the account key.

A worker stores each token in Redis (:mod:`certworker.challenges.tokens`), with the encrypted response. Only a
program with the key of the operator can make a valid one. So another program with access to Redis cannot make
a host serve other content.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redis import Redis

from certworker.challenges.challenge import TOKEN
from certworker.challenges.tokens import SEALED, TOKENS
from certworker.errors.replication import ReplicationFailure
from certworker.redis.codec import fields_in
from certworker.replication.sealing import ReplicationKeys

#: The thumbprint of a key in base64url (RFC 8555, section 8.1).
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")

LONGEST_SEALED = 1_000


@dataclass(frozen=True)
class Responses:
    """
    The responses to the challenges of all workers.
    """

    connection: Redis
    keys: ReplicationKeys

    def seal(self, token: str, key_authorization: str) -> str:
        """
        Return the response *key_authorization* to *token*, encrypted.
        """
        sealed = self.keys.seal(key_authorization.encode("ascii"), _context(token))
        return b64encode(sealed).decode()

    def answer(self, token: str) -> str | None:
        """
        Return the key authorization for *token*; None: the token is unknown, or has no valid response.

        Args:
            token: An untrusted part of the requested URL.

        Raises:
            redis.RedisError: Redis failed.
        """
        if not TOKEN.fullmatch(token):
            return None
        sealed = fields_in(self.connection.hget(TOKENS, token)).get(SEALED)
        if not isinstance(sealed, str) or len(sealed) > LONGEST_SEALED:
            return None
        try:
            response = self.keys.open(b64decode(sealed), _context(token)).decode("ascii")
        except (ReplicationFailure, ValueError):
            return None
        own, _, thumbprint = response.partition(".")
        return response if own == token and _THUMBPRINT.fullmatch(thumbprint) else None


def of_all_hosts(
    answer: Callable[[str], str | None],
    is_own: Callable[[str], bool],
    connection: Redis,
    keys: Sequence[str],
) -> Callable[[str], str | None]:
    """
    Return a function that responds to challenges; with replication *keys*, also to those of other hosts.

    Args:
        answer: Returns the response of this host to a token; None: there is none.
        is_own: Returns whether a token belongs to this host.
        connection: The connection to Redis.
        keys: The replication keys of the operator.
    """
    if not keys:
        return answer
    responses = Responses(connection, ReplicationKeys(keys))
    return lambda token: (None if is_own(token) else responses.answer(token)) or answer(token)


def _context(token: str) -> bytes:
    return b"challenge " + token.encode("ascii")
