"""
Tests of the queue of publications.
"""

from __future__ import annotations

import threading

import pytest

from certworker.integrations.publications import Publications


def publications(quiet: float = 0, longest: float = 0) -> tuple[Publications, threading.Event]:
    """
    Return an empty queue of publications, and the event that it sets for its loop.
    """
    woken = threading.Event()
    return Publications(woken.set, quiet_seconds=quiet, longest_burst_seconds=longest), woken


class TestTake:
    def test_each_publication_is_returned_once(self) -> None:
        """
        Each publication is returned once, with all names of its certificate.
        """
        waiting, woken = publications()
        waiting.add(("a.org", "b.org"))
        waiting.add(["c.org"])

        assert woken.is_set()
        assert [("a.org", "b.org"), ("c.org",)] == waiting.take()
        assert [] == waiting.take()

    def test_the_delay_of_a_long_burst_is_limited(self) -> None:
        """
        Publications are returned after the longest burst, even if more of them follow.
        """
        waiting, _ = publications(quiet=60, longest=0)
        waiting.add(("a.org",))

        assert [("a.org",)] == waiting.take()

    def test_a_stop_ends_the_wait(self) -> None:
        """
        A stop returns the waiting publications, so that the loop can handle them.
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
    @pytest.mark.parametrize("state", ["issued", "imported"])
    def test_only_a_new_certificate_is_a_publication(self, state: str) -> None:
        """
        Only a new certificate is a publication, and the result of the job is unchanged.
        """
        waiting, _ = publications()
        results = [{"state": "kept", "names": ["a.org"]}, {"state": state, "names": ["b.org", "c.org"]}]
        issue = waiting.after(lambda number: results[number])

        assert results == [issue(0), issue(1)]
        assert [("b.org", "c.org")] == waiting.take()
