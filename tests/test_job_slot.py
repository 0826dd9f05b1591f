"""
The slot of the running job.
"""

from __future__ import annotations

from threading import Thread

from certworker.job_slot import JobSlot, current_slot, running_in


class TestCurrentSlot:
    def test_a_job_releases_its_own_slot(self) -> None:
        """
        A job in one thread does not release the slot of a job in another thread.
        """
        released: list[str] = []

        def job(name: str) -> None:
            with running_in(JobSlot(lambda: released.append(name), lambda: True)):
                if name == "second":
                    current_slot().release_early()

        threads = [Thread(target=job, args=(name,)) for name in ("first", "second")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert ["second"] == released

    def test_without_a_job_there_is_no_contention(self) -> None:
        """
        A command has no slot, so its contention is never reported.
        """
        current_slot().release_early()

        assert not current_slot().has_contention()
