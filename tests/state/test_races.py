"""
Tests of the locks with concurrent workers and with a frozen worker.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from random import Random

import pytest
import redis

from certworker.errors.worker import AlreadyInProgress
from certworker.state.locks import DomainLocks
from tests.servers.redis import RedisServer

WORKERS = 8
HOLDS_EACH = 200
NAMES = tuple(f"{letter}.example.org" for letter in "abcde")

#: Locks a name in another process, which a test can freeze with all its threads.
HOLDER = """
import sys
import redis
from certworker.state.locks import DomainLocks

locks = DomainLocks(redis.Redis(port=int(sys.argv[1])), 0.5, highest_token=lambda: 0)
with locks.hold(["a.example.org"]) as lease:
    print(lease.token, flush=True)
    sys.stdin.readline()
    print(lease.still_held(), flush=True)
"""


class Holders:
    """
    Record the workers that hold a name, and count concurrent holders as clashes.
    """

    def __init__(self) -> None:
        self.present: dict[str, int] = defaultdict(int)
        self.tokens: dict[str, list[int]] = defaultdict(list)
        self.clashes = 0
        self._mutex = threading.Lock()

    def enter(self, names: tuple[str, ...], token: int) -> None:
        """
        Record that a worker holds *names*.
        """
        with self._mutex:
            for name in names:
                self.clashes += self.present[name]
                self.present[name] += 1
                self.tokens[name].append(token)

    def leave(self, names: tuple[str, ...]) -> None:
        """
        Record that a worker releases *names*.
        """
        with self._mutex:
            for name in names:
                self.present[name] -= 1


def work(server: RedisServer, holders: Holders, seed: int) -> None:
    """
    Lock random sets of names, as one worker does.
    """
    random = Random(seed)
    with server.client() as connection:
        locks = DomainLocks(connection, highest_token=lambda: 0)
        held = 0
        while held < HOLDS_EACH:
            names = random.sample(NAMES, random.randint(1, 2))
            try:
                with locks.hold(names) as lease:
                    holders.enter(lease.names, lease.token)
                    holders.leave(lease.names)
                    held += 1
            except AlreadyInProgress:
                continue


@contextmanager
def hold_when_free(locks: DomainLocks) -> Iterator[int]:
    """
    Lock the name of the frozen worker after its lease has expired, and yield the token.
    """
    deadline = time.monotonic() + 20
    while locks.is_held("a.example.org"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with locks.hold(["a.example.org"]) as lease:
        yield lease.token


class TestRaces:
    """
    Test that a name has one holder at a time.
    """

    def test_a_name_has_one_holder_and_rising_tokens(
        self, connection: redis.Redis, redis_server: RedisServer
    ) -> None:
        """
        Eight workers with 1,600 leases of five names never hold a name concurrently, and the tokens rise.
        """
        holders = Holders()
        with ThreadPoolExecutor(WORKERS) as pool:
            for worker in [pool.submit(work, redis_server, holders, seed) for seed in range(WORKERS)]:
                worker.result()

        assert holders.clashes == 0
        for name in NAMES:
            assert holders.tokens[name] == sorted(set(holders.tokens[name]))

    @pytest.mark.parametrize("still_held", [True, False], ids=["another holds it", "another has released it"])
    def test_a_worker_frozen_beyond_its_lease_no_longer_holds_it(
        self, connection: redis.Redis, redis_server: RedisServer, still_held: bool
    ) -> None:
        """
        A worker that was frozen beyond its lease no longer holds it, and a later lease has a higher token.
        """
        frozen = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(redis_server.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert frozen.stdout is not None
        frozen_token = int(frozen.stdout.readline())
        os.kill(frozen.pid, signal.SIGSTOP)
        with ExitStack() as stack:
            later_token = stack.enter_context(
                hold_when_free(DomainLocks(connection, highest_token=lambda: 0))
            )
            if not still_held:
                stack.close()
            os.kill(frozen.pid, signal.SIGCONT)
            still_held_by_frozen, _ = frozen.communicate("\n", timeout=20)

        assert still_held_by_frozen.strip() == "False"
        assert later_token > frozen_token
