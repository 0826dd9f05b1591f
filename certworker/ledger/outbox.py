"""
What people are to be told, until it has been delivered.

It survives restarts, and of all workers one delivers it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from redis import Redis

from certworker.ledger.text import text_in

OUTBOX = "certworker:outbox:"
SENDING = "certworker:sending:"
TOLD = "certworker:told:"

#: More than this is not kept for a receiver that is away; the log has all of it.
LETTERS_KEPT = 1_000

#: One worker delivers; if it dies at that, another one does so after this.
LONGEST_DELIVERY = timedelta(minutes=2)

#: What was told once is told again after this, should it still be true and never have been taken back.
TOLD_FOR = timedelta(days=90)


class Outbox:
    """
    The letters to one receiver.

    Args:
        channel: Which one: `mail` or `hook`.
    """

    def __init__(self, connection: Redis, channel: str) -> None:
        self._connection = connection
        self._letters = OUTBOX + channel
        self._sending = SENDING + channel

    def put(self, letter: Mapping[str, Any]) -> None:
        """
        Keep *letter*, which is JSON, until it is delivered.
        """
        with self._connection.pipeline(transaction=True) as pipe:
            pipe.rpush(self._letters, json.dumps(dict(letter), ensure_ascii=False))
            pipe.ltrim(self._letters, -LETTERS_KEPT, -1)
            pipe.execute()

    def deliver(self, send: Callable[[Sequence[dict[str, Any]]], None]) -> int:
        """
        Hand all letters to *send* at once, and forget them when it returns; return how many there were.

        Whatever *send* raises is passed on, and the letters stay. While another one delivers nothing happens.
        """
        if not self._connection.set(self._sending, "1", nx=True, px=LONGEST_DELIVERY):
            return 0
        try:
            lines = self._connection.lrange(self._letters, 0, -1)
            letters = [letter for line in lines if (letter := _letter(text_in(line)))]
            if letters:
                send(letters)
            self._connection.ltrim(self._letters, len(lines), -1)
        finally:
            self._connection.delete(self._sending)
        return len(letters)


class Told:
    """
    What has been told already, so that nothing is told once per attempt.
    """

    def __init__(self, connection: Redis) -> None:
        self._connection = connection

    def first_time(self, name: str, what: str) -> bool:
        """
        Whether *what* has not been told of *name*; from now on it has.
        """
        added = self._connection.sadd(TOLD + name, what)
        self._connection.expire(TOLD + name, TOLD_FOR)
        return bool(added)

    def take_back(self, name: str) -> bool:
        """
        Begin anew with *name*; whether anything had been told of it.
        """
        return bool(self._connection.delete(TOLD + name))


def _letter(line: str) -> dict[str, Any] | None:
    try:
        letter = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return letter if isinstance(letter, dict) else None
