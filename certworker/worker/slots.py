"""
The slots of a worker, and whose jobs are in them.

::

    free slots         a request from the queue          a request from the lanes
    two or more        starts, if its tenant holds       starts
                       less than its share
    one                starts, if its tenant holds none  waits
    none               waits on the queue                waits

So a newcomer finds a slot free, whatever backlog others have; and a tenant that is alone has all slots but
one. A worker with a single slot has none to keep free.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from threading import Condition

from certworker.job_slot import MAX_RELEASED


@dataclass
class SlotLease:
    """
    The slot of a job.
    """

    tenant: str | None
    filled: bool = True


class Slots:
    """
    *count* slots. One thread fills them; any may empty them.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._change = Condition()
        #: How many slots each tenant holds; None is for jobs that are nobody's.
        self._held: Counter[str | None] = Counter()
        self._jobs = 0

    def wait_for_one(self, seconds: float) -> bool:
        """
        Whether a slot is free, or becomes so within *seconds*.
        """
        with self._change:
            return self._change.wait_for(lambda: self._free() > 0, seconds)

    def wait_for_room(self, seconds: float) -> bool:
        """
        Whether there is room for a request from the lanes, at the latest after *seconds*.
        """
        with self._change:
            return self._change.wait_for(self._has_room, seconds)

    def wait_until_idle(self, seconds: float) -> bool:
        """
        Whether no job runs any more, with or without a slot, at the latest after *seconds*.
        """
        with self._change:
            return self._change.wait_for(lambda: self._jobs == 0, seconds)

    def may_start(self, tenant: str | None) -> bool:
        """
        Whether a request of *tenant* from the queue may have the slot that is free.
        """
        with self._change:
            held = self._held[tenant]
            return tenant is None or held == 0 or (held < self._share() and self._free() > 1)

    def is_idle_tenant(self, tenant: str) -> bool:
        """
        Whether *tenant* is a newcomer.
        """
        with self._change:
            return not self._held[tenant]

    def over_quota_tenants(self) -> list[str]:
        """
        The tenants that hold their share of the slots, or more.
        """
        with self._change:
            share = self._share()
            return [tenant for tenant, held in self._held.items() if tenant and held >= share]

    def used(self) -> int:
        """
        How many slots are taken.
        """
        with self._change:
            return self._held.total()

    def take(self, tenant: str | None) -> SlotLease:
        """
        Fill a slot for a job of *tenant*.
        """
        with self._change:
            self._held[tenant] += 1
            self._jobs += 1
        return SlotLease(tenant)

    def release(self, place: SlotLease) -> None:
        """
        Empty the slot of a job that goes on without it; it stays filled if too many have done so.
        """
        with self._change:
            if self._jobs - self._held.total() < MAX_RELEASED:
                self._empty(place)

    def end(self, place: SlotLease) -> None:
        """
        The job has ended.
        """
        with self._change:
            self._empty(place)
            self._jobs -= 1
            self._change.notify_all()

    def _empty(self, place: SlotLease) -> None:
        if place.filled:
            place.filled = False
            self._held[place.tenant] -= 1
            self._held += Counter()  # without those that hold none
            self._change.notify_all()

    def _free(self) -> int:
        return self.count - self._held.total()

    def _has_room(self) -> bool:
        return self._free() > 1 or self._free() == self.count

    def _share(self) -> int:
        # One share more than there are tenants: it is the next newcomer's.
        tenants = sum(tenant is not None for tenant in self._held)
        return max(1, self.count // (tenants + 1))
