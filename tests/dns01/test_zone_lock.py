"""
Tests of the locks on zones with threads and with processes that are killed.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from certworker.dns01.zone_lock import LINES, LOCK_PREFIX, SEEN, WAIT, ZoneLocks
from certworker.errors.dns01 import ZoneBusy
from certworker.state.locks import LOCKS, DomainLocks
from tests.servers.redis import RedisServer
from tests.servers.worker import wait_until

WAITING = """
import sys
from redis import Redis
from certworker.dns01.zone_lock import ZoneLocks
from certworker.state.locks import DomainLocks
connection = Redis.from_url(sys.argv[1])
with ZoneLocks(connection, DomainLocks(connection, highest_token=lambda: 0)).hold("a.org"):
    pass
"""


def locks_of(connection: Redis, lease_seconds: float = 20) -> ZoneLocks:
    """
    Return the locks of one worker.
    """
    return ZoneLocks(connection, DomainLocks(connection, lease_seconds, highest_token=lambda: 0))


def wait_for_queue(connection: Redis, writers: int) -> None:
    """
    Wait until *writers* writers wait for a.org.
    """
    wait_until(
        lambda: connection.zcard(LINES + "a.org") == writers or None,
        lambda: f"not {writers} writers wait",
    )


class TestHold:
    def test_a_zone_has_one_writer_at_a_time(self, connection: Redis) -> None:
        """
        Fifty threads of five workers write to a zone one after another.
        """
        workers = [locks_of(connection) for _ in range(5)]
        inside: list[int] = []
        most = 0

        def write(number: int) -> None:
            nonlocal most
            with workers[number % 5].hold("a.org"):
                inside.append(number)
                most = max(most, len(inside))
                time.sleep(0.002)
                inside.remove(number)

        with ThreadPoolExecutor(50) as threads:
            list(threads.map(write, range(50)))

        assert 1 == most
        assert 0 == connection.zcard(LINES + "a.org") == connection.zcard(SEEN + "a.org")

    def test_writers_get_the_lock_in_order(self, connection: Redis) -> None:
        """
        Writers get the lock in the order of their requests.
        """
        locks = locks_of(connection)
        order: list[int] = []

        def write(number: int) -> None:
            with locks.hold("a.org"):
                order.append(number)

        with ThreadPoolExecutor(10) as threads, locks.hold("a.org"):
            for number in range(10):
                threads.submit(write, number)
                wait_for_queue(connection, number + 1)

        assert list(range(10)) == order

    def test_a_writer_keeps_its_place_when_others_come_at_the_same_time(self, connection: Redis) -> None:
        """
        A writer that comes microseconds after another one does not remove the other one from the line.
        """
        wait = connection.register_script(WAIT)
        keys, writers = [LINES + "a.org", SEEN + "a.org"], ["a", "b", "c", "d"]
        for _ in range(200):
            with connection.pipeline(transaction=False) as pipe:
                for writer in writers:
                    wait(keys, [writer], client=pipe)
                assert [0, 1, 2, 3] == pipe.execute()

    def test_another_zone_is_not_locked(self, connection: Redis) -> None:
        """
        The lock on one zone does not block another zone.
        """
        locks = locks_of(connection)

        with locks.hold("a.org"), locks.hold("b.org", 0) as lease:
            assert lease.still_held()

    def test_a_wait_ends_at_its_timeout(self, connection: Redis) -> None:
        """
        A wait ends at its timeout, and the failure names the zone.
        """
        locks = locks_of(connection)

        zone_busy = pytest.raises(ZoneBusy, match=r"zone a\.org for more than 0\.1 s")
        with locks.hold("a.org"), zone_busy, locks.hold("a.org", 0.1):
            pytest.fail("two writers")

        assert 0 == connection.zcard(LINES + "a.org")

    def test_a_killed_writer_leaves_the_queue(self, connection: Redis, redis_server: RedisServer) -> None:
        """
        A killed writer loses its place in the queue.
        """
        locks = locks_of(connection)
        with locks.hold("a.org"):
            killed = subprocess.Popen([sys.executable, "-c", WAITING, redis_server.url])
            wait_for_queue(connection, 1)
            killed.kill()
            killed.wait()

        assert 1 == connection.zcard(LINES + "a.org")
        with locks.hold("a.org"):
            assert 0 == connection.zcard(LINES + "a.org")

    def test_the_lock_of_a_killed_writer_expires(self, connection: Redis) -> None:
        """
        The lock of a killed writer expires with its lease.
        """
        connection.set(LOCKS + LOCK_PREFIX + "a.org", "killed", px=300)

        with locks_of(connection).hold("a.org", 30) as lease:
            assert lease.still_held()

    def test_planted_places_in_the_queue_are_removed(self, connection: Redis) -> None:
        """
        Planted places in the queue, without a time or with one in the future, are removed.
        """
        connection.zadd(LINES + "a.org", {"no time": -1e300, "tomorrow": 0})
        connection.zadd(SEEN + "a.org", {"tomorrow": (time.time() + 86_400) * 1000})

        with locks_of(connection).hold("a.org", 5):
            assert [] == connection.zrange(LINES + "a.org", 0, -1)

    def test_two_zones_in_different_order_cause_no_deadlock(self, connection: Redis) -> None:
        """
        Orders that lock the same two zones in a different order all end.
        """
        locks = locks_of(connection)
        done = threading.Semaphore(0)

        def write(zones: tuple[str, str]) -> None:
            for zone in zones:
                with locks.hold(zone):
                    time.sleep(0.001)
            done.release()

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(write, [("a.org", "b.org"), ("b.org", "a.org")] * 4))

        assert all(done.acquire(blocking=False) for _ in range(8))
