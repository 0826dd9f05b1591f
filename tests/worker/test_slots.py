"""
Tests of the slots: which requests can start.
"""

from __future__ import annotations

from threading import Timer

from certworker.job_slot import MAX_RELEASED
from certworker.worker.slots import Slots
from tests.documentation import DOCS


class TestSlots:
    def test_a_tenant_gets_a_share_of_the_slots(self) -> None:
        """
        The first tenant gets half of the slots and the second one a third. The others are for the next
        tenant.
        """
        slots = Slots(12)
        while slots.may_start("first"):
            slots.take("first")
        first = slots.used()
        while slots.may_start("second"):
            slots.take("second")

        assert (6, 4) == (first, slots.used() - first)
        assert ["first", "second"] == slots.over_quota_tenants()

    def test_the_last_slot_is_for_a_new_tenant(self) -> None:
        """
        The requests of a backlog leave one slot for a new tenant.
        """
        slots = Slots(4)
        while slots.wait_for_capacity(0):
            slots.take("backlog")

        assert (3, False, True) == (slots.used(), slots.may_start("backlog"), slots.may_start("new tenant"))

    def test_a_single_slot_is_for_all_tenants(self) -> None:
        """
        A single slot is not reserved for new tenants.
        """
        assert Slots(1).wait_for_capacity(0)

    def test_a_request_without_a_tenant_can_always_start(self) -> None:
        """
        A request without a tenant can use the last slot, for example a check of the agenda.
        """
        slots = Slots(4)
        for _ in range(3):
            slots.take(None)

        assert slots.may_start(None)

    def test_a_released_slot_is_free_before_its_job_ends(self) -> None:
        """
        A job can release its slot before its end, for example while it waits for Traefik.
        """
        slots = Slots(1)
        slot = slots.take("a")
        Timer(0.05, slots.release, [slot]).start()

        assert slots.wait_for_slot(5)
        assert not slots.wait_until_idle(0)
        slots.end(slot)
        assert slots.wait_until_idle(0)
        assert 0 == slots.used()

    def test_the_number_of_jobs_without_a_slot_has_a_limit(self) -> None:
        """
        The number of jobs that continue without a slot has a limit, because each uses a thread.
        """
        slots = Slots(1)
        for _ in range(MAX_RELEASED + 1):
            slot = slots.take("a")
            slots.release(slot)

        assert not slots.wait_for_slot(0)
        slots.end(slot)
        assert slots.wait_for_slot(0)

    def test_the_guide_has_the_limit(self) -> None:
        """
        The guide to sizes has the number of jobs that may wait without a slot.
        """
        guide = " ".join((DOCS / "guides" / "sizing.md").read_text("utf-8").split())

        assert f"Up to {MAX_RELEASED} jobs that wait for the pause hold no slot." in guide
