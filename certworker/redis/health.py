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

from certworker.errors.redis import RedisIsCluster, RedisTooOld, RedisUnreachable
from certworker.redis.failures import address_of, to_failure

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 60.0

#: So many reasons are logged in one outage.
MOST_REASONS = 20

#: BLMOVE, which keeps a job safe while it changes hands, came with this version.
OLDEST_VERSION = (6, 2)

#: Written to find out whether Redis takes writes; it lives for a second.
PROBE_KEY = "certworker:probe"

#: How the options of redis-py begin that say where to go, and how long to wait; behind Sentinels it is the
#: pool that knows. Without its time-outs a handshake with a silent server would never end.
CONNECTION_ERRORS = (
    "host",
    "port",
    "path",
    "db",
    "username",
    "password",
    "ssl_",
    "socket_",
    "connection_pool",
)


class OutageTracker:
    """
    The memory of a Redis that fails: it says what is wrong once, and makes the pauses grow to a minute.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._said: set[str] = set()
        self._began = 0.0
        self._pause = 0.0

    @property
    def lasts(self) -> bool:
        """
        Whether Redis failed when it was last asked.
        """
        return bool(self._said)

    def failed(self, error: RedisError | RedisIsCluster) -> float:
        """
        Take note of *error*; return how many seconds to wait.
        """
        failure = error if isinstance(error, RedisIsCluster) else to_failure(error, self._address)
        self._began = self._began or time.monotonic()
        # A Redis that is away has a new reason every second; what it refuses is worth a line each.
        said = failure.code if isinstance(failure, RedisUnreachable) else failure.message
        if said not in self._said and len(self._said) < MOST_REASONS:
            self._said.add(said)
            logger.error("%s · certworker tries again", failure, extra={"code": failure.code})
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
        self._began, self._pause = 0.0, 0.0
        self._said.clear()


def wait_for_redis(connection: Redis, stop: Event | None = None) -> bool:
    """
    Return when Redis answers and takes writes and scripts; False if *stop* was set before.

    Raises:
        RedisTooOld: No waiting would help.
    """
    outage, stop = OutageTracker(address_of(connection)), stop or Event()
    while not stop.is_set():
        try:
            probe(connection)
        except (RedisError, RedisIsCluster) as error:
            stop.wait(outage.failed(error))
        else:
            outage.over()
            return True
    return False


def check_redis(connection: Redis) -> None:
    """
    Make sure that Redis answers, is new enough, is no cluster, and takes writes and scripts.

    Raises:
        CertworkerError: What is wrong with it, with the remedy.
    """
    try:
        probe(connection)
    except RedisError as error:
        raise to_failure(error, address_of(connection)) from None


def require_version(version: str, address: str) -> None:
    """
    Make sure that *version* of the Redis at *address* is new enough.

    Raises:
        RedisTooOld: It is not.
    """
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if parts < OLDEST_VERSION:
        raise RedisTooOld(address=address, version=version)


def probe(connection: Redis) -> None:
    """
    Ask Redis once, with the kinds of commands that the worker cannot do without.

    Raises:
        RedisError: It does not answer, or refuses one of them.
        RedisIsCluster: It is a node of a cluster.
        RedisTooOld: It could lose jobs.
    """
    # Without the retries of redis-py, which keep quiet about a wrong password for seconds.
    pool = connection.connection_pool
    options = {
        name: value for name, value in pool.connection_kwargs.items() if name.startswith(CONNECTION_ERRORS)
    }
    options["retry"] = Retry(NoBackoff(), 0)
    with Redis.from_pool(ConnectionPool(pool.connection_class, **options)) as impatient:
        facts = impatient.info("server")
        require_version(str(facts["redis_version"]), address_of(connection))
        if facts.get("redis_mode") == "cluster":
            raise RedisIsCluster(address=address_of(connection), reason="redis_mode:cluster")
        impatient.set(PROBE_KEY, "1", px=1000)
        impatient.eval("return redis.call('EXISTS', KEYS[1])", 1, PROBE_KEY)
