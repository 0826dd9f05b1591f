"""
The rounds of the night watch: what is due, and what Redis has forgotten.

Redis may lose any key at any moment; the volume knows every certificate. A look takes what the agenda
says is due, a reconciliation gives back to the agenda what only the volume remembers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, repeat
from random import Random

from certworker.ledger.agenda import Agenda
from certworker.ledger.record import Records
from certworker.renewal import due_moment, next_look
from certworker.schedule import Plan
from certworker.serving.generation import Facts
from certworker.serving.volume import Volume

logger = logging.getLogger(__name__)

#: One look handles so many names, then lets the queue breathe.
NAMES_A_LOOK = 1_000

#: A look asks the CA for its advice on so many certificates at a time.
QUESTIONS_AT_ONCE = 8

#: A name that was put on the queue is looked at again after this, should its job be lost.
UNTIL_A_LOST_JOB_IS_MISSED = timedelta(minutes=15)

#: A reconciliation of a large volume tells of its progress every so many names.
PROGRESS_EVERY = 5_000


@dataclass(frozen=True)
class Rounds:
    """
    Keeps the agenda true and brings what is due to the queue.
    """

    volume: Volume
    records: Records
    agenda: Agenda
    #: When a certificate is renewed, and looked at next.
    plan: Callable[[Facts, datetime], Plan]
    request: Callable[[tuple[str, ...]], object]
    clock: Callable[[], datetime]
    random: Random

    def look(self) -> dict[str, int]:
        """
        Look at every name whose moment has come.

        A certificate that is not due gets its next moment here, at the price of one small file; anything
        else becomes a job on the queue.

        Returns:
            How many names were `looked` at, and how many were `requested`.
        """
        now = self.clock()
        names = self.agenda.due(now, NAMES_A_LOOK)
        moments: dict[str, datetime] = {}
        requested: set[tuple[str, ...]] = set()
        with ThreadPoolExecutor(QUESTIONS_AT_ONCE) as questions:
            looks = list(questions.map(self._next_look_if_not_due, names, repeat(now)))
        for name, look in zip(names, looks, strict=True):
            if look:
                moments[name] = look
            else:
                requested.add(self._names_beside(name))
                moments[name] = now + UNTIL_A_LOST_JOB_IS_MISSED
        # The moments first: a job that ends quickly writes a better one, which must not be overwritten.
        self.agenda.put_many(moments)
        for together in sorted(requested):
            self.request(together)
        if earliest := self.agenda.earliest():
            self.agenda.wake(max(earliest, now + timedelta(seconds=1)))
        return {"looked": len(names), "requested": len(requested)}

    def reconcile(self, after: str | None = None) -> int:
        """
        Put every certificate of the volume that the agenda does not know back onto it.

        Args:
            after: Go on behind this name, where an earlier run was interrupted.

        Returns:
            How many names were missing.
        """
        seen = restored = 0
        for some in _batches(self.volume.names(after), 500):
            missing = self.agenda.missing(some)
            now = self.clock()
            self.agenda.put_many({name: self._look_by_age(name, now) for name in missing})
            restored += len(missing)
            before, seen = seen, seen + len(some)
            if seen // PROGRESS_EVERY > before // PROGRESS_EVERY:
                logger.info("%d certificates of the volume compared with the agenda so far", seen)
        if restored:
            logger.info("%d certificates were missing on the agenda and are back on it", restored)
        return restored

    def _next_look_if_not_due(self, name: str, now: datetime) -> datetime | None:
        facts = self.volume.facts(name)
        plan = self.plan(facts, now) if facts else None
        return plan.next_look if plan and not plan.due else None

    def _look_by_age(self, name: str, now: datetime) -> datetime:
        # Without the CA's advice: nobody asks it for all names of a volume at once.
        facts = self.volume.facts(name)
        return next_look(facts.life, due_moment(facts.life), now, self.random) if facts else now

    def _names_beside(self, name: str) -> tuple[str, ...]:
        facts = self.volume.facts(name)
        if facts:
            return facts.names
        record = self.records.read(name)
        return record.names if record else (name,)


def _batches(names: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(names)
    while some := list(islice(iterator, size)):
        yield some
