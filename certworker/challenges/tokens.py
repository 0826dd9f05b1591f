"""
The challenge tokens that any worker may answer, and for which account.

Only the token stands in Redis. The answer is TOKEN.THUMBPRINT of an account key that never leaves the state
directory (RFC 8555, section 8.1), so whoever can write to Redis can make us answer nothing but our own.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from redis import Redis
from redis.exceptions import RedisError

from certworker.challenges.challenge import TOKEN
from certworker.redis.codec import decode_text, decode_time, encode_time, fields_in, name_in, shown_in

logger = logging.getLogger(__name__)

TOKENS = "certworker:challenges"

#: A validation takes seconds. What is older was left behind by a worker that died.
LIFETIME = timedelta(hours=1)

#: Tokens that one command reads or removes.
TOKENS_A_COMMAND = 1_000


@dataclass(frozen=True)
class StoredToken:
    """
    What a token is for.
    """

    #: The label of the CA whose account answers.
    authority: str
    name: str
    expires: datetime


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ChallengeTokens:
    """
    The tokens of the orders under way, of all workers.
    """

    def __init__(self, connection: Redis, clock: Callable[[], datetime] = _utc_now) -> None:
        self._connection = connection
        self._clock = clock
        #: Those of this worker: the CA asks from several places, and mostly here.
        self._own: dict[str, StoredToken] = {}

    def remember(self, token: str, *, authority: str, name: str) -> None:
        """
        Answer *token*, which *authority* (a label) sent for *name*, from now on.

        Raises:
            ValueError: No CA sends such a token.
        """
        if not TOKEN.fullmatch(token):
            raise ValueError("not a challenge token")
        expires = self._clock() + LIFETIME
        held = {"authority": authority, "name": name, "expires": encode_time(expires)}
        self._connection.hset(TOKENS, token, json.dumps(held))
        self._own[token] = StoredToken(authority, name, expires)

    def forget(self, *tokens: str) -> None:
        """
        Answer *tokens* no longer; where Redis fails, until their time is over.
        """
        for token in tokens:
            self._own.pop(token, None)
        try:
            self._remove(tokens)
        except RedisError as error:
            # The name has been validated, or has failed for another reason: that is what matters.
            logger.debug("a token was not forgotten and ends by itself: %s", error)

    def authority_of(self, token: str) -> str | None:
        """
        The label of the CA that sent *token*; None if it is unknown, too old or no token at all.

        Anybody can ask for anything over HTTP: what is no token never reaches Redis.
        """
        if not TOKEN.fullmatch(token):
            return None
        held = self._own.get(token) or _stored_token(self._connection.hget(TOKENS, token))
        return held.authority if held and held.expires > self._clock() else None

    def all(self) -> dict[str, StoredToken]:
        """
        The tokens that are answered, with what they are for. Those that are too old are forgotten.
        """
        living: dict[str, StoredToken] = {}
        dead: list[bytes] = []
        now = self._clock()
        for token, stored in self._connection.hscan_iter(TOKENS, count=TOKENS_A_COMMAND):
            held = _stored_token(stored)
            # Whoever may write to Redis may plant tokens that would never end.
            if held and now < held.expires <= now + 2 * LIFETIME:
                living[decode_text(token)] = held
            else:
                dead.append(token)
        self._remove(dead)
        return living

    def _remove(self, tokens: Sequence[bytes | str]) -> None:
        for start in range(0, len(tokens), TOKENS_A_COMMAND):
            self._connection.hdel(TOKENS, *tokens[start : start + TOKENS_A_COMMAND])


def _stored_token(stored: bytes | str | None) -> StoredToken | None:
    fields = fields_in(stored)
    name, expires = name_in(fields.get("name")), decode_time(fields.get("expires"))
    authority = shown_in(fields.get("authority"), 100)
    return StoredToken(authority, name, expires) if authority and name and expires else None
