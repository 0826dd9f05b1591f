"""
The slot of a job, as the job sees it.
"""

from __future__ import annotations

from threading import Thread

from certworker.job_slot import JobSlot, current_slot, running_in


class TestCurrentSlot:
    def test_a_job_gives_back_its_own(self) -> None:
        """
        Jobs run side by side in threads, and none must give away the slot of another.
        """
        given_back: list[str] = []

        def job(name: str) -> None:
            with running_in(JobSlot(lambda: given_back.append(name), lambda: True)):
                if name == "second":
                    current_slot().release_early()

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
        current_slot().release_early()

        assert not current_slot().has_contention()
