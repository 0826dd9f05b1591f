"""
A client of Redis that survives what other programs write there.

Three things are done for every command, here and nowhere else:

* A key of another type is removed, and the command is sent again. See :mod:`certworker.redis.keys`.
* An answer of more than :data:`LONGEST_ANSWER` bytes is not read. Redis allows values of 512 MB, and one of
  them would end a worker that has less memory.
* What made an answer so long is removed: the command fails once, and not at each pass of a loop.
"""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.client import Pipeline
from redis.connection import DefaultParser
from redis.exceptions import RedisError, ResponseError

from certworker.redis.keys import remove_large, remove_wrong

#: Bytes. The longest answers of ours are the data of 500 jobs, of at most 64 KiB each.
LONGEST_ANSWER = 64 * 1024 * 1024

#: A command is sent again so often: another program may write the key again meanwhile.
MOST_REPETITIONS = 3


class AnswerTooLong(RedisError):
    """
    The answer to a command is longer than anything of ours; the connection was closed.
    """

    def __init__(self) -> None:
        super().__init__(f"an answer has more than {LONGEST_ANSWER} bytes")


class GuardedRedis(Redis):
    """
    The client of redis-py with the two guards of this module.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.connection_pool.connection_kwargs["parser_class"] = BoundedParser

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """
        Send a command and return its answer.
        """
        for _ in range(MOST_REPETITIONS):
            try:
                return super().execute_command(*args, **options)
            except AnswerTooLong:
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
    A pipeline, or a transaction. A command that failed because of a wrong key is sent again after the others.
    """

    def __init__(self, client: GuardedRedis, transaction: bool, shard_hint: Any) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, shard_hint)
        self._client = client

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """
        Send the commands and return their answers.
        """
        commands = list(self.command_stack)
        try:
            answers = super().execute(raise_on_error=False)
        except AnswerTooLong:
            for arguments, _ in commands:
                remove_large(self._client, arguments)
            raise
        for place, answer in enumerate(answers):
            if isinstance(answer, ResponseError):
                arguments, options = commands[place]
                answers[place] = self._again(arguments, options, answer)
        if raise_on_error:
            self.raise_first_error(commands, answers)
        return answers

    def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """
        Send a command at once, as a transaction does between WATCH and MULTI.
        """
        try:
            return super().immediate_execute_command(*args, **options)
        except AnswerTooLong:
            remove_large(self._client, args)
            raise
        except ResponseError as error:
            if not remove_wrong(self._client, args, error):
                raise
            return super().immediate_execute_command(*args, **options)

    def _again(self, arguments: Any, options: Any, error: ResponseError) -> Any:
        try:
            if remove_wrong(self._client, arguments, error):
                return self._client.execute_command(*arguments, **options)
        except ResponseError as another:
            return another
        return error


class BoundedParser(DefaultParser):  # type: ignore[misc, valid-type] # which one depends on hiredis
    """
    The parser of redis-py, with a limit to what it reads for one answer.
    """

    def on_connect(self, connection: Any, **options: Any) -> None:
        """
        Begin with a connection that was just made.
        """
        super().on_connect(connection, **options)
        self._bounded = _BoundedReader(self._reader)
        self._reader: Any = self._bounded

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        """
        Read one answer.
        """
        self._bounded.length = 0
        try:
            return super().read_response(*arguments, **options)
        except AnswerTooLong:
            # The rest of the answer is on its way. Behind Sentinels redis-py before 8 keeps the connection;
            # without its parser the pool makes a new one.
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
        if self.length > LONGEST_ANSWER:
            raise AnswerTooLong
        self._feed(buffer, start, length)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)
