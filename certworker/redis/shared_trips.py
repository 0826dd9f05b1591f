"""
Commands of a job that share a round trip to Redis.

A round trip costs a job more processor time than most commands cost Redis. So a job sends a command whose
reply it does not need yet together with its next command::

    with sharing_trips(connection):  within a job
        send_with_next(...)          waits
        send_with_next(...)          waits
        connection.get(...)          one round trip for three commands

Redis receives the commands of a job in the order in which the job sent them. A crash before the round trip
has the same effect as a crash before the first of its commands. Outside a job, each command is sent
immediately.

:mod:`certworker.redis.guard` sends the waiting commands.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)


class Reply:
    """
    The reply to a command that may not have been sent yet.
    """

    def __init__(self, command: Sequence[Any], send: Callable[[], object]) -> None:
        self.command = command
        self._send = send
        self._answer: Any = None
        self._is_known = False

    def value(self) -> Any:
        """
        Return the reply. If the command is still waiting, send all waiting commands first.

        Raises:
            redis.RedisError: Redis failed or rejected the command.
        """
        if not self._is_known:
            self._send()
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def set(self, answer: Any) -> None:
        """
        Set the reply, or the error that occurred instead.
        """
        self._answer, self._is_known = answer, True
        if isinstance(answer, Exception):
            logger.debug("a command failed in Redis: %s: %s", self.command[0], answer)

    def set_from(self, connection: Redis) -> None:
        """
        Send the command alone, and set its reply.
        """
        try:
            self.set(connection.execute_command(*self.command))
        except RedisError as error:
            self.set(error)


class SharedTrips:
    """
    The waiting commands of one job.

    Args:
        send: Sends the waiting commands.
    """

    def __init__(self, send: Callable[[], object]) -> None:
        self._send = send
        self._mutex = Lock()
        self._waiting: list[Reply] = []
        self._is_over = False

    def add(self, command: Sequence[Any]) -> Reply | None:
        """
        Add *command* to the waiting commands. Return its reply, or None if the job has ended.
        """
        with self._mutex:
            if self._is_over:
                return None
            reply = Reply(command, self._send)
            self._waiting.append(reply)
            return reply

    def take(self) -> list[Reply]:
        """
        Return and clear the waiting commands, which the caller sends.
        """
        with self._mutex:
            waiting, self._waiting = self._waiting, []
            return waiting

    def end(self) -> None:
        """
        Send the waiting commands. Commands that follow are sent immediately.
        """
        with self._mutex:
            self._is_over = True
        try:
            self._send()
        except RedisError as error:
            logger.debug("could not send the last commands of a job: %s", error)


#: The connection of the running job, and the job's shared trips. The threads of the job's checks have both.
_current: ContextVar[tuple[Redis, SharedTrips] | None] = ContextVar("shared_trips", default=None)


@contextmanager
def sharing(connection: Redis, send: Callable[[], object]) -> Iterator[None]:
    """
    Within the block, make the commands of :func:`send_with_next` wait for the next command to *connection*.

    The end of the block sends the commands that are still waiting.

    Args:
        connection: The connection.
        send: Sends the waiting commands.
    """
    trips = SharedTrips(send)
    token = _current.set((connection, trips))
    try:
        yield
    finally:
        trips.end()
        _current.reset(token)


def take_waiting(connection: Redis) -> list[Reply]:
    """
    Return and clear the waiting commands of this job to *connection*. The caller sends them.
    """
    current = _current.get()
    return current[1].take() if current and current[0] is connection else []


def send_with_next(connection: Redis, *command: Any) -> Reply:
    """
    Send *command* together with the job's next command to *connection*. Outside a job, send it immediately.

    This function does not raise errors of Redis; :meth:`Reply.value` does.
    """
    current = _current.get()
    if current and current[0] is connection and (reply := current[1].add(command)):
        return reply
    reply = Reply(command, lambda: None)
    reply.set_from(connection)
    return reply
