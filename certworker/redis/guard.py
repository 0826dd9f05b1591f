"""
A client of Redis that tolerates the values of other programs.

It guards every command:

* It removes a key of another type, and sends the command again. See :mod:`certworker.redis.keys`.
* It reads at most :data:`LONGEST_REPLY` bytes of a reply. Redis allows values of 512 MB, which would
  exhaust the memory of a worker.
* It removes the values that made a reply too long, so that the command fails only once.
"""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.client import Pipeline
from redis.connection import DefaultParser
from redis.exceptions import RedisError, ResponseError

from certworker.redis.keys import remove_large, remove_wrong

#: The maximum number of bytes of a reply. The longest expected reply is the data of 500 jobs, each at most 64
#: KiB.
LONGEST_REPLY = 64 * 1024 * 1024

#: The maximum number of repetitions of a command, because another program may write the key again.
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
        Send a command and return its reply.
        """
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


class GuardedPipeline(Pipeline):
    """
    A pipeline or a transaction that repeats the commands which failed because of a wrong key.
    """

    def __init__(self, client: GuardedRedis, transaction: bool, shard_hint: Any) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, shard_hint)
        self._client = client

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """
        Send the commands and return their replies.
        """
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
        if raise_on_error:
            self.raise_first_error(commands, answers)
        return answers

    def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """
        Send a command immediately, as a transaction does between WATCH and MULTI.
        """
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


class BoundedParser(DefaultParser):  # type: ignore[misc, valid-type] # which one depends on hiredis
    """
    The parser of redis-py, with a limit on the length of a reply.
    """

    def on_connect(self, connection: Any, **options: Any) -> None:
        """
        Start parsing the replies of a new connection.
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
            # connection. Without the parser, the pool opens a new one.
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
