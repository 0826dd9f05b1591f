"""
A client of Redis that fails fast while Redis does not respond.

A request to the page sends several commands, and the page has few threads. If each command waited for a Redis
that hangs, a few requests would block the page. So after a slow failure, further commands fail immediately
for two seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from redis import exceptions
from redis.client import Pipeline

from certworker.redis.guard import GuardedPipeline, GuardedRedis

#: A failure that takes this long or longer is slow. A refused connection fails immediately, and blocks no
#: thread.
SLOW_SECONDS = 0.5

#: How long commands fail immediately after a slow failure. Then one command tries Redis again.
PAUSE_SECONDS = 2.0


class SlowFailure:
    """
    The last slow failure of Redis, which the next commands repeat.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            clock: Returns monotonic seconds.
        """
        self._clock = clock
        self._lock = threading.Lock()
        #: Has `is_in_command` while this thread is in a command. That command may send further commands.
        self._this_thread = threading.local()
        self._error: exceptions.RedisError | None = None
        self._tried_again = 0.0

    @contextmanager
    def watch(self) -> Iterator[None]:
        """
        Run a command in the block, unless Redis is known not to respond.

        Raises:
            redis.RedisError: Redis is known not to respond, or the command failed.
        """
        if getattr(self._this_thread, "is_in_command", False):
            yield
            return
        self._repeat()
        began = self._clock()
        self._this_thread.is_in_command = True
        try:
            yield
        except (exceptions.ConnectionError, exceptions.TimeoutError) as error:
            now = self._clock()
            if now - began >= SLOW_SECONDS:
                self._error, self._tried_again = error, now + PAUSE_SECONDS
            raise
        else:
            self._error = None
        finally:
            self._this_thread.is_in_command = False

    def _repeat(self) -> None:
        with self._lock:
            error, now = self._error, self._clock()
            if error is None:
                return
            if now >= self._tried_again:
                # This command tries Redis. Meanwhile, the others fail immediately.
                self._tried_again = now + PAUSE_SECONDS
                return
        raise type(error)(*error.args)


class ImpatientRedis(GuardedRedis):
    """
    The guarded client, which fails fast while Redis does not respond.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.slow_failure = SlowFailure()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """
        Send a command and return its reply.
        """
        with self.slow_failure.watch():
            return super().execute_command(*args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:
        """
        Return a pipeline that also fails fast.
        """
        return _ImpatientPipeline(self, transaction, shard_hint)


class _ImpatientPipeline(GuardedPipeline):
    def __init__(self, client: ImpatientRedis, transaction: bool, shard_hint: Any = None) -> None:
        super().__init__(client, transaction, shard_hint)
        self._slow_failure = client.slow_failure

    def execute_after(self, waiting: Any) -> list[Any]:
        with self._slow_failure.watch():
            return super().execute_after(waiting)

    def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        with self._slow_failure.watch():
            return super().immediate_execute_command(*args, **options)
