"""
The challenge tokens to which all workers respond, each with its CA.

Redis does not contain the response in cleartext. Workers compute it: TOKEN.THUMBPRINT of an account key in
the state directory (RFC 8555, section 8.1). Those without the account key decrypt it. Even with write access
to Redis, an attacker cannot make a worker serve any other content.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from redis import Redis

from certworker.challenges.challenge import TOKEN
from certworker.challenges.fetches import Fetches
from certworker.redis.codec import decode_text, decode_time, encode_time, fields_in, name_in, shown_in
from certworker.redis.shared_trips import send_with_next

TOKENS = "certworker:challenges"

#: The field of a token with its encrypted response (see :mod:`certworker.replication.responses`).
SEALED = "sealed"

#: A validation takes seconds. A token older than this comes from a killed worker.
LIFETIME = timedelta(hours=1)

#: The number of tokens that one Redis command reads (approximately) or removes (at most).
TOKENS_A_COMMAND = 1_000


@dataclass(frozen=True)
class StoredToken:
    """
    The CA, the name and the expiry of a token.
    """

    #: The label of the CA whose account responds.
    authority: str
    name: str
    expires: datetime


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ChallengeTokens:
    """
    The tokens of the pending orders and of the preflight checks of all workers.

    Args:
        connection: To Redis.
        clock: Returns the time in UTC.

    Attributes:
        fetches: The recorded requests for the tokens of this worker.
        seal: Encrypts the response to a token, for hosts without the account key; None if there are no such
            hosts.
    """

    def __init__(self, connection: Redis, clock: Callable[[], datetime] = _utc_now) -> None:
        self._connection = connection
        self._clock = clock
        #: The tokens of this worker. CAs often request them from this worker, several times each.
        self._own: dict[str, StoredToken] = {}
        self.fetches = Fetches()
        self.seal: Callable[[str, str], str] | None = None

    def remember(self, token: str, *, authority: str, name: str, key_authorization: str = "") -> None:
        """
        Start responding to *token*, from a CA or from a preflight check, for *name*.

        Args:
            token: The token.
            authority: The label of the CA whose account responds.
            name: The name to validate.
            key_authorization: The response, for hosts without the account key; empty to omit it.

        Raises:
            ValueError: *token* is not a valid token.
            redis.RedisError: Redis failed.
        """
        if not TOKEN.fullmatch(token):
            raise ValueError("not a challenge token")
        expires = self._clock() + LIFETIME
        fields = {"authority": authority, "name": name, "expires": encode_time(expires)}
        if self.seal and key_authorization:
            fields[SEALED] = self.seal(token, key_authorization)
        self.fetches.expect(token)
        self._connection.hset(TOKENS, token, json.dumps(fields))
        self._own[token] = StoredToken(authority, name, expires)

    def forget(self, *tokens: str) -> None:
        """
        Stop responding to *tokens*. If Redis fails, they expire.
        """
        for token in tokens:
            self._own.pop(token, None)
            self.fetches.forget(token)
        self._remove(tokens)

    def is_own(self, token: str) -> bool:
        """
        Return whether this worker has shared *token*, so that it can respond without Redis.
        """
        return token in self._own

    def authority_of(self, token: str) -> str | None:
        """
        Return the label of the CA of *token*, or None if the token is unknown, expired or invalid.

        Record the request in :attr:`fetches`. The token is untrusted. An invalid one causes no Redis command.

        Raises:
            redis.RedisError: Redis failed.
        """
        if not TOKEN.fullmatch(token):
            return None
        self.fetches.note(token)
        stored_token = self._own.get(token) or _stored_token(self._connection.hget(TOKENS, token))
        return stored_token.authority if stored_token and stored_token.expires > self._clock() else None

    def all(self) -> dict[str, StoredToken]:
        """
        Return the valid tokens, and remove the invalid and expired ones.

        Raises:
            redis.RedisError: Redis failed.
        """
        valid: dict[str, StoredToken] = {}
        invalid: list[bytes] = []
        now = self._clock()
        for token, stored in self._connection.hscan_iter(TOKENS, count=TOKENS_A_COMMAND):
            stored_token = _stored_token(stored)
            # An expiry far ahead comes from another program, whose token must not remain valid.
            if stored_token and now < stored_token.expires <= now + 2 * LIFETIME:
                valid[decode_text(token)] = stored_token
            else:
                invalid.append(token)
        self._remove(invalid)
        return valid

    def _remove(self, tokens: Sequence[bytes | str]) -> None:
        for start in range(0, len(tokens), TOKENS_A_COMMAND):
            send_with_next(self._connection, "HDEL", TOKENS, *tokens[start : start + TOKENS_A_COMMAND])


def _stored_token(stored: bytes | str | None) -> StoredToken | None:
    fields = fields_in(stored)
    name, expires = name_in(fields.get("name")), decode_time(fields.get("expires"))
    authority = shown_in(fields.get("authority"), 100)
    return StoredToken(authority, name, expires) if authority and name and expires else None
