"""
The signs of progress.
"""

from __future__ import annotations

import threading

from certworker.supervision import Heartbeat, Heartbeats
from tests.supervision.clock import Clock


class TestHeartbeat:
    def test_none_is_expected_before_the_first_and_after_the_end(self) -> None:
        """
        A loop that is switched off or has ended is not stalled.
        """
        clock = Clock()
        heartbeat = Heartbeat("labels", 10, clock=clock)
        clock.now += 1000
        assert (None, False) == (heartbeat.silence(), heartbeat.is_stalled())

        heartbeat.beat()
        clock.now += 1000
        assert heartbeat.is_stalled()

        heartbeat.end()
        assert (None, False) == (heartbeat.silence(), heartbeat.is_stalled())

    def test_two_missing_beats_are_a_stall_and_one_is_not(self) -> None:
        """
        One late beat is no stall, and the next beat ends a stall.
        """
        clock = Clock()
        heartbeat = Heartbeat("scheduler", 10, clock=clock)
        heartbeat.beat()
        clock.now += 20
        assert not heartbeat.is_stalled()

        clock.now += 0.1
        assert heartbeat.is_stalled()

        heartbeat.beat()
        assert not heartbeat.is_stalled()

    def test_the_stack_shows_where_its_thread_waits(self) -> None:
        """
        A stalled loop is reported with the call that does not return.
        """
        heartbeat, waits, end = Heartbeat("jobs"), threading.Event(), threading.Event()

        def hang_here() -> None:
            heartbeat.beat()
            waits.set()
            end.wait(30)

        thread = threading.Thread(target=hang_here)
        thread.start()
        assert waits.wait(30)
        stack = heartbeat.stack()
        end.set()
        thread.join()

        assert any(line.startswith("test_heartbeats.py:") and line.endswith(" hang_here") for line in stack)
        assert [] == Heartbeat("never began").stack()


class TestHeartbeats:
    def test_it_names_what_is_stalled(self) -> None:
        """
        The list has neither healthy loops nor those without an expected beat.
        """
        clock, heartbeats = Clock(), Heartbeats()
        slow, quick, off = (Heartbeat(name, 10, clock=clock) for name in ("slow", "quick", "off"))
        heartbeats.add(slow, quick)
        heartbeats.add(off)
        slow.beat()
        clock.now += 21
        quick.beat()

        assert ["slow"] == [each.name for each in heartbeats.stalled()]
        assert {"slow": 21.0, "quick": 0.0} == {each.name: silence for each, silence in heartbeats.expected()}
