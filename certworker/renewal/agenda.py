"""
The agenda: when to look at each name again.

Renewals, attempts after a failure and re-checks are one and the same thing here: a moment. All of them
stand in one sorted set, so that what is due is one question to Redis, whatever number of names there is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from redis import Redis

from certworker.redis.codec import name_in, score_to_time, shown_in

logger = logging.getLogger(__name__)

AGENDA = "certworker:agenda"

#: Exists while the agenda has every name of the volume, as far as is known. It goes when Redis is emptied,
#: whatever is written to the agenda afterwards.
COMPARED = "certworker:compared"

#: A comparison of the agenda and the volume that makes no progress for so long was interrupted.
LONGEST_STANDSTILL = timedelta(minutes=10)

#: So many names go in one command; Redis serves others between two of them.
NAMES_PER_COMMAND = 1_000
#: Names alone are read as quickly as a tenth as many are written.
NAMES_PER_PAGE = 10_000
NAMES_READ_TWICE = 500


class Agenda:
    """
    Names with the moments of their next look.

    Attributes:
        wake: Sees that somebody looks at the agenda at a moment; whoever only reads needs none.
    """

    def __init__(self, connection: Redis, wake: Callable[[datetime], object] = lambda _moment: None) -> None:
        self._connection = connection
        self.wake = wake

    def put(self, name: str, moment: datetime) -> None:
        """
        Plan the next check of *name* at *moment*, instead of any other moment.
        """
        self.put_many({name: moment})

    def put_many(self, moments: Mapping[str, datetime], *, at_the_latest: bool = False) -> None:
        """
        Put many names at once, and wake for the earliest of the moments, if the agenda has none before it.

        Args:
            at_the_latest: A name that the agenda knows with an earlier moment keeps that moment.
        """
        scores = {name: moment.timestamp() for name, moment in moments.items()}
        with self._connection.pipeline(transaction=False) as pipe:
            for some in _portions(list(scores)):
                pipe.zadd(AGENDA, {name: scores[name] for name in some}, lt=at_the_latest)
            pipe.zrange(AGENDA, 0, 0, withscores=True)
            *_, first = pipe.execute()
        if scores and (not first or first[0][1] >= min(scores.values())):
            self.wake(min(moments.values()))

    def remove(self, name: str) -> None:
        """
        Forget *name*; forgetting it twice is no mistake.
        """
        self._connection.zrem(AGENDA, name)

    def due(self, now: datetime, limit: int) -> list[str]:
        """
        At most *limit* names whose moment is not after *now*, the earliest first.
        """
        members: list[Any] = self._connection.zrangebyscore(
            AGENDA, "-inf", now.timestamp(), start=0, num=limit
        )
        return self._named(members)

    def earliest(self) -> datetime | None:
        """
        The next moment on the agenda; None if no look is planned.
        """
        first = self._connection.zrange(AGENDA, 0, 0, withscores=True)
        return score_to_time(float(first[0][1])) if first else None

    def next_check(self, name: str) -> datetime | None:
        """
        When *name* is looked at next; None if no look is planned or the agenda does not know it.
        """
        return score_to_time(self._connection.zscore(AGENDA, name))

    def planned_after(self, moment: datetime, limit: int) -> list[str]:
        """
        Return at most *limit* names whose moment is after *moment*: wrong, or never.
        """
        members: list[Any] = self._connection.zrevrangebyscore(
            AGENDA, "+inf", f"({moment.timestamp()}", start=0, num=limit
        )
        return self._named(members)

    def missing(self, names: Sequence[str]) -> list[str]:
        """
        Those of *names* that the agenda does not know, in their order.
        """
        unknown: list[str] = []
        for some in _portions(names):
            scores = self._connection.zmscore(AGENDA, list(some))
            unknown += [name for name, score in zip(some, scores, strict=True) if score is None]
        return unknown

    def begin_comparison(self) -> None:
        """
        Note that a comparison with the volume begins.
        """
        self._connection.set(COMPARED, "", ex=LONGEST_STANDSTILL)

    def extend_comparison(self) -> None:
        """
        Note its progress. Where Redis was emptied meanwhile, that changes nothing.
        """
        self._connection.expire(COMPARED, LONGEST_STANDSTILL)

    def finish_comparison(self) -> None:
        """
        Note its end: the agenda has every name of the volume, unless Redis was emptied meanwhile.
        """
        self._connection.persist(COMPARED)

    def is_complete(self) -> bool:
        """
        Return whether the agenda has every name of the volume, or will have when a comparison ends.
        """
        return bool(self._connection.exists(COMPARED))

    def names(self) -> list[str]:
        """
        All names, in no order.

        Read in portions, so that Redis serves others meanwhile: a name that is put or removed at the same
        time may or may not be among them. The last moments come first, so that a look, which puts names off,
        moves none of the others out of sight; for the few that come forward the portions overlap.
        """
        members: set[Any] = set()
        first = 0
        while some := self._connection.zrange(AGENDA, first, first + NAMES_PER_PAGE - 1, desc=True):
            members.update(some)
            first += NAMES_PER_PAGE - NAMES_READ_TWICE
        return self._named(members)

    def next_checks(self, names: Sequence[str]) -> dict[str, datetime | None]:
        """
        *names* with their moments, as :meth:`next_check` tells them.
        """
        moments: dict[str, datetime | None] = {}
        for some in _portions(names):
            scores = self._connection.zmscore(AGENDA, list(some))
            moments |= {name: score_to_time(score) for name, score in zip(some, scores, strict=True)}
        return moments

    def __contains__(self, name: str) -> bool:
        return self._connection.zscore(AGENDA, name) is not None

    def __len__(self) -> int:
        return int(self._connection.zcard(AGENDA))

    def _named(self, members: Iterable[bytes | str]) -> list[str]:
        """
        Return the names among *members*; what is no name is removed, or it would be due for ever.
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
                "removed %d entries from the agenda that are no names, among them %s",
                len(others),
                shown_in(others[0], 100),
            )
        return names


def _portions(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), NAMES_PER_COMMAND):
        yield names[start : start + NAMES_PER_COMMAND]
