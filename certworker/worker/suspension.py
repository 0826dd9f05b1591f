"""
`rq suspend`: no job starts until `rq resume`.

Certificates that are not renewed expire, so the log repeats the suspension each hour.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from redis import Redis

logger = logging.getLogger(__name__)

#: RQ's key of `rq suspend`. Importing it from RQ would delay `certworker status`.
SUSPENDED = "rq:suspended"

REMINDER_SECONDS = 3600.0


def is_suspended(connection: Redis) -> bool:
    """
    Return whether a person suspended all workers of this Redis.

    Raises:
        redis.RedisError: Redis does not answer, or does not permit the question.
    """
    return bool(connection.exists(SUSPENDED))


class Suspension:
    """
    The suspension as one worker sees it: logs its start, its end, and a reminder each hour.

    Args:
        connection: To Redis.
        clock: Returns monotonic seconds.
    """

    def __init__(self, connection: Redis, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._clock = clock
        self._logged: float | None = None

    @property
    def known(self) -> bool:
        """
        Return whether the last call of :meth:`lasts` found a suspension.
        """
        return self._logged is not None

    def lasts(self) -> bool:
        """
        Return whether no job may start now.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        now = self._clock()
        if not is_suspended(self._connection):
            if self._logged is not None:
                logger.info("resumed: jobs start again", extra={"event": "resumed"})
            self._logged = None
            return False
        if self._logged is None or now - self._logged >= REMINDER_SECONDS:
            logger.warning(
                "suspended by `rq suspend`: no job starts and no certificate is renewed until `rq resume`",
                extra={"event": "suspended"},
            )
            self._logged = now
        return True
