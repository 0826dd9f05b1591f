"""
Tests of the first seconds of a worker.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from threading import Event, Thread

from certworker.preflight.settling import SETTLING_SECONDS, Settling
from certworker.worker.own_domains import PATIENCE_SECONDS
from tests.servers.worker import wait_until


class TestPauses:
    def test_after_the_end_there_are_none(self) -> None:
        """
        After the end there are no pauses, so a failure counts at once.
        """
        settling = Settling.over()

        assert 0 == settling.seconds_left()
        assert [] == list(settling.pauses())

    def test_they_follow_each_other_until_the_end(self) -> None:
        """
        The last pause ends with the first seconds.
        """
        settling = Settling(Event(), 0.1, first_pause_seconds=0.01)

        assert 1 < len(list(settling.pauses())) < 10

    def test_they_go_on_while_there_is_time(self) -> None:
        """
        There are pauses as long as there is time.
        """
        settling = Settling(Event(), 3600, first_pause_seconds=0)

        assert [None] * 5 == list(islice(settling.pauses(), 5))

    def test_the_end_of_the_worker_ends_them(self) -> None:
        """
        A stopping worker does not wait for a proxy.
        """
        stopping = Event()
        settling = Settling(stopping, 3600, first_pause_seconds=3600)
        waiting = Thread(target=lambda: list(settling.pauses()), daemon=True)
        waiting.start()
        stopping.set()

        wait_until(lambda: not waiting.is_alive() or None, lambda: "it still waits")
        assert 0 == settling.seconds_left()


def test_the_documentation_has_the_same_figures() -> None:
    """
    The documentation has the figures of the code.
    """
    page = Path(__file__).parents[2] / "docs" / "concepts" / "renewal-and-retries.md"
    text = " ".join(page.read_text().split())

    assert f"In the first {SETTLING_SECONDS:.0f} seconds after its start" in text
    assert f"as soon as their port 80 answers, within {PATIENCE_SECONDS:.0f} seconds" in text
