"""
The check of Redis, and the log of its outages.
"""

from __future__ import annotations

import logging
import time
from threading import Event

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from certworker.errors import CertworkerError
from certworker.errors.redis import RedisIsCluster, RedisTooOld, RedisUnreachable
from certworker.redis.failures import address_of, to_failure
from certworker.supervision import Loop, Postponed

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 60.0

#: How often :func:`outage_watch` checks Redis.
WATCH_SECONDS = 5.0

#: The maximum number of logged reasons for one outage.
MAX_REASONS = 20

#: The first version with BLMOVE, which moves a job between two lists without losing it.
OLDEST_VERSION = (6, 2)

#: The key that tests whether Redis accepts writes. It expires after a second.
PROBE_KEY = "certworker:probe"

#: The prefixes of redis-py's options for the address, the credentials, TLS, and the timeouts. Behind
#: Sentinels, the pool is also an option. Before redis-py 8, a handshake with a silent server never ends if
#: there are no timeouts.
CONNECTION_OPTIONS = (
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
    Logs each reason for an outage once, and the end of the outage. Returns pauses that grow to a minute.

    Args:
        address: The address of Redis in the log.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._logged: set[str] = set()
        self._began = 0.0
        self._pause = 0.0

    @property
    def lasts(self) -> bool:
        """
        Return whether an outage has been logged and has not ended.
        """
        return bool(self._logged)

    def failed(self, error: RedisError | CertworkerError) -> float:
        """
        Log *error* if its reason is new in this outage. Return the seconds until the next attempt.
        """
        failure = error if isinstance(error, CertworkerError) else to_failure(error, self._address)
        self._began = self._began or time.monotonic()
        # The message about an unreachable Redis often changes, so its code identifies the reason.
        reason = failure.code if isinstance(failure, RedisUnreachable) else failure.message
        if reason not in self._logged and len(self._logged) < MAX_REASONS:
            self._logged.add(reason)
            logger.error("%s · certworker retries", failure, extra={"code": failure.code})
        self._pause = min(self._pause * 2 or FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        return self._pause

    def succeeded(self) -> None:
        """
        Log the end of the outage, if there is one.
        """
        if self._logged:
            logger.info(
                "Redis at %s is available again after %.0f s", self._address, time.monotonic() - self._began
            )
        self._began, self._pause = 0.0, 0.0
        self._logged.clear()


def wait_for_redis(connection: Redis, stop: Event | None = None) -> bool:
    """
    Wait until Redis answers and accepts writes and scripts. Return False if *stop* is set first, else True.

    Raises:
        RedisTooOld: Redis is too old. Only an upgrade ends this failure.
    """
    outage, stop = OutageTracker(address_of(connection)), stop or Event()
    while not stop.is_set():
        try:
            probe(connection)
        except (RedisError, RedisIsCluster) as error:
            stop.wait(outage.failed(error))
        else:
            outage.succeeded()
            return True
    return False


def outage_watch(connection: Redis) -> Loop:
    """
    Return a loop that logs each outage of Redis and its end, for a process without a job loop.

    The other loops of the process do not log it (:class:`certworker.supervision.Faults`).
    """
    outage = OutageTracker(address_of(connection))

    def step() -> float:
        try:
            probe(connection)
        except (RedisError, CertworkerError) as error:
            raise Postponed(outage.failed(error)) from error
        outage.succeeded()
        return WATCH_SECONDS

    return Loop("redis", step)


def check_redis(connection: Redis) -> None:
    """
    Check that Redis answers, is new enough, is not a cluster, and accepts writes and scripts.

    Raises:
        CertworkerError: A check failed.
    """
    try:
        probe(connection)
    except RedisError as error:
        raise to_failure(error, address_of(connection)) from None


def require_version(version: str, address: str) -> None:
    """
    Check that *version* of Redis at *address* is new enough.

    Raises:
        RedisTooOld: The version is too old.
    """
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if parts < OLDEST_VERSION:
        raise RedisTooOld(address=address, version=version)


def probe(connection: Redis) -> None:
    """
    Send INFO, SET, and EVAL, and check the version and the mode of Redis.

    Raises:
        RedisError: Redis does not respond, or rejects a command.
        RedisIsCluster: Redis is a node of a cluster.
        RedisTooOld: Redis is too old, and could lose jobs.
    """
    # Disable the retries of redis-py, which would delay the report of a failure by up to a minute.
    pool = connection.connection_pool
    options = {
        name: value for name, value in pool.connection_kwargs.items() if name.startswith(CONNECTION_OPTIONS)
    }
    options["retry"] = Retry(NoBackoff(), 0)
    with Redis.from_pool(ConnectionPool(pool.connection_class, **options)) as single:
        info = single.info("server")
        require_version(str(info["redis_version"]), address_of(connection))
        if info.get("redis_mode") == "cluster":
            raise RedisIsCluster(address=address_of(connection), reason="redis_mode:cluster")
        single.set(PROBE_KEY, "1", px=1000)
        single.eval("return redis.call('EXISTS', KEYS[1])", 1, PROBE_KEY)
