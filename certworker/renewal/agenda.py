"""
The agenda: the time of the next check of each name.

Renewals, attempts after a failure, and checks of valid certificates are all next checks. One sorted set in
Redis has all of them, so one command reads the names that are due.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from redis import Redis
from redis.client import Pipeline

from certworker.redis.codec import name_in, score_to_time, shown_in
from certworker.state.wake_ups import ask_for_wake_up

logger = logging.getLogger(__name__)

AGENDA = "certworker:agenda"

#: This key exists while the agenda has every name on the volume, or while a comparison adds the missing
#: names. If Redis is emptied, the key is lost, and does not return when names are added to the agenda.
COMPARED = "certworker:compared"

#: A comparison with the volume that makes no progress within this time counts as interrupted.
LONGEST_STANDSTILL = timedelta(minutes=10)

#: The maximum number of names in one command. Redis serves other clients between two commands.
NAMES_PER_COMMAND = 1_000
#: The maximum number of names on one page. Reading a name takes a tenth of the time of writing it.
NAMES_PER_PAGE = 10_000
#: The number of names in the overlap of two pages; see :meth:`Agenda.names`.
NAMES_READ_TWICE = 500


class Agenda:
    """
    Names with the times of their next checks.

    Attributes:
        wake: Called with the time at which the due names have to be read. A program that only reads the
            agenda does not need it.
    """

    def __init__(self, connection: Redis, wake: Callable[[datetime], object] = lambda _moment: None) -> None:
        self._connection = connection
        self.wake = wake

    def put(self, name: str, moment: datetime) -> None:
        """
        Plan the next check of *name* at *moment*, instead of any other planned check.
        """
        self.put_many({name: moment})

    def put_many(
        self,
        moments: Mapping[str, datetime],
        *,
        at_the_latest: bool = False,
        with_records: Callable[[Pipeline], object] | None = None,
    ) -> None:
        """
        Plan the next checks of many names. If one of these checks is the earliest on the agenda, call `wake`.

        `wake` is not called if a wake-up is planned by that time.

        Args:
            moments: The time of the next check, by name.
            at_the_latest: Whether an earlier check that is already planned stays planned.
            with_records: Adds the records of the names, which the same transaction writes first.
        """
        scores = {name: moment.timestamp() for name, moment in moments.items()}
        with self._connection.pipeline(transaction=with_records is not None) as pipe:
            if with_records:
                with_records(pipe)
            self.add(pipe, scores, at_the_latest=at_the_latest)
            if scores:
                ask_for_wake_up(pipe, min(moments.values()))
            replies = pipe.execute()
        if scores:
            first, is_planned = replies[-2:]
            if not is_planned and (not first or first[0][1] >= min(scores.values())):
                self.wake(min(moments.values()))

    def add(self, pipe: Pipeline, scores: Mapping[str, float], *, at_the_latest: bool = False) -> None:
        """
        Add commands to *pipe* that plan checks at the Unix times *scores*.

        The last command reads the earliest check.
        """
        for batch in _batches(list(scores)):
            pipe.zadd(AGENDA, {name: scores[name] for name in batch}, lt=at_the_latest)
        pipe.zrange(AGENDA, 0, 0, withscores=True)

    def remove(self, name: str) -> None:
        """
        Remove *name* if it is on the agenda.
        """
        self._connection.zrem(AGENDA, name)

    def due(self, now: datetime, limit: int) -> list[str]:
        """
        Return at most *limit* names whose next check is not after *now*, the earliest first.
        """
        members: list[Any] = self._connection.zrangebyscore(
            AGENDA, "-inf", now.timestamp(), start=0, num=limit
        )
        return self._valid_names(members)

    def earliest(self) -> datetime | None:
        """
        Return the time of the earliest check; None: no check is planned, or its time is invalid.
        """
        first = self._connection.zrange(AGENDA, 0, 0, withscores=True)
        return score_to_time(float(first[0][1])) if first else None

    def next_check(self, name: str) -> datetime | None:
        """
        Return the time of the next check of *name*; None: none is planned, or its time is invalid.
        """
        return score_to_time(self._connection.zscore(AGENDA, name))

    def planned_after(self, moment: datetime, limit: int) -> list[str]:
        """
        Return at most *limit* names whose next check is after *moment*, the latest first.
        """
        members: list[Any] = self._connection.zrevrangebyscore(
            AGENDA, "+inf", f"({moment.timestamp()}", start=0, num=limit
        )
        return self._valid_names(members)

    def missing(self, names: Sequence[str]) -> list[str]:
        """
        Return those of *names* that are not on the agenda, in their order.
        """
        unknown: list[str] = []
        for batch in _batches(names):
            scores = self._connection.zmscore(AGENDA, list(batch))
            unknown += [name for name, score in zip(batch, scores, strict=True) if score is None]
        return unknown

    def begin_comparison(self) -> None:
        """
        Record the start of a comparison with the volume.
        """
        self._connection.set(COMPARED, "", ex=LONGEST_STANDSTILL)

    def extend_comparison(self) -> None:
        """
        Record that the comparison makes progress, unless Redis was emptied in the meantime.
        """
        self._connection.expire(COMPARED, LONGEST_STANDSTILL)

    def finish_comparison(self) -> None:
        """
        Record the end of the comparison, unless Redis was emptied in the meantime.
        """
        self._connection.persist(COMPARED)

    def is_complete(self) -> bool:
        """
        Return whether the agenda has every name on the volume, or will have each of them after the comparison
        that is in progress.
        """
        return bool(self._connection.exists(COMPARED))

    def names(self) -> list[str]:
        """
        Return all names, in no particular order.

        This method reads pages, so that Redis serves other clients in between. A name that is added, removed,
        or postponed in the meantime may be missing. The latest checks are read first, so a postponed name
        hides no other name. A name that is removed, or whose check becomes earlier, could hide one, so the
        pages overlap.
        """
        members: set[Any] = set()
        first = 0
        while page := self._connection.zrange(AGENDA, first, first + NAMES_PER_PAGE - 1, desc=True):
            members.update(page)
            first += NAMES_PER_PAGE - NAMES_READ_TWICE
        return self._valid_names(members)

    def next_checks(self, names: Sequence[str]) -> dict[str, datetime | None]:
        """
        Return the time of the next check of each of *names*, as :meth:`next_check` does.
        """
        moments: dict[str, datetime | None] = {}
        for batch in _batches(names):
            scores = self._connection.zmscore(AGENDA, list(batch))
            moments |= {name: score_to_time(score) for name, score in zip(batch, scores, strict=True)}
        return moments

    def __contains__(self, name: str) -> bool:
        return self._connection.zscore(AGENDA, name) is not None

    def __len__(self) -> int:
        return int(self._connection.zcard(AGENDA))

    def _valid_names(self, members: Iterable[bytes | str]) -> list[str]:
        """
        Return the names among *members*, and remove the members that are not names.
        """
        names, others = [], []
        for member in members:
            if (name := name_in(member)) is not None:
                names.append(name)
            else:
                others.append(member)
        for start in range(0, len(others), NAMES_PER_COMMAND):
            self._connection.zrem(AGENDA, *others[start : start + NAMES_PER_COMMAND])
        if others:
            logger.warning(
                "removed invalid entries from the agenda: %d, for example %s",
                len(others),
                shown_in(others[0], 100),
            )
        return names


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), NAMES_PER_COMMAND):
        yield names[start : start + NAMES_PER_COMMAND]
