"""
`certworker status --watch`: the progress of many names until nothing is left to wait for.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from redis import Redis

from certworker.cli.output import say, say_json
from certworker.cli.progress import numbers, progress_line
from certworker.renewal.agenda import Agenda
from certworker.renewal.domain_status import DomainStatus, list_status
from certworker.state.domain_records import DomainRecords
from certworker.storage.certificate_store import CertificateStore
from certworker.worker.producer import queue_length

Stores = tuple[Agenda, DomainRecords, CertificateStore]

PAUSE_SECONDS = 1.0

#: Counting 50,000 names takes about a second; it may take this share of the time and no more.
SHARE_OF_TIME_TO_COUNT = 1 / 10

#: While a name without a certificate is in one of these states, its certificate may come.
OPEN = ("missing", "issuing", "waiting")


@dataclass(frozen=True)
class Counts:
    """
    How many names there are, how many have a certificate or have failed, and how many have failed.
    """

    names: int
    done: int
    failed: int


def watch_names(
    connection: Redis, stores: Stores, *, as_json: bool, sleep: Callable[[float], None] = time.sleep
) -> None:
    """
    Show the progress of all names until each has a certificate or has failed, or until Ctrl-C.

    A terminal shows one line. A file gets a line for each change.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    shown: Counts | None = None
    lines = as_json or not sys.stderr.isatty()
    with suppress(KeyboardInterrupt), progress_line() as update:
        while True:
            began, now = time.monotonic(), datetime.now(UTC)
            queued = queue_length(connection)
            counts = _counts(list_status(*stores, now), queued)
            if counts != shown and lines:
                _print(counts, now, as_json)
            update(counts.done, counts.failed, counts.names)
            # Twice, for between the queue and its first record a request is nowhere for a moment.
            if counts.done == counts.names and counts == shown:
                break
            shown = counts
            sleep(max(PAUSE_SECONDS, (time.monotonic() - began) / SHARE_OF_TIME_TO_COUNT))
    if shown and not lines:
        _print(shown, datetime.now(UTC), as_json)


def _counts(names: Iterable[DomainStatus], queued: int) -> Counts:
    total = open_names = failed = 0
    for one in names:
        total += 1
        open_names += one.not_after is None and one.detail in OPEN
        failed += one.detail == "no_certificate"
    # What is in the queue is not known by name yet.
    return Counts(total + queued, total - open_names, failed)


def _print(counts: Counts, now: datetime, as_json: bool) -> None:
    if as_json:
        moment = f"{now:%Y-%m-%dT%H:%M:%SZ}"
        say_json({"moment": moment, "names": counts.names, "done": counts.done, "failed": counts.failed})
    else:
        say(numbers(counts.done, counts.failed, counts.names) + ".")
