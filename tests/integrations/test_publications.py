"""
The publications that wait for a loop.
"""

from __future__ import annotations

import threading

from certworker.integrations.publications import Publications


def publications(quiet: float = 0, longest: float = 0) -> tuple[Publications, threading.Event]:
    """
    Return an empty queue of publications, and the event that it sets to wake its loop.
    """
    woken = threading.Event()
    return Publications(woken.set, quiet_seconds=quiet, longest_burst_seconds=longest), woken


class TestTake:
    def test_it_returns_each_publication_once(self) -> None:
        """
        A certificate of two names is one publication.
        """
        waiting, woken = publications()
        waiting.add(("a.org", "b.org"))
        waiting.add(["c.org"])

        assert woken.is_set()
        assert [("a.org", "b.org"), ("c.org",)] == waiting.take()
        assert [] == waiting.take()

    def test_a_burst_that_does_not_end_is_taken_all_the_same(self) -> None:
        """
        The longest burst is bounded: a renewed certificate may be needed before a migration ends.
        """
        waiting, _ = publications(quiet=60, longest=0)
        waiting.add(("a.org",))

        assert [("a.org",)] == waiting.take()

    def test_a_stop_ends_the_wait_for_a_quiet_moment(self) -> None:
        """
        The publications are returned, so that the loop can handle them before the worker ends.
        """
        waiting, _ = publications(quiet=3600, longest=3600)
        waiting.add(("a.org",))
        taken: list[tuple[str, ...]] = []
        taking = threading.Thread(target=lambda: taken.extend(waiting.take()))
        taking.start()
        waiting.stop()
        taking.join(30)

        assert [("a.org",)] == taken


class TestAfter:
    def test_only_an_issued_certificate_is_a_publication(self) -> None:
        """
        The result of the job stays as it is.
        """
        waiting, _ = publications()
        results = [{"state": "kept", "names": ["a.org"]}, {"state": "issued", "names": ["b.org", "c.org"]}]
        issue = waiting.after(lambda number: results[number])

        assert results == [issue(0), issue(1)]
        assert [("b.org", "c.org")] == waiting.take()
