"""
A Redis that fails: what is said of it, once, and how long to wait before the next try.
"""

from __future__ import annotations

import logging
import time
from threading import Event

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from certworker.errors.redis import RedisTooOld
from certworker.ledger.faults import address_of, failure_of

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 60.0

#: BLMOVE, which keeps a job safe while it changes hands, came with this version.
OLDEST_VERSION = (6, 2)

#: Written to find out whether Redis takes writes; it lives for a second.
PROBE_KEY = "certworker:probe"

#: How the options of redis-py begin that say where to go; behind Sentinels it is the pool that knows.
OF_THE_CONNECTION = ("host", "port", "path", "db", "username", "password", "ssl_", "connection_pool")


class Outage:
    """
    The memory of a Redis that fails: it says what is wrong once, and makes the pauses grow to a minute.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._said: str | None = None
        self._began = 0.0
        self._pause = 0.0

    @property
    def lasts(self) -> bool:
        """
        Whether Redis failed when it was last asked.
        """
        return self._said is not None

    def failed(self, error: RedisError) -> float:
        """
        Take note of *error*; return how many seconds to wait.
        """
        failure = failure_of(error, self._address)
        self._began = self._began or time.monotonic()
        if failure.code != self._said:
            self._said = failure.code
            logger.error("%s certworker goes on by itself.", failure, extra={"code": failure.code})
        self._pause = min(self._pause * 2 or FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        return self._pause

    def over(self) -> None:
        """
        Take note that Redis answers.
        """
        if self._said:
            logger.info(
                "Redis at %s answers again after %.0f s", self._address, time.monotonic() - self._began
            )
        self._said, self._began, self._pause = None, 0.0, 0.0


def wait_for_redis(connection: Redis, stop: Event | None = None) -> bool:
    """
    Return when Redis answers and takes writes; False if *stop* was set before.

    Raises:
        RedisTooOld: No waiting would help.
    """
    outage, stop = Outage(address_of(connection)), stop or Event()
    while not stop.is_set():
        try:
            _probe(connection)
        except RedisError as error:
            stop.wait(outage.failed(error))
        else:
            outage.over()
            return True
    return False


def check_redis(connection: Redis) -> None:
    """
    Make sure that Redis answers, is new enough and takes writes.

    Raises:
        CertworkerError: What is wrong with it, with the remedy.
    """
    try:
        _probe(connection)
    except RedisError as error:
        raise failure_of(error, address_of(connection)) from None


def require_version(version: str, address: str) -> None:
    """
    Make sure that *version* of the Redis at *address* is new enough.

    Raises:
        RedisTooOld: It is not.
    """
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if parts < OLDEST_VERSION:
        raise RedisTooOld(address=address, version=version)


def _probe(connection: Redis) -> None:
    # Without the retries of redis-py, which keep quiet about a wrong password for seconds.
    pool = connection.connection_pool
    options = {
        name: value for name, value in pool.connection_kwargs.items() if name.startswith(OF_THE_CONNECTION)
    }
    options["retry"] = Retry(NoBackoff(), 0)
    with Redis.from_pool(ConnectionPool(pool.connection_class, **options)) as impatient:
        facts = impatient.info("server")
        require_version(str(facts["redis_version"]), address_of(connection))
        impatient.set(PROBE_KEY, "1", px=1000)
