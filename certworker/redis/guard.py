"""
A client of Redis that tolerates the values of other programs.

It guards every command:

* It removes a key of the wrong type, and sends the command again. See :mod:`certworker.redis.keys`.
* It reads at most :data:`LONGEST_REPLY` bytes of a reply. Redis allows values of 512 MB, which would
  exhaust the memory of a worker.
* After a reply that is too long, the command fails. The client then removes oversized values from those keys
  of the command that belong to certworker or RQ. Later commands succeed if these values were the cause.

With each command of a job, it also sends the job's waiting commands; see
:mod:`certworker.redis.shared_trips`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from redis import Redis
from redis.client import Pipeline
from redis.connection import DefaultParser
from redis.exceptions import RedisError, ResponseError

from certworker.redis.keys import remove_large, remove_wrong
from certworker.redis.shared_trips import Reply, sharing, take_waiting

#: The maximum number of bytes of a reply. The longest expected reply is the data of 500 jobs, each at most 64
#: KiB.
LONGEST_REPLY = 64 * 1024 * 1024

#: The maximum number of repetitions of a command. Another program may write the invalid key again and again.
MAX_REPETITIONS = 3


class ReplyTooLong(RedisError):
    """
    The reply to a command is longer than any expected reply. The connection is closed.
    """

    def __init__(self) -> None:
        super().__init__(f"a reply has more than {LONGEST_REPLY} bytes")


class GuardedRedis(Redis):
    """
    The client of redis-py with the guards of this module.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.connection_pool.connection_kwargs["parser_class"] = BoundedParser

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """
        Send a command and return its reply. If commands of the job are waiting, send them first.
        """
        if waiting := take_waiting(self):
            pipe = GuardedPipeline(self, transaction=False)
            pipe.execute_command(*args, **options)
            (answer,) = pipe.execute_after(waiting)
            if isinstance(answer, Exception):
                raise answer
            return answer
        for _ in range(MAX_REPETITIONS):
            try:
                return super().execute_command(*args, **options)
            except ReplyTooLong:
                remove_large(self, args)
                raise
            except ResponseError as error:
                if not remove_wrong(self, args, error):
                    raise
        return super().execute_command(*args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:
        """
        Return a pipeline with the same guards.
        """
        return GuardedPipeline(self, transaction, shard_hint)

    def send_waiting(self) -> None:
        """
        Send the waiting commands of the current job.

        Raises:
            redis.RedisError: Redis does not respond, or a reply is too long.
        """
        if waiting := take_waiting(self):
            GuardedPipeline(self, transaction=False).execute_after(waiting)


class GuardedPipeline(Pipeline):
    """
    A pipeline or a transaction with the same guards: it repeats each command that failed because of a key of
    the wrong type.
    """

    def __init__(self, client: GuardedRedis, transaction: bool, shard_hint: Any = None) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, shard_hint)
        self._client = client

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """
        Send the commands and return their replies.
        """
        commands = list(self.command_stack)
        if self.watching:
            # A change to the watched key would also cancel the waiting commands.
            self._client.send_waiting()
        answers = self.execute_after(take_waiting(self._client))
        if raise_on_error:
            self.raise_first_error(commands, answers)
        return answers

    def execute_after(self, waiting: Sequence[Reply]) -> list[Any]:
        """
        Send the *waiting* commands and those of this pipeline. Return the replies to the latter; a failed
        command has an error instead.
        """
        self.command_stack[:0] = [(reply.command, {}) for reply in waiting]
        try:
            answers = self._execute()
        except ResponseError:
            # Redis rejected the transaction because of one of its commands.
            for reply in waiting:
                reply.set_from(self._client)
            raise
        except RedisError as error:
            for reply in waiting:
                reply.set(error)
            raise
        for reply, answer in zip(waiting, answers, strict=False):
            reply.set(answer)
        return answers[len(waiting) :]

    def _execute(self) -> list[Any]:
        commands = list(self.command_stack)
        try:
            answers = super().execute(raise_on_error=False)
        except ReplyTooLong:
            for arguments, _ in commands:
                remove_large(self._client, arguments)
            raise
        for index, answer in enumerate(answers):
            if isinstance(answer, ResponseError):
                arguments, options = commands[index]
                answers[index] = self._repeat(arguments, options, answer)
        return answers

    def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """
        Send a command immediately, as a transaction does between WATCH and MULTI.
        """
        self._client.send_waiting()
        try:
            return super().immediate_execute_command(*args, **options)
        except ReplyTooLong:
            remove_large(self._client, args)
            raise
        except ResponseError as error:
            if not remove_wrong(self._client, args, error):
                raise
            return super().immediate_execute_command(*args, **options)

    def _repeat(self, arguments: Any, options: Any, error: ResponseError) -> Any:
        try:
            if remove_wrong(self._client, arguments, error):
                return self._client.execute_command(*arguments, **options)
        except ResponseError as another:
            return another
        return error


def sharing_trips(connection: Redis) -> AbstractContextManager[None]:
    """
    Make the commands of the job in the block share round trips, if *connection* supports it.
    """
    if isinstance(connection, GuardedRedis):
        return sharing(connection, connection.send_waiting)
    return nullcontext()


class BoundedParser(DefaultParser):  # type: ignore[misc, valid-type] # the type depends on hiredis, which the project requires
    """
    The parser of redis-py, with a limit on the length of a reply.
    """

    def on_connect(self, connection: Any, **options: Any) -> None:
        """
        Start to parse the replies on a new connection.
        """
        super().on_connect(connection, **options)
        self._bounded = _BoundedReader(self._reader)
        self._reader: Any = self._bounded

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        """
        Read one reply.
        """
        self._bounded.length = 0
        try:
            return super().read_response(*arguments, **options)
        except ReplyTooLong:
            # The rest of the reply is still arriving. Behind Sentinels, redis-py before 8 would reuse the
            # connection. If its parser is disconnected, the pool opens a new connection.
            self.on_disconnect()
            raise


class _BoundedReader:
    def __init__(self, reader: Any) -> None:
        self.length = 0
        self._reader = reader
        self._feed = reader.feed
        self.gets = reader.gets

    def feed(self, buffer: Any, start: int, length: int) -> None:
        self.length += length
        if self.length > LONGEST_REPLY:
            raise ReplyTooLong
        self._feed(buffer, start, length)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)
