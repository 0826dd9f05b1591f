"""
Counts the round trips to Redis, in this process or in a worker.

A pipeline, a transaction and a script are one round trip each. `python -m bench.round_trips FILE work` runs
the worker, and adds a line to FILE for each of its round trips.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from certworker.cli import main

JOB_ID = re.compile(rb"issue-[0-9a-f]{32}")


@contextmanager
def counted() -> Iterator[list[bytes]]:
    """
    Yield a list to which each write of this process to a Redis server is added, of all its threads.
    """
    written: list[bytes] = []
    with _observed(written.append):
        yield written


@contextmanager
def _observed(observe: Callable[[bytes], object]) -> Iterator[None]:
    kind: Any = redis.connection.AbstractConnection
    send = kind.send_packed_command

    def observing(self: object, command: bytes | list[bytes], *arguments: Any, **options: Any) -> Any:
        observe(command if isinstance(command, bytes) else b"".join(command))
        return send(self, command, *arguments, **options)

    kind.send_packed_command = observing
    try:
        yield
    finally:
        kind.send_packed_command = send


def all_in(file: Path) -> list[str]:
    """
    Return the lines in *file*: the name of the thread of each round trip, and the job that the command names.
    """
    return file.read_text().splitlines()


def of_jobs(lines: list[str]) -> list[str]:
    """
    Return those of *lines* that belong to a job: those of its threads, and those that name it.
    """
    return [line for line in lines if line.startswith("checks") or "issue-" in line]


def _run(file: str, *arguments: str) -> None:
    with Path(file).open("ab", buffering=0) as trips:

        def note(command: bytes) -> None:
            found = JOB_ID.search(command)
            trips.write(b"%s %s\n" % (threading.current_thread().name.encode(), found[0] if found else b""))

        with _observed(note):
            sys.argv[1:] = arguments
            main()


if __name__ == "__main__":
    _run(*sys.argv[1:])
