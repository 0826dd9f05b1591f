"""
The sessions that a logout has ended.

The cookie of a session is signed, and a copy of it stays valid for twelve hours. So a logout records the end
of the session until the cookie expires: in Redis, for the pages of all workers.
"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import timedelta

from redis import Redis
from redis.exceptions import RedisError

from certworker.ttl_cache import TtlCache

#: How long a cookie is valid.
LIFETIME = timedelta(hours=12)

#: The sorted set of ended sessions, each with a time by which its cookie has expired.
ENDED = "certworker:sessions"

#: The maximum number of sessions in the set. Above it, those that expire first are dropped.
MAX_SESSIONS = 10_000


class EndedSessions:
    """
    Records which sessions have ended.

    Args:
        connection: The connection to Redis, where all pages see the end; None: only this process sees it.
    """

    def __init__(self, connection: Redis | None) -> None:
        self._connection = connection
        self._here: TtlCache[str, bool] = TtlCache()

    def end(self, session: str) -> None:
        """
        Record the end of *session*, which is the random number of a session.
        """
        self._here.put(session, True, LIFETIME.total_seconds())
        if self._connection is None:
            return
        now = time.time()
        # Without Redis, no page shows any data. This process has recorded the end.
        with suppress(RedisError), self._connection.pipeline(transaction=False) as pipe:
            pipe.zadd(ENDED, {session: now + LIFETIME.total_seconds()})
            pipe.zremrangebyscore(ENDED, "-inf", now)
            pipe.zremrangebyrank(ENDED, 0, -MAX_SESSIONS - 1)
            pipe.expire(ENDED, LIFETIME)
            pipe.execute()

    def has_ended(self, session: str) -> bool:
        """
        Return whether *session* has ended; without Redis, whether it has ended in this process.
        """
        if self._here.get(session):
            return True
        if self._connection is None:
            return False
        try:
            return self._connection.zscore(ENDED, session) is not None
        except RedisError:
            return False
