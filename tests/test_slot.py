"""
The slot of a job, as the job sees it.
"""

from __future__ import annotations

from threading import Thread

from certworker import slot


class TestSlot:
    def test_a_job_gives_back_its_own(self) -> None:
        """
        Jobs run side by side in threads, and none must give away the slot of another.
        """
        given_back: list[str] = []

        def job(name: str) -> None:
            with slot.occupied(slot.Slot(lambda: given_back.append(name), lambda: True)):
                if name == "second":
                    slot.current().give_back()

        threads = [Thread(target=job, args=(name,)) for name in ("first", "second")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert ["second"] == given_back

    def test_where_no_job_runs_nobody_else_is_at_work(self) -> None:
        """
        A command has no slot, and need not wait for others.
        """
        slot.current().give_back()

        assert not slot.current().others_at_work()
