"""
The slots: who may start.
"""

from __future__ import annotations

from threading import Timer

from certworker.job_slot import MAX_RELEASED
from certworker.worker.slots import Slots


class TestSlots:
    def test_a_tenant_from_the_queue_gets_its_share(self) -> None:
        """
        The first tenant gets half of the slots and the second a third: the rest is for the next tenant.
        """
        slots = Slots(12)
        while slots.may_start("first"):
            slots.take("first")
        first = slots.used()
        while slots.may_start("second"):
            slots.take("second")

        assert (6, 4) == (first, slots.used() - first)
        assert ["first", "second"] == slots.over_quota_tenants()

    def test_the_last_slot_is_for_a_newcomer(self) -> None:
        """
        Requests of the priority queues take all slots but one, whatever the backlog is.
        """
        slots = Slots(4)
        while slots.wait_for_capacity(0):
            slots.take("backlog")

        assert (3, False, True) == (slots.used(), slots.may_start("backlog"), slots.may_start("newcomer"))

    def test_a_single_slot_is_for_everybody(self) -> None:
        """
        With one slot none is reserved.
        """
        assert Slots(1).wait_for_capacity(0)

    def test_a_request_without_a_tenant_may_always_start(self) -> None:
        """
        A check of the agenda, for example, must not wait for the jobs that it enqueues.
        """
        slots = Slots(4)
        for _ in range(3):
            slots.take(None)

        assert slots.may_start(None)

    def test_a_slot_that_is_given_back_is_free_before_its_job_ends(self) -> None:
        """
        A job that only waits for Traefik's file must not delay others.
        """
        slots = Slots(1)
        place = slots.take("a")
        Timer(0.05, slots.release, [place]).start()

        assert slots.wait_for_slot(5)
        assert not slots.wait_until_idle(0)
        slots.end(place)
        assert slots.wait_until_idle(0)
        assert 0 == slots.used()

    def test_no_more_than_some_go_on_without_a_slot(self) -> None:
        """
        Each is a thread: a volume that cannot be written must not lead to thousands of them.
        """
        slots = Slots(1)
        for _ in range(MAX_RELEASED + 1):
            place = slots.take("a")
            slots.release(place)

        assert not slots.wait_for_slot(0)
        slots.end(place)
        assert slots.wait_for_slot(0)
