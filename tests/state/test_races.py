"""
Many workers at once, and one that was frozen.
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

#: A worker of its own process, so that it can be frozen whole, its renewing thread included.
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


class Stage:
    """
    Where the workers of the test meet; it notices when two of them have one name.
    """

    def __init__(self) -> None:
        self.present: dict[str, int] = defaultdict(int)
        self.tokens: dict[str, list[int]] = defaultdict(list)
        self.clashes = 0
        self._mutex = threading.Lock()

    def enter(self, names: tuple[str, ...], token: int) -> None:
        """
        A worker has *names* now.
        """
        with self._mutex:
            for name in names:
                self.clashes += self.present[name]
                self.present[name] += 1
                self.tokens[name].append(token)

    def leave(self, names: tuple[str, ...]) -> None:
        """
        It gives them back next.
        """
        with self._mutex:
            for name in names:
                self.present[name] -= 1


def work(server: RedisServer, stage: Stage, seed: int) -> None:
    """
    Hold random sets of names, as one worker does.
    """
    random = Random(seed)
    with server.client() as connection:
        locks = DomainLocks(connection, highest_token=lambda: 0)
        held = 0
        while held < HOLDS_EACH:
            names = random.sample(NAMES, random.randint(1, 2))
            try:
                with locks.hold(names) as lease:
                    stage.enter(lease.names, lease.token)
                    stage.leave(lease.names)
                    held += 1
            except AlreadyInProgress:
                continue


@contextmanager
def hold_when_free(locks: DomainLocks) -> Iterator[int]:
    """
    The name of the frozen worker, once its lease has ended.
    """
    deadline = time.monotonic() + 20
    while locks.is_held("a.example.org"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with locks.hold(["a.example.org"]) as lease:
        yield lease.token


class TestRaces:
    """
    What a lock is for.
    """

    def test_never_two_holders_at_once_and_tokens_rise(
        self, connection: redis.Redis, redis_server: RedisServer
    ) -> None:
        """
        1,600 holds by 8 workers on 5 names: one clash would be two orders for one name.
        """
        stage = Stage()
        with ThreadPoolExecutor(WORKERS) as pool:
            for worker in [pool.submit(work, redis_server, stage, seed) for seed in range(WORKERS)]:
                worker.result()

        assert stage.clashes == 0
        for name in NAMES:
            assert stage.tokens[name] == sorted(set(stage.tokens[name]))

    @pytest.mark.parametrize("still_there", [True, False], ids=["another is at work", "another is done"])
    def test_a_holder_frozen_past_its_lease_notices(
        self, connection: redis.Redis, redis_server: RedisServer, still_there: bool
    ) -> None:
        """
        A worker that continues after its lease has expired must not publish.
        """
        frozen = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(redis_server.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert frozen.stdout is not None
        its_token = int(frozen.stdout.readline())
        os.kill(frozen.pid, signal.SIGSTOP)
        with ExitStack() as stack:
            our_token = stack.enter_context(hold_when_free(DomainLocks(connection, highest_token=lambda: 0)))
            if not still_there:
                stack.close()
            os.kill(frozen.pid, signal.SIGCONT)
            its_belief, _ = frozen.communicate("\n", timeout=20)

        assert its_belief.strip() == "False"
        assert our_token > its_token
