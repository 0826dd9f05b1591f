"""
The pool of slots, and the tenants of the jobs in them.

::

    free slots         a request from the queue          a request from a priority queue
    two or more        starts if its tenant holds        starts
                       less than its share
    one                starts if its tenant holds none   waits
    none               waits on the queue                waits

So a new tenant finds a free slot, even if other tenants have a long backlog. A single tenant gets at most all
slots except one. A worker with one slot reserves none. A job without a tenant starts in any free slot.
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
    #: False once the job has released the slot.
    held: bool = True


class Slots:
    """
    A pool of *count* slots. One thread takes them; any thread may release them.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._change = Condition()
        #: The number of slots that each tenant holds. Jobs without a tenant have the key None.
        self._held: Counter[str | None] = Counter()
        self._jobs = 0

    def wait_for_slot(self, seconds: float) -> bool:
        """
        Return whether a slot is free, or becomes free within *seconds*.
        """
        with self._change:
            return self._change.wait_for(lambda: self._free() > 0, seconds)

    def wait_for_capacity(self, seconds: float) -> bool:
        """
        Return whether a request from a priority queue may start, now or within *seconds*.
        """
        with self._change:
            return self._change.wait_for(self._has_capacity, seconds)

    def wait_until_idle(self, seconds: float) -> bool:
        """
        Return whether all jobs, with or without a slot, have ended or end within *seconds*.
        """
        with self._change:
            return self._change.wait_for(lambda: self._jobs == 0, seconds)

    def may_start(self, tenant: str | None) -> bool:
        """
        Return whether a request from *tenant* on the queue may take a free slot.
        """
        with self._change:
            held = self._held[tenant]
            return tenant is None or held == 0 or (held < self._share() and self._free() > 1)

    def is_idle_tenant(self, tenant: str) -> bool:
        """
        Return whether *tenant* holds no slot.
        """
        with self._change:
            return not self._held[tenant]

    def over_quota_tenants(self) -> list[str]:
        """
        Return the tenants that hold their share of the slots, or more.
        """
        with self._change:
            share = self._share()
            return [tenant for tenant, held in self._held.items() if tenant and held >= share]

    def used(self) -> int:
        """
        Return the number of slots that are held.
        """
        with self._change:
            return self._held.total()

    def take(self, tenant: str | None) -> SlotLease:
        """
        Take a slot for a job of *tenant*.
        """
        with self._change:
            self._held[tenant] += 1
            self._jobs += 1
        return SlotLease(tenant)

    def release(self, lease: SlotLease) -> None:
        """
        Release the slot of a job that continues without it, unless too many jobs are running without a slot.
        """
        with self._change:
            if self._jobs - self._held.total() < MAX_RELEASED:
                self._free_slot(lease)

    def end(self, lease: SlotLease) -> None:
        """
        Record that a job has ended, and release its slot if the job still holds it.
        """
        with self._change:
            self._free_slot(lease)
            self._jobs -= 1
            self._change.notify_all()

    def _free_slot(self, lease: SlotLease) -> None:
        if lease.held:
            lease.held = False
            self._held[lease.tenant] -= 1
            self._held += Counter()  # removes the tenants that hold none
            self._change.notify_all()

    def _free(self) -> int:
        return self.count - self._held.total()

    def _has_capacity(self) -> bool:
        return self._free() > 1 or self._free() == self.count

    def _share(self) -> int:
        # One share is reserved for the next new tenant.
        tenants = sum(tenant is not None for tenant in self._held)
        return max(1, self.count // (tenants + 1))
